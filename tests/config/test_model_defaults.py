"""Where a model's defaults come from: owner, catalogue, its own files, its size, in this order."""

import json
import subprocess
import sys
from pathlib import Path

import gguf
import pytest

from config.catalogue import Catalogue, ModelEntry, Sampling
from config.checkpoint_facts import read_facts
from config.model_defaults import BY_OWNER, BY_SIZE, IN_CATALOGUE, LARGER_SAMPLING, SMALL_SAMPLING
from config.owner_models import OwnerModel, catalogue_with
from tests.config.gguf_files import described, write_header

STATED = {
    "do_sample": True,
    "temperature": 0.6,
    "top_p": 0.95,
    "top_k": 20,
    "repetition_penalty": 1.05,
    "max_new_tokens": 2048,
}


def write_checkpoint(
    folder: Path, generation: object, config: object = None, weight_bytes: int = 100
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config or {}))
    (folder / "generation_config.json").write_text(json.dumps(generation))
    with (folder / "model.safetensors").open("wb") as weights:
        weights.truncate(weight_bytes)
    return folder


def catalogue(models_dir: Path, **models: dict[str, object]) -> Catalogue:
    owners = {name: OwnerModel.model_validate(model) for name, model in models.items()}
    return catalogue_with(owners, models_dir)


def test_an_owners_model_samples_as_its_own_files_say(tmp_path: Path) -> None:
    found = catalogue(tmp_path, mine={"folder": write_checkpoint(tmp_path / "x", STATED)})
    assert found.get("mine").sampling == Sampling(
        temperature=0.6, top_p=0.95, top_k=20, repetition_penalty=1.05
    )
    assert found.origins["mine"]["temperature"] == "generation_config.json"


def test_a_gguf_file_says_how_to_sample_and_what_it_is(tmp_path: Path) -> None:
    write_header(tmp_path / "tiny.gguf", described)
    found = catalogue(tmp_path, mine={"folder": tmp_path})
    entry = found.get("mine")
    assert entry.sampling == Sampling(
        temperature=0.55, top_k=33, top_p=0.85, min_p=0.05, repetition_penalty=1.15
    )
    assert (entry.title, entry.licence, entry.languages) == (
        "Tiny 1B Chat",
        "apache-2.0",
        ("en", "fr"),
    )
    assert (entry.context_tokens, entry.parameters) == (2048, 96)
    assert {*found.origins["mine"].values()} == {"tiny.gguf"}


def test_what_the_owner_states_goes_before_what_the_files_say(tmp_path: Path) -> None:
    write_header(tmp_path / "tiny.gguf", described)
    stated: dict[str, object] = {
        "folder": tmp_path,
        "title": "Ours",
        "licence": "MIT",
        "context_tokens": 512,
        "sampling": {"temperature": 0.0, "top_k": 5},
    }
    found = catalogue(tmp_path, mine=stated)
    entry, origins = found.get("mine"), found.origins["mine"]
    assert (entry.title, entry.licence, entry.context_tokens) == ("Ours", "MIT", 512)
    assert entry.languages == ("en", "fr")
    assert (entry.sampling.temperature, entry.sampling.top_k) == (0.0, 5)
    assert (entry.sampling.top_p, origins["top_p"]) == (0.85, "tiny.gguf")
    assert (origins["temperature"], origins["licence"]) == (BY_OWNER, BY_OWNER)


def test_the_catalogue_goes_before_the_files_of_a_pulled_model(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "smollm2-1.7b", STATED)
    found = catalogue(tmp_path)
    before, entry = Catalogue.load().get("smollm2-1.7b"), found.get("smollm2-1.7b")
    assert entry.sampling == before.sampling.model_copy(update={"top_k": 20})
    assert found.origins["smollm2-1.7b"]["temperature"] == IN_CATALOGUE
    assert found.origins["smollm2-1.7b"]["top_k"] == "generation_config.json"
    assert (entry.title, entry.licence) == (before.title, before.licence)


def test_the_files_of_an_owners_pulled_model_are_read(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "mine", STATED)
    assert catalogue(tmp_path, mine={"repository": "a/b-7B"}).get("mine").sampling.top_k == 20


def test_an_entry_of_the_catalogue_that_only_gets_a_folder_stays_what_it_is(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "x", STATED, weight_bytes=700)
    tables: dict[str, dict[str, object]] = {"smollm2-360m": {"folder": folder}}
    found = catalogue(tmp_path, **tables)
    before, entry = Catalogue.load().get("smollm2-360m"), found.get("smollm2-360m")
    moved = {"folder": folder, "repository": None, "weight_bytes": 700}
    sampling = before.sampling.model_copy(update={"top_k": 20})
    assert entry == before.model_copy(update={**moved, "sampling": sampling})


def test_a_folder_of_another_family_is_another_model(tmp_path: Path) -> None:
    table: dict[str, object] = {"folder": write_checkpoint(tmp_path / "x", {}), "family": "chat"}
    entry = catalogue(tmp_path, blenderbot=table).get("blenderbot")
    assert (entry.title, entry.licence) == ("blenderbot", "not stated")


def test_the_embedded_model_is_as_the_catalogue_says(tmp_path: Path) -> None:
    assert catalogue(tmp_path).get("fireside") == Catalogue.load().get("fireside")


def test_greedy_is_what_a_checkpoint_means_that_does_not_sample(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, {"do_sample": False, "temperature": 0.9})
    assert read_facts(folder).sampling == Sampling(temperature=0)


