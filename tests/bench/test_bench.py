"""The benchmark measures what it says, keeps it, and goes on where it stopped."""

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import gguf
import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from bench import __main__ as bench
from bench import processor_time, products, speculation
from bench.checkpoints import EMBEDDED, GPT_LIKE, TOKENIZER_FILES, decode_bytes, entry_for, make
from bench.loaded import loaded, measured_batch
from bench.report import markdown, plot
from bench.results import Results, Run
from bench.ways.arguments import ALLOW_FALLBACK
from bench.workload import Answered, measured, percentile
from bot.engine.batching.slot_batch import SlotBatch
from bot.engine.machine.kernel_switch import KERNEL_SWITCH
from config.catalogue import Family
from tests.gguf_file import make_qwen2, write_gguf


def figures(tokens_per_s: float) -> dict[str, float]:
    """The figures of a run that another test need not make."""
    answer = Answered(asked_s=0.0, first_s=0.5, ended_s=1.0, tokens=int(tokens_per_s))
    found = measured([answer], load_s=0.1)
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def test_figures_count_from_the_arrival_of_each_question() -> None:
    answers = [Answered(0.0, 1.0, 3.0, 5), Answered(1.0, 4.0, 6.0, 3)]
    found = measured(answers, load_s=0.0, lags_s=[0.001, 0.004])
    assert found.tokens_per_s == 8 / 6
    assert (found.first_token_p50_s, found.first_token_p99_s) == (1.0, 3.0)
    assert found.token_gap_s == 0.5
    assert (found.lag_p99_ms, found.lag_max_ms) == (4.0, 4.0)


def test_a_percentile_is_a_value_that_was_there() -> None:
    assert percentile([3.0, 1.0, 2.0, math.nan], 0.5) == 2.0
    assert math.isnan(percentile([], 0.5))


@pytest.mark.parametrize(
    ("option", "names"),
    [("generate,engine", {"generate", "engine"}), ("engine 8 bits", {"engine 8 bits"})],
)
def test_both_ways_are_measured_and_a_second_run_measures_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, names: set[str]
) -> None:
    file = tmp_path / "results.jsonl"
    arguments = ["--n", "2", "--repeats", "1", "--ways", option, "--results", str(file)]
    assert bench.main(arguments) == 0
    kept = [json.loads(line) for line in file.read_text().splitlines()]
    assert {row["run"]["way"] for row in kept} == {"bandwidth", *names}
    assert all(row["figures"]["tokens_per_s"] > 0 for row in kept[1:])
    assert bench.main(arguments) == 0
    assert len(file.read_text().splitlines()) == len(kept)
    assert "tokens/s" in capsys.readouterr().out


def test_growing_chats_crowds_and_loading_are_measured_too() -> None:
    run = Run("fireside", "growing", 0, 0)
    found = json.loads(bench.output(run, EMBEDDED).line)
    assert found["turn_ten_kept"] > 0
    assert found["turn_ten_ratio"] == found["turn_ten_kept"] / found["turn_ten_prefilled"]


