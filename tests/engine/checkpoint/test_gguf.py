"""GGUF files through the path that every model is loaded by."""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import gguf
import pytest
import torch
from transformers.integrations.ggml import GGUF_CONFIG_MAPPING

from bot.conversation import Role, Turn
from bot.engine.checkpoint.blueprint import read_blueprint
from bot.engine.checkpoint.files import (
    HEADER_ITEM_BYTES,
    UNPACKED_BYTES,
    DamagedCheckpoint,
    Unpacking,
    inspect_weights,
)
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint
from bot.engine.text.families import GGUF_ALIASES
from bot.models.library import BUILTIN_FOLDER, ModelLibrary
from config.catalogue import Catalogue, Family, ModelEntry
from config.owner_models import OwnerModel, catalogue_with
from config.settings import HubSettings
from tests.checkpoints import PROMPTS, Tiny
from tests.engine.engines import MakeEngine
from tests.engine.reading import read, request_for
from tests.gguf_file import make_qwen2, make_qwen3, write_gguf

KINDS = {
    "F32": gguf.GGMLQuantizationType.F32,
    "F16": gguf.GGMLQuantizationType.F16,
    "Q8_0": gguf.GGMLQuantizationType.Q8_0,
    "Q4_0": gguf.GGMLQuantizationType.Q4_0,
}