@pytest.mark.parametrize(
    "generation",
    [
        {"temperature": float("nan"), "top_p": 7, "top_k": -1, "min_p": True},
        {"temperature": "hot", "top_p": None, "top_k": [1], "repetition_penalty": 1e300},
        {"temperature": float("inf"), "top_k": 2.5, "no_repeat_ngram_size": {"a": 1}},
        ["temperature"],
        "temperature",
    ],
)
def test_what_makes_no_sense_is_left_out(tmp_path: Path, generation: object) -> None:
    write_checkpoint(tmp_path, generation, {"max_position_embeddings": -5})
    facts = read_facts(tmp_path)
    assert facts.sampling == Sampling.model_validate({})
    assert facts.context_tokens is None


def test_of_one_that_is_wrong_the_others_are_kept(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, {"temperature": 99, "top_p": 0.5})
    assert read_facts(tmp_path).sampling == Sampling(top_p=0.5)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"GGUF"])
def test_broken_files_say_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    (tmp_path / "generation_config.json").write_bytes(content)
    assert read_facts(tmp_path).sampling == Sampling.model_validate({})
    (tmp_path / "gguf").mkdir()
    (tmp_path / "gguf" / "x.gguf").write_bytes(content)
    assert read_facts(tmp_path / "gguf").source == ""


def test_a_name_from_a_file_is_one_short_line(tmp_path: Path) -> None:
    def hostile(writer: gguf.GGUFWriter) -> None:
        writer.add_name("A\n**model**\x1b[31m\u202e " + "x" * 500)
        writer.add_license("other")
        writer.add_license_name("Our own licence")

    facts = read_facts(write_header(tmp_path / "x.gguf", hostile).parent)
    assert facts.title is not None
    assert facts.title.startswith("A **model** [31m x")
    assert len(facts.title) == 80
    assert facts.licence == "Our own licence"


def test_where_nothing_says_it_a_small_model_samples_carefully(tmp_path: Path) -> None:
    def sampling(parameters: int) -> Sampling:
        model: dict[str, object] = {"repository": "a/b", "parameters": parameters}
        return catalogue(tmp_path, mine=model).get("mine").sampling

    assert sampling(999_999_999) == SMALL_SAMPLING
    assert sampling(1_000_000_000) == LARGER_SAMPLING
    found = catalogue(tmp_path, mine={"repository": "a/b-0.6B"})
    assert found.origins["mine"]["temperature"] == BY_SIZE


def test_the_size_of_a_folder_tells_a_small_model_from_a_large_one(tmp_path: Path) -> None:
    config = {"dtype": "bfloat16", "max_position_embeddings": 32_768}
    folder = write_checkpoint(tmp_path / "small", {}, config, weight_bytes=1_200_000_000)
    small = catalogue(tmp_path, x={"folder": folder}).get("x")
    assert (small.parameters, small.sampling) == (600_000_000, SMALL_SAMPLING)
    assert small.context_tokens == 4096
    folder = write_checkpoint(tmp_path / "large", {}, config, weight_bytes=3_000_000_000)
    assert catalogue(tmp_path, x={"folder": folder}).get("x").sampling == LARGER_SAMPLING


def test_a_server_is_told_a_temperature_alone(tmp_path: Path) -> None:
    table: dict[str, object] = {"engine": "openai", "endpoints": ["http://127.0.0.1:8000/v1"]}
    assert catalogue(tmp_path, far=table).get("far").sampling == Sampling(temperature=0.7)
    table["remote_model"] = "maker/Tiny-135M"
    assert catalogue(tmp_path, far=table).get("far").sampling == Sampling(temperature=0.2)


def test_models_of_a_billion_parameters_and_more_follow_a_persona_and_qwen3_of_the_smaller() -> (
    None
):
    for entry in Catalogue.load():
        is_able = (entry.parameters or 0) >= 1_000_000_000 or entry.name == "qwen3-0.6b"
        assert entry.takes_default_persona == (is_able and entry.has_system_prompt), entry.name


def test_the_size_of_an_owners_model_tells_whether_it_follows_one(tmp_path: Path) -> None:
    def takes_it(**model: object) -> bool:
        return catalogue(tmp_path, mine=model).get("mine").takes_default_persona

    far: dict[str, object] = {"engine": "openai", "endpoints": ["http://127.0.0.1:8000/v1"]}
    assert takes_it(**far)
    assert takes_it(repository="a/b-1B")
    assert not takes_it(repository="a/b-0.6B")
    assert takes_it(repository="a/b-0.6B", follows_persona=True)
    assert not takes_it(**far, remote_model="maker/Tiny-135M")
    assert not takes_it(repository="a/b-7B", follows_persona=False)
    assert not takes_it(repository="a/b-7B", family="flan-t5", follows_persona=True)
    assert not takes_it(folder=write_header(tmp_path / "tiny.gguf", described).parent)


def test_no_file_is_read_where_none_is_asked_for(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "x", STATED)
    entry: ModelEntry = catalogue_with({"mine": OwnerModel(folder=folder)}).get("mine")
    assert entry.sampling.top_k is None


def test_reading_them_imports_nothing_heavy(tmp_path: Path) -> None:
    write_header(tmp_path / "tiny.gguf", described)
    program = (
        "import sys; from pathlib import Path; from config.owner_models import *\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "found = catalogue_with({'mine': OwnerModel(folder=folder)}, folder).get('mine')\n"
        "assert found.sampling.top_k == 33\n"
        "assert not {'torch', 'transformers', 'gguf', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