def test_a_model_that_is_not_there_is_refused_with_those_that_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bench.main(["--model", "smollm2-360m"]) == 1
    assert "smollm2-360m is not installed" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (["--ways", "nothing"], "must be of: generate,"),
        (["--n", "0"], "must be numbers from 1 to 256"),
        (["--n", "many"], "must be numbers from 1 to 256"),
    ],
)
def test_a_wrong_argument_ends_with_the_usage_and_what_is_right(
    capsys: pytest.CaptureFixture[str], wrong: Sequence[str], told: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(wrong)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "usage: fireside bench" in said
    assert told in said


def test_a_way_that_fails_says_why() -> None:
    with pytest.raises(bench.Refused, match="could not be measured"):
        bench.output(Run("fireside", "engine", 1, 0), Path("/nowhere"))


pytestmark = pytest.mark.timeout(600)
"""Each measures in processes of its own, which a busy machine holds up."""


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of an architecture that is not batched, with the embedded model's tokenizer."""
    folder = tmp_path_factory.mktemp("gpt2")
    for name in TOKENIZER_FILES:
        if (EMBEDDED / name).exists():
            shutil.copy(EMBEDDED / name, folder)
    config = GPT2Config(
        vocab_size=8192, n_positions=256, n_embd=64, n_layer=1, n_head=2, **cast("Any", GPT_LIKE)
    )
    cast("Any", GPT2LMHeadModel(config)).save_pretrained(folder)
    return folder


def test_a_fallback_is_not_measured_as_the_engine_unless_it_is_allowed_and_then_it_is_labelled(
    gpt2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run("strange", "engine", 1, 0)
    monkeypatch.setenv(ALLOW_FALLBACK, "0")
    with pytest.raises(bench.Refused) as refused:
        bench.output(run, gpt2)
    said = str(refused.value)
    assert "it answers one question at a time" in said
    assert "does not know how to batch gpt2 models. To measure it" in said
    assert "--allow-fallback" in said
    assert "\n" not in said
    monkeypatch.setenv(ALLOW_FALLBACK, "1")
    found = bench.output(run, gpt2)
    assert json.loads(found.line)["tokens_per_s"] > 0
    assert found.fallback is not None
    assert found.fallback in said


@pytest.mark.parametrize("program", [products, speculation, processor_time])
def test_programs_without_an_engine_refuse_a_fallback_too(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KERNEL_SWITCH, "off")
    monkeypatch.setattr("sys.argv", [program.__name__, "fireside", str(tmp_path)])
    with pytest.raises(SystemExit) as refused:
        program.main()
    said = str(refused.value)
    assert "because ENGINE_KERNELS switches our kernels off. To measure it" in said
    assert "--allow-fallback" in said


def test_they_measure_one_that_is_allowed_and_say_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(KERNEL_SWITCH, "off")
    batch = measured_batch(loaded("fireside", EMBEDDED), allow_fallback=True)
    assert isinstance(batch, SlotBatch)
    assert "fallback: fireside answers" in capsys.readouterr().out


def test_a_kept_fallback_is_refused_too_and_shown_with_its_label(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOW_FALLBACK, "0")  # main sets it, and this puts it back
    file = tmp_path / "results.jsonl"
    results = Results(file)
    results.add(Run("fireside", "bandwidth", 0, 0), {"bytes_per_s": 1e10})
    results.add(Run("fireside", "engine", 1, 0), figures(10), "it crawls")
    arguments = ["--n", "1", "--repeats", "1", "--ways", "engine", "--results", str(file)]
    assert bench.main(arguments) == 1
    assert capsys.readouterr().out == (
        "engine could not be measured: it crawls. To measure it all the same, "
        "add --allow-fallback\n"
    )
    assert bench.main([*arguments, "--allow-fallback", "--markdown"]) == 0
    said = capsys.readouterr().out
    assert "| 1 | engine (fallback) | 10.0 |" in said
    assert "engine (fallback): it crawls" in said


def test_a_folder_with_a_gguf_file_is_measured_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, folder = tmp_path / "whole", tmp_path / "gguf"
    folder.mkdir()
    make_qwen2(whole)
    write_gguf(whole, folder / "tiny.gguf", gguf.GGMLQuantizationType.Q8_0)
    monkeypatch.setenv(ALLOW_FALLBACK, "0")
    assert entry_for("tiny", folder).family is Family.CHAT
    assert decode_bytes(folder) == decode_bytes(whole)
    for way in ("generate", "engine"):
        found = json.loads(bench.output(Run("tiny", way, 1, 0), folder).line)
        assert found["tokens_per_s"] > 0
    assert not bench.WAYS["vllm"].fits(Family.CHAT, is_gguf=True)


def test_ratios_are_to_plain_generate_and_medians_over_the_repeats() -> None:
    results = Results()
    for repeat, speed in enumerate((10, 20, 30)):
        results.add(Run("fireside", "generate", 4, repeat), figures(speed))
        results.add(Run("fireside", "engine", 4, repeat), figures(4 * speed))
    lines = markdown(results, "fireside", ["generate", "engine"]).splitlines()
    assert lines[2].startswith("| 4 | generate | 20.0 | 1.00 | 500.0 ms")
    assert lines[3].startswith("| 4 | engine | 80.0 | 4.00 |")


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    results = Results()
    for model in ("fireside", "lab", "small", "large"):
        for count in (1, 4):
            results.add(Run(model, "engine", count, 0), figures(10.0 * count))
    plot(results, ["generate", "engine"], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_ways_know_which_models_they_take() -> None:
    assert not bench.WAYS["continuous"].fits(Family.FLAN_T5)
    assert bench.WAYS["continuous"].fits(Family.CHAT)
    assert bench.WAYS["engine"].fits(Family.BLENDERBOT)


def test_a_decode_step_reads_the_decoder_and_the_output_layer_alone(tmp_path: Path) -> None:
    stored = (EMBEDDED / "model.safetensors").stat().st_size
    assert 0.9 * stored < decode_bytes(EMBEDDED) <= stored
    small = make("flan-t5-small", tmp_path)
    assert entry_for("flan-t5-small", small).family is Family.FLAN_T5
    decoder_and_output = 2 * (41_628_288 + 32_128 * 512 + 8 * 1024 * 512)
    assert 0.5 < decode_bytes(small) / decoder_and_output < 1.1
