"""GGUF files in the folders of Ollama, LM Studio and the hub's cache, laid out as those do."""

import json
import os
from pathlib import Path

import pytest

from bot.models import gguf_stores
from bot.models.gguf_stores import MAX_FILES, stored_models
from tests.models.stores import (
    MODEL,
    TEMPLATE,
    gguf_bytes,
    put_in_hub_cache,
    put_in_lm_studio,
    put_in_ollama,
)

WEIGHT_BYTES = 96 * 2
LLAMA = "registry.ollama.ai/library/tiny/1b"


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf_stores, "OLLAMA_SERVICE", ())


@pytest.fixture(name="home")
def home_fixture(tmp_path: Path) -> Path:
    return tmp_path / "home"


def found(home: Path, **variables: str) -> set[tuple[str, str, Path]]:
    return {(one.owner, one.name, one.file) for one in stored_models(variables, home)}


def test_an_empty_home_has_no_models(home: Path) -> None:
    assert stored_models({}, home) == []


def test_each_store_is_read_in_its_own_layout(home: Path) -> None:
    blob = put_in_ollama(home / ".ollama" / "models", LLAMA, gguf_bytes(home))
    named = put_in_lm_studio(
        home / ".lmstudio", "maker/Tiny-GGUF/Tiny-Q8_0.gguf", gguf_bytes(home) + b"1"
    )
    link = put_in_hub_cache(
        home / ".cache" / "huggingface" / "hub", "maker/Tiny", "tiny.gguf", gguf_bytes(home) + b"2"
    )
    assert {(one.owner, one.name, one.file, one.weight_bytes, one.problem)
            for one in stored_models({}, home)} == {
        ("Ollama", "tiny:1b", blob, WEIGHT_BYTES, None),
        ("LM Studio", "Tiny-Q8_0", named, WEIGHT_BYTES, None),
        ("Hugging Face cache", "tiny", link, WEIGHT_BYTES, None),
    }  # fmt: skip


def test_ollamas_names_leave_out_what_ollama_leaves_out(tmp_path: Path) -> None:
    names = {
        "registry.ollama.ai/library/tiny/latest": "tiny:latest",
        "registry.ollama.ai/somebody/tiny/1b": "somebody/tiny:1b",
        "hf.co/maker/tiny-GGUF/Q4_K_M": "hf.co/maker/tiny-GGUF:Q4_K_M",
    }
    for number, name in enumerate(names):
        put_in_ollama(tmp_path, name, gguf_bytes(tmp_path) + bytes([number]))
    shown = {one.name for one in stored_models({"OLLAMA_MODELS": str(tmp_path)}, tmp_path)}
    assert shown == {*names.values()}


def test_variables_name_the_stores(tmp_path: Path, home: Path) -> None:
    put_in_ollama(home / ".ollama" / "models", LLAMA, gguf_bytes(home))
    put_in_hub_cache(home / ".cache" / "huggingface" / "hub", "a/b", "b.gguf", gguf_bytes(home))
    other = put_in_ollama(tmp_path / "ollama", LLAMA, gguf_bytes(home) + b"1")
    for number, (variable, cache) in enumerate(
        {"HF_HUB_CACHE": "x", "HF_HOME": "y/hub", "XDG_CACHE_HOME": "z/huggingface/hub"}.items()
    ):
        content = gguf_bytes(home) + b"2" * (number + 2)
        link = put_in_hub_cache(tmp_path / cache, "maker/Tiny", "tiny.gguf", content)
        given = {"OLLAMA_MODELS": str(tmp_path / "ollama"), variable: str(tmp_path / cache[0])}
        assert found(home, **given) == {
            ("Ollama", "tiny:1b", other),
            ("Hugging Face cache", "tiny", link),
        }


