"""What is said of how a model runs, by what is known of it."""

from pathlib import Path

import pytest

from bot.engine.past_runs import PastRuns
from bot.engine.run_mode import RunMode
from bot.models.run_modes import Evidence, known_mode, run_text
from config.catalogue import Family, ModelEntry
from tests.config.gguf_files import described, write_header

ENTRY = ModelEntry(
    name="mine", title="Mine", family=Family.CHAT, description="-", licence="MIT",
    context_tokens=512, weight_bytes=1,
)  # fmt: skip

BATCHED = RunMode(is_batched=True, has_kernels=True, precision="bf16")
ALONE = RunMode(is_batched=False, has_kernels=False, precision="fp32")


def configured(folder: Path, content: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(content)
    return folder


def test_what_is_in_memory_goes_before_what_was_and_that_before_what_should_be(
    tmp_path: Path,
) -> None:
    folder, past = configured(tmp_path / "model", '{"model_type": "llama"}'), PastRuns(tmp_path)
    expected = known_mode(ENTRY, folder, past)
    assert expected is not None
    assert expected.evidence is Evidence.EXPECTED
    past.note(ENTRY, folder, ALONE)
    assert run_text(ENTRY, folder, past) == f"{ALONE.text} (when it was last loaded)"
    assert run_text(ENTRY, folder, past, BATCHED) == BATCHED.text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"model_type": "llama"}', "many conversations at once with compiled kernels (expected"),
        ('{"model_type": "gemma2"}', "without compiled kernels, because there are no"),
        ('{"model_type": "gpt2"}', "one question at a time, because Fireside does not know how"),
        ("{", "not known: its configuration names no architecture"),
        ("[]", "not known: its configuration names no architecture"),
    ],
)
def test_an_installed_model_is_never_said_to_be_known_once_it_is_installed(
    tmp_path: Path, content: str, said: str
) -> None:
    text = run_text(ENTRY, configured(tmp_path / "model", content), PastRuns(tmp_path))
    assert said in text
    assert "once it is installed" not in text


def test_a_gguf_files_header_is_enough_to_say_how_it_should_run(tmp_path: Path) -> None:
    write_header(tmp_path / "tiny.gguf", described)
    assert "with compiled kernels (expected" in run_text(ENTRY, tmp_path, None)
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    assert run_text(ENTRY, tmp_path, None).startswith("not known")


def test_a_model_that_is_not_here_is_known_by_its_family_or_not_yet() -> None:
    assert run_text(ENTRY, None, None) == "known once it is installed"
    t5 = ENTRY.model_copy(update={"family": Family.FLAN_T5})
    assert run_text(t5, None, None).startswith("answers many conversations at once")