TINY_QWEN2 = Tiny("qwen2", Family.CHAT, 256, make_qwen2)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The checkpoint as transformers keeps it, and as GGUF files of several kinds."""
    made = {name: tmp_path_factory.mktemp(name) for name in ("original", *KINDS)}
    make_qwen2(made["original"])
    for name, kind in KINDS.items():
        write_gguf(made["original"], made[name] / f"tiny-{name}.gguf", kind)
    return made


def entry_for(folder: Path) -> ModelEntry:
    """Through the catalogue, as an owner adds a folder."""
    return catalogue_with({"mine": OwnerModel(folder=folder)}).get("mine")


def loaded(folder: Path) -> Checkpoint:
    blueprint = read_blueprint(TINY_QWEN2.entry(folder), folder, torch.device("cpu"), exact=True)
    return load_checkpoint(blueprint, lambda _share: None)


def embeddings(checkpoint: Checkpoint) -> torch.Tensor:
    layer = cast("torch.nn.Embedding", checkpoint.model.get_input_embeddings())
    return layer.weight.detach()


async def test_a_gguf_file_answers_as_the_checkpoint_that_it_was_made_from(
    make_engine: MakeEngine, folders: Mapping[str, Path]
) -> None:
    entries = {name: TINY_QWEN2.entry(folders[name], name=name) for name in ("original", "F32")}
    engine = make_engine(entries=entries)
    for prompt in PROMPTS[:4]:
        original = await read(engine, request_for("original", prompt))
        converted = await read(engine, request_for("F32", prompt))
        assert converted.finished.error is None
        assert converted.text == original.text
        assert converted.text


async def test_the_embedded_model_answers_from_a_gguf_file_as_it_does(
    make_engine: MakeEngine, tmp_path: Path
) -> None:
    """Of Llama's architecture: its queries and keys lie in another order there, and its tokenizer
    has no token of GPT-2's.
    """
    write_gguf(BUILTIN_FOLDER, tmp_path / "fireside.gguf", KINDS["F32"])
    original = Catalogue.load().get("fireside")

    def locate(entry: ModelEntry) -> Path:
        return entry.folder or BUILTIN_FOLDER

    engine = make_engine(
        entries={"original": original, "file": entry_for(tmp_path)},
        locate=locate,
    )
    for question in ("hello", "how old is the sun?"):
        answers = [await read(engine, request_for(name, question)) for name in ("original", "file")]
        assert answers[0].text == answers[1].text != ""


@pytest.mark.parametrize("name", ["qwen2", "llama"])
def test_penalties_spare_every_token_that_the_file_calls_control(
    folders: Mapping[str, Path], tmp_path: Path, name: str
) -> None:
    folder = folders["F32"]
    if name == "llama":
        write_gguf(BUILTIN_FOLDER, tmp_path / "fireside.gguf", KINDS["F32"])
        folder = tmp_path
    reader = gguf.GGUFReader(next(folder.glob("*.gguf")))
    field = reader.get_field("tokenizer.ggml.token_type")
    assert field is not None
    kinds = cast("list[int]", field.contents())
    control = {id_ for id_, kind in enumerate(kinds) if kind == gguf.TokenType.CONTROL}
    tiny = entry_for(folder)
    blueprint = read_blueprint(tiny, folder, torch.device("cpu"), exact=True)
    spared = load_checkpoint(blueprint, lambda _share: None).tokenizer.control_ids
    assert len(control) > 2
    assert spared >= control
    assert len(spared) < len(kinds) / 10


async def test_a_file_of_qwen3_has_heads_of_the_size_that_it_says(
    make_engine: MakeEngine, tmp_path: Path
) -> None:
    """transformers takes 128 for every one of them."""
    folders = {name: tmp_path / name for name in ("original", "file")}
    for folder in folders.values():
        folder.mkdir()
    make_qwen3(folders["original"])
    write_gguf(folders["original"], folders["file"] / "tiny.gguf", KINDS["F32"])
    tiny = Tiny("qwen3", Family.CHAT, 256, make_qwen3)
    engine = make_engine(entries={n: tiny.entry(folders[n], name=n) for n in folders})
    original, converted = [await read(engine, request_for(name, PROMPTS[0])) for name in folders]
    assert converted.finished.error is None
    assert converted.text == original.text


async def test_a_file_of_an_architecture_that_is_not_read_is_refused_with_what_to_do(
    make_engine: MakeEngine, folders: Mapping[str, Path], tmp_path: Path
) -> None:
    content = (folders["F32"] / "tiny-F32.gguf").read_bytes()
    (tmp_path / "other.gguf").write_bytes(content.replace(b"qwen2", b"rwkv7"))
    engine = make_engine(entries={"other": TINY_QWEN2.entry(tmp_path, name="other")})
    error = (await read(engine, request_for("other", "why?"))).finished.error
    assert error is not None
    assert "does not read rwkv7 models from GGUF files" in error
    assert "llama.cpp" in error


def test_every_other_name_of_an_architecture_is_one_that_is_read() -> None:
    assert set(GGUF_ALIASES.values()) <= set(GGUF_CONFIG_MAPPING)
    assert not set(GGUF_ALIASES) & set(GGUF_CONFIG_MAPPING)


@pytest.mark.parametrize(("kind", "most"), [("F16", 0.001), ("Q8_0", 0.01), ("Q4_0", 0.12)])
def test_fewer_bits_lose_a_little(folders: Mapping[str, Path], kind: str, most: float) -> None:
    expected, found = embeddings(loaded(folders["original"])), embeddings(loaded(folders[kind]))
    difference = float((found - expected).square().sum() / expected.square().sum()) ** 0.5
    assert 0 < difference < most


def test_loading_prints_nothing(
    folders: Mapping[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    loaded(folders["Q8_0"])
    assert capfd.readouterr() == ("", "")


def test_its_weights_are_unpacked_whatever_else_is_installed(folders: Mapping[str, Path]) -> None:
    """With another package transformers would fetch from a hub what computes with them packed."""
    assert not hasattr(loaded(folders["Q8_0"]).model, "hf_quantizer")


def test_the_library_finds_it_and_its_size_is_told(
    folders: Mapping[str, Path], tmp_path: Path
) -> None:
    entry = entry_for(folders["Q8_0"])
    library = ModelLibrary(tmp_path, HubSettings())
    assert library.path(entry) == folders["Q8_0"]
    file = folders["Q8_0"] / "tiny-Q8_0.gguf"
    assert entry.weight_bytes == file.stat().st_size
    weights = inspect_weights(folders["Q8_0"])
    original = inspect_weights(folders["original"])
    assert (weights.gguf_file, weights.elements) == (file.name, original.elements)
    assert weights.stored_bytes < original.stored_bytes / 3


def test_unpacking_takes_the_largest_of_a_layer_beside_all_that_is_kept() -> None:
    some = Unpacking((100, 20, 20), 20, 3, is_direct=True)
    beside = 20 * (UNPACKED_BYTES + 2) + 3 * HEADER_ITEM_BYTES
    assert some.bytes_with(2, weight_bytes=0) == 140 * 2 + beside
    assert some.bytes_with(2, weight_bytes=1000) == 1000 + beside


def test_what_transformers_unpacks_takes_the_most_at_the_largest_tensor_or_at_the_end() -> None:
    def most(*elements: int, itemsize: int = 2) -> int:
        return Unpacking(elements, 0, 0, is_direct=False).bytes_with(itemsize, weight_bytes=0)

    assert most(100, 20, 20) == 100 * (UNPACKED_BYTES + 2)
    assert most(20, 20, 100) == 40 * 2 + 100 * (UNPACKED_BYTES + 2)
    assert most(*(1,) * 140, itemsize=4) == 139 * 4 + UNPACKED_BYTES + 4


def test_what_loading_a_file_takes_is_reckoned_from_its_header(
    folders: Mapping[str, Path],
) -> None:
    folder = folders["Q8_0"]
    blueprint = read_blueprint(TINY_QWEN2.entry(folder), folder, torch.device("cpu"), exact=True)
    unpacking = blueprint.weights.unpacking
    assert unpacking is not None
    assert unpacking.is_direct
    assert sum(unpacking.tensor_elements) == blueprint.weights.elements
    # Tokens, their kinds, and fewer merges than tokens.
    tokens = blueprint.config.vocab_size
    assert 2 * tokens < unpacking.header_items < 3 * tokens
    expected = unpacking.bytes_with(torch.float32.itemsize, blueprint.weight_bytes)
    assert blueprint.loading_bytes == expected > blueprint.weight_bytes


@pytest.mark.parametrize("length", [0, 3, 100, 4000])
def test_a_file_that_is_cut_short_is_told(
    folders: Mapping[str, Path], tmp_path: Path, length: int
) -> None:
    whole = (folders["F32"] / "tiny-F32.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(whole[:length])
    with pytest.raises(DamagedCheckpoint, match=r"cut\.gguf"):
        inspect_weights(tmp_path)
    (tmp_path / "cut.gguf").write_bytes(whole[:-5000])
    with pytest.raises(DamagedCheckpoint, match=r"cut\.gguf"):
        inspect_weights(tmp_path)


def test_of_several_files_none_is_guessed(folders: Mapping[str, Path], tmp_path: Path) -> None:
    for name in ("one.gguf", "two.gguf"):
        (tmp_path / name).symlink_to(folders["F32"] / "tiny-F32.gguf")
    with pytest.raises(DamagedCheckpoint, match="2 GGUF files"):
        inspect_weights(tmp_path)


async def test_the_path_of_a_file_is_as_good_as_its_folder(
    make_engine: MakeEngine, folders: Mapping[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "tiny.gguf"
    file.symlink_to(folders["F32"] / "tiny-F32.gguf")
    (tmp_path / "other.gguf").write_bytes(b"another file beside it does not matter")
    by_file, by_folder = entry_for(file), entry_for(folders["F32"])
    assert by_file.weight_bytes == by_folder.weight_bytes
    assert ModelLibrary(tmp_path, HubSettings()).path(by_file) == file
    engine = make_engine(entries={"file": by_file, "folder": by_folder})
    answers = [await read(engine, request_for(name, PROMPTS[0])) for name in ("file", "folder")]
    assert answers[0].text == answers[1].text != ""


def without_template(file: Path, target: Path) -> Path:
    """A copy whose template has another name, so that it has none."""
    content = file.read_bytes()
    assert content.count(b"tokenizer.chat_template") == 1
    target.write_bytes(content.replace(b"tokenizer.chat_template", b"tokenizer.chat_no_thing"))
    return target


def test_a_template_beside_a_file_goes_before_the_files_own(
    folders: Mapping[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "chat_template.jinja").write_text("{{ messages[0].content }}!", "utf-8")
    file = without_template(folders["F32"] / "tiny-F32.gguf", tmp_path / "tiny.gguf")
    turns = [Turn(Role.USER, "hello")]
    assert loaded(file).tokenizer.rendered(turns) == "hello!"
    file.unlink()
    file.symlink_to(folders["F32"] / "tiny-F32.gguf")
    assert loaded(file).tokenizer.rendered(turns) == "hello!"
    (tmp_path / "chat_template.jinja").unlink()
    assert "<|im_start|>user" in loaded(file).tokenizer.rendered(turns)


async def test_a_file_without_a_template_is_refused_in_one_line_before_anything_costly(
    make_engine: MakeEngine,
    folders: Mapping[str, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = without_template(folders["F32"] / "tiny-F32.gguf", tmp_path / "tiny.gguf")
    engine = make_engine(entries={"mine": entry_for(file)})
    answer = await read(engine, request_for("mine", "hello"))
    assert answer.finished.error is not None
    assert "has no chat template: put the model's own beside it" in answer.finished.error
    assert answer.loads == []
    assert "\n" not in answer.finished.error
    assert [one.getMessage() for one in caplog.records if "\n" in one.getMessage()] == []


async def test_a_file_that_cannot_be_used_is_read_again_only_when_it_changes(
    make_engine: MakeEngine,
    folders: Mapping[str, Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = (folders["F32"] / "tiny-F32.gguf").read_bytes()
    (tmp_path / "tiny.gguf").write_bytes(whole[:-5000])
    engine = make_engine(entries={"mine": entry_for(tmp_path)})
    errors = [(await read(engine, request_for("mine", "hello"))).finished.error for _ in range(3)]
    assert errors[0] is not None
    assert "tiny.gguf is cut short" in errors[0]
    assert set(errors) == {errors[0]}
    assert caplog.text.count("mine cannot be used") == 1
    (tmp_path / "tiny.gguf").write_bytes(whole)
    answer = await read(engine, request_for("mine", PROMPTS[0]))
    assert answer.finished.error is None
    assert answer.text


def test_an_unknown_quantisation_is_refused_with_what_to_take(
    folders: Mapping[str, Path], tmp_path: Path
) -> None:
    content = bytearray((folders["F32"] / "tiny-F32.gguf").read_bytes())
    kind_at = content.index(b"token_embd.weight") + len(b"token_embd.weight") + 4 + 2 * 8
    for kind, named in ((2999, "2999"), (int(gguf.GGMLQuantizationType.I32), "I32")):
        content[kind_at : kind_at + 4] = kind.to_bytes(4, "little")
        (tmp_path / "x.gguf").write_bytes(content)
        with pytest.raises(DamagedCheckpoint, match=f"quantisation.*{named}.*Q8_0"):
            read_blueprint(entry_for(tmp_path), tmp_path, torch.device("cpu"), exact=True)