def test_lm_studios_pointer_and_its_chosen_folder_are_followed(tmp_path: Path, home: Path) -> None:
    base = tmp_path / "studio"
    inside = put_in_lm_studio(base, "a/b/inside.gguf", gguf_bytes(home))
    chosen = put_in_lm_studio(tmp_path / "disk", "a/b/chosen.gguf", gguf_bytes(home) + b"1")
    older = put_in_lm_studio(home / ".cache" / "lm-studio", "a/b/o.gguf", gguf_bytes(home) + b"2")
    (home / ".lmstudio-home-pointer").write_text(f"{base}\n")
    settings = {"downloadsFolder": str(tmp_path / "disk" / "models")}
    (base / "settings.json").write_text(json.dumps(settings))
    assert found(home) == {
        ("LM Studio", "inside", inside),
        ("LM Studio", "chosen", chosen),
        ("LM Studio", "o", older),
    }


def test_a_file_that_cannot_be_used_says_why(home: Path) -> None:
    studio, content = home / ".lmstudio", gguf_bytes(home)
    put_in_lm_studio(studio, "a/b/other.gguf", gguf_bytes(home, architecture="rwkv7"))
    put_in_lm_studio(studio, "a/b/base.gguf", gguf_bytes(home, lambda _writer: None))
    put_in_lm_studio(studio, "a/b/cut.gguf", content[: len(content) // 2])
    put_in_lm_studio(studio, "a/b/text.gguf", b"hello")
    problems = {one.name: one.problem or "" for one in stored_models({}, home)}
    assert "does not read rwkv7 models" in problems["other"]
    assert problems["base"].startswith("it has no chat template")
    assert "cut short" in problems["cut"]
    assert problems["text"].startswith("it cannot be read")


def test_embedding_models_vision_parts_and_adapters_are_left_out(home: Path) -> None:
    studio, ollama = home / ".lmstudio", home / ".ollama" / "models"
    for kind in ("nomic-bert", "clip"):
        put_in_lm_studio(studio, f"a/b/{kind}.gguf", gguf_bytes(home, architecture=kind))
    kinds = (MODEL, "application/vnd.ollama.image.adapter", TEMPLATE)
    put_in_ollama(ollama, LLAMA, gguf_bytes(home), kinds)
    assert stored_models({}, home) == []


@pytest.mark.parametrize(
    "manifest",
    ["", "[]", "{}", '{"layers": 3}', '{"layers": [1, {"mediaType": 2}]}',
     f'{{"layers": [{{"mediaType": "{MODEL}", "digest": 7}}]}}',
     f'{{"layers": [{{"mediaType": "{MODEL}", "digest": "../../secret"}}]}}',
     f'{{"layers": [{{"mediaType": "{MODEL}", "digest": "sha256:gone"}}]}}', "[" * 100_000],
)  # fmt: skip
def test_a_manifest_that_makes_no_sense_is_skipped(home: Path, manifest: str) -> None:
    store = home / ".ollama" / "models"
    put_in_ollama(store, LLAMA, gguf_bytes(home))
    (store / "secret").write_bytes(gguf_bytes(home))
    bad = store / "manifests" / "registry.ollama.ai" / "library" / "tiny" / "bad"
    bad.write_text(manifest)
    assert [one.name for one in stored_models({}, home)] == ["tiny:1b"]


def test_a_file_in_two_places_is_named_once(home: Path) -> None:
    store = home / ".ollama" / "models"
    put_in_ollama(store, LLAMA, gguf_bytes(home))
    put_in_ollama(store, LLAMA.replace("1b", "latest"), gguf_bytes(home))
    assert len(stored_models({}, home)) == 1


def test_of_many_files_the_newest_are_looked_at(home: Path) -> None:
    content = gguf_bytes(home)
    for number in range(MAX_FILES + 2):
        file = put_in_lm_studio(home / ".lmstudio", f"a/b/{number:02}.gguf", content)
        os.utime(file, (number, number))
    names = [one.name for one in stored_models({}, home)]
    assert names == [f"{number:02}" for number in reversed(range(2, MAX_FILES + 2))]


def test_a_store_that_may_not_be_read_is_skipped(home: Path) -> None:
    put_in_lm_studio(home / ".lmstudio", "a/b/c.gguf", gguf_bytes(home))
    closed = home / ".ollama" / "models" / "manifests"
    closed.mkdir(parents=True)
    closed.chmod(0)
    try:
        assert [one.name for one in stored_models({}, home)] == ["c"]
    finally:
        closed.chmod(0o700)
