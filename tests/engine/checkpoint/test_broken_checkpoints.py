"""Checkpoints that cannot be used, or must not be: told with advice."""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from typing_extensions import override

from bot.engine.base import (
    FinishReason,
)
from bot.engine.worker import WorkerState
from bot.errors import (
    BrokenModel,
    ModelNotInstalled,
)
from config.catalogue import ModelEntry
from tests.checkpoints import PROMPTS, TINY
from tests.engine.engines import (
    MakeEngine,
    load_tensors,
    read,
    request_for,
    save_tensors,
)


async def test_a_model_that_is_not_installed_is_told(make_engine: MakeEngine) -> None:
    def locate(entry: ModelEntry) -> NoReturn:
        raise ModelNotInstalled(f"Run `fireside models pull {entry.name}`.")

    engine = make_engine(locate=locate)
    answer = await read(engine, request_for("smollm", "hello"))
    assert answer.finished.error == "Run `fireside models pull smollm`."
    with pytest.raises(ModelNotInstalled):
        await engine.load("smollm")


def _cut_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def _lose(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _change_config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        config = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps(config | changes), encoding="utf-8")

    return change


def _change_weights(change: Callable[[dict[str, torch.Tensor]], None]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        tensors = load_tensors(folder / "model.safetensors")
        change(tensors)
        save_tensors(tensors, folder / "model.safetensors")

    return rewrite


def _not_numbers(tensors: dict[str, torch.Tensor]) -> None:
    tensors["model.norm.weight"] = torch.full((64,), float("nan"))


def _lose_weight(tensors: dict[str, torch.Tensor]) -> None:
    del tensors["model.layers.1.mlp.up_proj.weight"]


def _write(name: str, text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_text(text, encoding="utf-8")

    return write


DAMAGES: dict[str, Callable[[Path], None]] = {
    "weights cut short": _cut_weights,
    "no weights": _lose("model.safetensors"),
    "no configuration": _lose("config.json"),
    "no tokenizer": _lose("tokenizer.json"),
    "no chat template": _lose("chat_template.jinja"),
    "configuration is no JSON": _write("config.json", "{"),
    "tokenizer is no JSON": _write("tokenizer.json", "{"),
    "template is broken": _write("chat_template.jinja", "{% for x in %}"),
    "another shape": _change_config(hidden_size=32),
    "another architecture": _change_config(model_type="t5"),
    "an unknown architecture": _change_config(model_type="nothing"),
    "encoder-decoder": _change_config(is_encoder_decoder=True),
    "weights are not numbers": _change_weights(_not_numbers),
    "a weight is missing": _change_weights(_lose_weight),
    "a tokenizer of another model": _change_config(vocab_size=20),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
async def test_a_broken_checkpoint_is_told_with_advice(
    make_engine: MakeEngine,
    checkpoints: Mapping[str, Path],
    tmp_path: Path,
    damage: Callable[[Path], None],
) -> None:
    folder = Path(shutil.copytree(checkpoints["smollm"], tmp_path / "copy"))
    damage(folder)

    def locate(entry: ModelEntry) -> Path:
        return entry.folder or folder

    broken = TINY["smollm"].entry(None, name="broken", repository="some/model")
    good = TINY["smollm"].entry(checkpoints["smollm"])
    engine = make_engine(
        entries={"broken": broken, "smollm": good},
        locate=locate,
    )
    answer = await read(engine, request_for("broken", "hello"))
    assert answer.finished.reason is FinishReason.ERROR
    assert "fireside models remove broken" in (answer.finished.error or "")
    assert "fireside models pull broken" in (answer.finished.error or "")
    assert answer.finished.usage.prompt_tokens == 0
    with pytest.raises(BrokenModel):
        await engine.load("broken")
    assert engine.resident() == ()
    assert (await read(engine, request_for("smollm", "hello"))).finished.error is None


async def test_what_to_do_about_a_broken_model_depends_on_where_it_is_from(
    make_engine: MakeEngine, tmp_path: Path
) -> None:
    def everywhere(_entry: ModelEntry) -> Path:
        return tmp_path

    own = TINY["smollm"].entry(tmp_path, name="own")
    builtin = TINY["smollm"].entry(None, name="builtin", builtin=True)
    engine = make_engine(entries={"own": own, "builtin": builtin}, locate=everywhere)
    with pytest.raises(BrokenModel, match=r"Check the folder"):
        await engine.load("own")
    with pytest.raises(BrokenModel, match=r"install Fireside again"):
        await engine.load("builtin")


async def test_weights_in_torchs_own_format_load_when_there_is_nothing_else(
    make_engine: MakeEngine, checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoints["blenderbot"], tmp_path / "copy"))
    torch.save(load_tensors(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    entry = TINY["blenderbot"].entry(folder, name="copy")
    original = TINY["blenderbot"].entry(checkpoints["blenderbot"])
    engine = make_engine(entries={"copy": entry, "blenderbot": original})
    copied = await read(engine, request_for("copy", PROMPTS[0]))
    assert copied.finished.error is None
    assert copied.text == (await read(engine, request_for("blenderbot", PROMPTS[0]))).text


class Malice:
    """What a pickle of somebody else could do."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._trace),)


async def test_a_pickle_that_would_run_code_is_refused(
    make_engine: MakeEngine, checkpoints: Mapping[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoints["blenderbot"], tmp_path / "copy"))
    (folder / "model.safetensors").unlink()
    torch.save({"model.shared.weight": Malice(tmp_path / "ran")}, folder / "pytorch_model.bin")
    engine = make_engine(entries={"copy": TINY["blenderbot"].entry(folder, name="copy")})
    answer = await read(engine, request_for("copy", "hello"))
    assert "cannot be used" in (answer.finished.error or "")
    assert not (tmp_path / "ran").exists()
    assert engine.worker is not None
    assert engine.worker.state is WorkerState.RUNNING
