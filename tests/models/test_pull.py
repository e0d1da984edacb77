"""Pulling models, with real huggingface_hub against a hub on loopback."""

import asyncio
import errno
import json
import os
import shutil
import ssl
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock
from pydantic import SecretStr

from bot.errors import BrokenModel, DownloadFailed, ModelNotInstalled
from bot.models.hub import Hub
from bot.models.library import InstalledModel, ModelLibrary, PullProgress
from config.catalogue import Family, ModelEntry
from config.settings import HubSettings
from tests.config.gguf_files import described, write_header
from tests.doubles.loopback_hub import (
    COMMIT,
    LoopbackHub,
    Repository,
    running_hub,
    safetensors,
    tiny_model,
)

WHEN = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
WEIGHTS = "model.safetensors"
CERTIFICATE = Path(__file__).with_name("certificate.pem")
STRANGER = Path(__file__).with_name("stranger.pem")
"""The loopback hub's own certificate with its key, and one that signed nothing here."""
SIZE = len(tiny_model()[WEIGHTS])

TINY = ModelEntry(
    name="tiny",
    title="Tiny",
    family=Family.CHAT,
    description="A tiny model.",
    licence="MIT",
    repository="maker/tiny",
    context_tokens=64,
    weight_bytes=8000,
)


@pytest.fixture
async def hub() -> AsyncGenerator[LoopbackHub]:
    async with running_hub() as running:
        running.repositories["maker/tiny"] = Repository(tiny_model())
        yield running


class Shelf(NamedTuple):
    """A library and its folder."""

    library: ModelLibrary
    folder: Path

    async def pull(self, entry: ModelEntry = TINY) -> InstalledModel:
        """Pull in a thread, as the hub runs in this one's event loop."""
        return await asyncio.to_thread(self.library.pull, entry)


def shelf(folder: Path, endpoint: str, **settings: object) -> Shelf:
    """A library that pulls from an endpoint."""
    hub = HubSettings.model_validate({"endpoint": endpoint, **settings})
    return Shelf(ModelLibrary(folder / "models", hub, lambda: WHEN), folder / "models")


async def test_a_pulled_model_is_complete_and_knows_its_commit(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    here = await shelf(tmp_path, hub.endpoint).pull()
    assert here.folder == tmp_path / "models" / "tiny"
    assert (here.folder / WEIGHTS).read_bytes() == tiny_model()[WEIGHTS]
    assert (here.commit, here.pulled_at) == (COMMIT, WHEN)
    record = json.loads((here.folder / "fireside.json").read_text())
    assert record["repository"] == "maker/tiny"


async def test_code_pickles_and_other_formats_stay_on_the_hub(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    here = await shelf(tmp_path, hub.endpoint).pull()
    names = {path.name for path in here.folder.iterdir()}
    described = {"config.json", "tokenizer.json", "tokenizer_config.json", "LICENSE"}
    assert names == described | {WEIGHTS, "fireside.json"}


async def test_torch_weights_come_only_where_there_is_nothing_else(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    files = tiny_model()
    del files[WEIGHTS]
    hub.repositories["maker/tiny"] = Repository(files)
    here = await shelf(tmp_path, hub.endpoint).pull()
    assert (here.folder / "pytorch_model.bin").read_bytes() == b"another pickle"
    assert not (here.folder / "training_args.bin").exists()


async def test_a_repository_without_weights_is_told(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.repositories["maker/tiny"] = Repository({"config.json": b"{}", "model.gguf": b"x"})
    with pytest.raises(DownloadFailed, match=r"has no weights that can be used"):
        await shelf(tmp_path, hub.endpoint).pull()


async def test_a_hub_that_tells_no_sizes_is_refused(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.repositories["maker/tiny"] = Repository(tiny_model(), has_sizes=False)
    with pytest.raises(DownloadFailed, match="does not answer like a model hub"):
        await shelf(tmp_path, hub.endpoint).pull()


async def test_progress_grows_to_the_whole_size(hub: LoopbackHub, tmp_path: Path) -> None:
    seen: list[PullProgress] = []
    library = shelf(tmp_path, hub.endpoint).library
    await asyncio.to_thread(library.pull, TINY, seen.append)
    amounts = [progress.done_bytes for progress in seen]
    assert amounts == sorted(amounts)
    assert amounts[-1] == seen[-1].total_bytes > SIZE


async def test_a_broken_connection_is_taken_up_in_the_same_pull(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    hub.faults.cut[WEIGHTS] = [1000, 2000]
    here = await shelf(tmp_path, hub.endpoint).pull()
    assert (here.folder / WEIGHTS).read_bytes() == tiny_model()[WEIGHTS]
    ranges = [seen.range for seen in hub.downloads(WEIGHTS)]
    assert ranges == [None, "bytes=1000-", "bytes=3000-"]


async def test_a_pull_that_was_interrupted_resumes_with_the_next_command(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    hub.faults.cut[WEIGHTS] = [1000, 0]
    with pytest.raises(DownloadFailed, match=r"it resumes"):
        await shelf(tmp_path, hub.endpoint).pull()
    assert shelf(tmp_path, hub.endpoint).library.installed(TINY) is None
    hub.faults.cut.clear()
    here = await shelf(tmp_path, hub.endpoint).pull()
    assert hub.downloads(WEIGHTS)[-1].range == "bytes=1000-"
    assert (here.folder / WEIGHTS).read_bytes() == tiny_model()[WEIGHTS]
    assert len([seen for seen in hub.seen if seen.path.endswith("/config.json")]) == 1


async def test_a_hub_that_knows_no_ranges_sends_the_file_anew(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    hub.faults.cut[WEIGHTS] = [1000]
    hub.faults.ignores_ranges = True
    seen: list[PullProgress] = []
    library = shelf(tmp_path, hub.endpoint).library
    here = await asyncio.to_thread(library.pull, TINY, seen.append)
    assert (here.folder / WEIGHTS).read_bytes() == tiny_model()[WEIGHTS]
    assert seen[-1].done_bytes == seen[-1].total_bytes


@pytest.mark.parametrize("file", [WEIGHTS, "config.json"])
async def test_a_wrong_checksum_is_told_and_nothing_is_installed(
    hub: LoopbackHub, tmp_path: Path, file: str
) -> None:
    hub.faults.damaged.add(file)
    with pytest.raises(DownloadFailed, match=rf"{file} arrived damaged"):
        await shelf(tmp_path, hub.endpoint).pull()
    with pytest.raises(ModelNotInstalled):
        shelf(tmp_path, hub.endpoint).library.path(TINY)
    hub.faults.damaged.clear()
    assert (await shelf(tmp_path, hub.endpoint).pull()).commit == COMMIT


async def test_a_file_that_goes_on_past_its_size_does_not_fill_the_disk(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    hub.faults.overlong.add(WEIGHTS)
    seen: list[int] = []
    with pytest.raises(DownloadFailed, match=rf"{WEIGHTS} arrived damaged"):
        await asyncio.to_thread(
            shelf(tmp_path, hub.endpoint).library.pull,
            TINY,
            lambda progress: seen.append(progress.done_bytes),
        )
    assert max(seen) < 16 << 20


async def test_weights_that_are_cut_short_on_the_hub_itself_are_not_installed(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    files = tiny_model() | {WEIGHTS: safetensors(2000, missing_bytes=8)}
    hub.repositories["maker/tiny"] = Repository(files)
    with pytest.raises(BrokenModel, match=r"model.safetensors is cut short"):
        await shelf(tmp_path, hub.endpoint).pull()
    assert shelf(tmp_path, hub.endpoint).library.installed(TINY) is None


async def test_a_second_pull_downloads_nothing(hub: LoopbackHub, tmp_path: Path) -> None:
    first = await shelf(tmp_path, hub.endpoint).pull()
    hub.seen.clear()
    assert await shelf(tmp_path, hub.endpoint).pull() == first
    assert [seen.path for seen in hub.seen] == ["/api/models/maker/tiny/revision/main"]


async def test_a_new_commit_replaces_the_model(hub: LoopbackHub, tmp_path: Path) -> None:
    await shelf(tmp_path, hub.endpoint).pull()
    files = tiny_model(elements=10)
    del files["LICENSE"]
    hub.repositories["maker/tiny"] = Repository(files, commit="b" * 40)
    here = await shelf(tmp_path, hub.endpoint).pull()
    assert here.commit == "b" * 40
    assert (here.folder / WEIGHTS).read_bytes() == files[WEIGHTS]
    assert not (here.folder / "LICENSE").exists()


async def test_what_another_commit_left_is_not_mixed_in(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.faults.cut[WEIGHTS] = [1000, 0]
    with pytest.raises(DownloadFailed):
        await shelf(tmp_path, hub.endpoint).pull()
    hub.faults.cut.clear()
    files = tiny_model() | {WEIGHTS: safetensors(2001)}
    hub.repositories["maker/tiny"] = Repository(files, commit="b" * 40)
    here = await shelf(tmp_path, hub.endpoint).pull()
    assert (here.folder / WEIGHTS).read_bytes() == files[WEIGHTS]
    assert hub.downloads(WEIGHTS)[-1].range is None


async def test_an_unknown_repository_is_told(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.repositories.clear()
    with pytest.raises(DownloadFailed, match=r"maker/tiny is not on the hub, or is private"):
        await shelf(tmp_path, hub.endpoint).pull()


async def test_an_unknown_revision_is_told(hub: LoopbackHub, tmp_path: Path) -> None:
    entry = TINY.model_copy(update={"revision": "nowhere"})
    with pytest.raises(DownloadFailed, match=r"maker/tiny has no revision nowhere"):
        await shelf(tmp_path, hub.endpoint).pull(entry)


async def test_a_gated_model_says_where_its_terms_are(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.repositories["maker/tiny"].is_gated = True
    with pytest.raises(DownloadFailed) as caught:
        await shelf(tmp_path, hub.endpoint).pull()
    assert f"Accept its terms at {hub.endpoint}/maker/tiny" in caught.value.text
    assert "FIRESIDE_HUB__TOKEN" in caught.value.text


async def test_a_private_model_comes_with_the_right_token_only(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    hub.repositories["maker/tiny"] = Repository(tiny_model(), token="hf_right")
    with pytest.raises(DownloadFailed, match=r"set FIRESIDE_HUB__TOKEN"):
        await shelf(tmp_path, hub.endpoint).pull()
    with pytest.raises(DownloadFailed, match=r"the hub refused the token") as caught:
        await shelf(tmp_path, hub.endpoint, token=SecretStr("hf_wrong")).pull()
    assert "hf_wrong" not in caught.value.text
    here = await shelf(tmp_path, hub.endpoint, token=SecretStr("hf_right")).pull()
    assert here.commit == COMMIT


async def test_the_token_goes_to_the_hub_and_to_no_other_host(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    hub.repositories["maker/tiny"] = Repository(tiny_model(), token="hf_right")
    await shelf(tmp_path, hub.endpoint, token=SecretStr("hf_right")).pull()
    there = hub.downloads(WEIGHTS)
    assert there
    assert all(seen.authorization is None for seen in there)
    others = [seen for seen in hub.seen if "/content/" not in seen.path]
    assert {seen.authorization for seen in others} == {"Bearer hf_right"}


async def test_tokens_of_other_programs_are_never_sent(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_another_program")
    await shelf(tmp_path, hub.endpoint).pull()
    assert {seen.authorization for seen in hub.seen} == {None}


@pytest.mark.parametrize(
    ("status", "words"),
    [(429, "too many requests"), (503, "answered with error 503")],
)
async def test_a_hub_in_trouble_is_told(
    hub: LoopbackHub, tmp_path: Path, status: int, words: str
) -> None:
    hub.faults.status["config.json"] = status
    with pytest.raises(DownloadFailed, match=words):
        await shelf(tmp_path, hub.endpoint).pull()


async def test_strict_offline_refuses_before_any_connection(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    with pytest.raises(DownloadFailed, match=r"FIRESIDE_HUB__OFFLINE is set"):
        await shelf(tmp_path, hub.endpoint, offline=True).pull()
    assert hub.seen == []


async def test_offline_mode_of_huggingface_hub_is_honoured(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadFailed, match=r"HF_HUB_OFFLINE is set"):
        await shelf(tmp_path, hub.endpoint).pull()
    assert hub.seen == []


async def test_a_hub_that_is_not_there_is_told(hub: LoopbackHub, tmp_path: Path) -> None:
    async with running_hub() as other:
        endpoint = other.endpoint
    with pytest.raises(DownloadFailed, match=r"cannot be reached"):
        await shelf(tmp_path, endpoint).pull()


async def test_something_that_is_no_hub_is_told(hub: LoopbackHub, tmp_path: Path) -> None:
    with pytest.raises(DownloadFailed, match=r"does not answer like a model hub"):
        await shelf(tmp_path, f"{hub.endpoint}/maker/tiny/content/config.json?").pull()


async def test_a_proxy_from_the_environment_is_used(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", hub.endpoint)
    here = await shelf(tmp_path, "http://127.0.0.1.invalid").pull()
    assert here.commit == COMMIT


async def test_hosts_of_no_proxy_are_reached_directly(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    assert (await shelf(tmp_path, hub.endpoint).pull()).commit == COMMIT


async def test_a_certificate_is_trusted_only_from_the_ca_file(tmp_path: Path) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERTIFICATE)
    async with running_hub(tls) as hub:
        hub.repositories["maker/tiny"] = Repository(tiny_model())
        with pytest.raises(DownloadFailed, match=r"set FIRESIDE_HUB__CA_FILE"):
            await shelf(tmp_path, hub.endpoint).pull()
        with pytest.raises(DownloadFailed, match=r"set FIRESIDE_HUB__CA_FILE"):
            await shelf(tmp_path, hub.endpoint, ca_file=STRANGER).pull()
        here = await shelf(tmp_path, hub.endpoint, ca_file=CERTIFICATE).pull()
    assert here.commit == COMMIT


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_ca_file_that_is_none_is_told(
    hub: LoopbackHub, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DownloadFailed, match=r"FIRESIDE_HUB__CA_FILE"):
        await shelf(tmp_path, hub.endpoint, ca_file=file).pull()
    assert hub.seen == []


async def test_a_disk_without_room_is_told_before_anything_comes(
    hub: LoopbackHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)

    def nearly_full(_path: Path) -> object:
        return usage._replace(free=1000)

    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    with pytest.raises(DownloadFailed, match=r"Make room, or set FIRESIDE_MODELS_DIR"):
        await shelf(tmp_path, hub.endpoint).pull()
    assert hub.downloads(WEIGHTS) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EROFS, "the models' folder cannot be written"),
        (errno.EIO, "Input/output error"),
        (errno.ECONNRESET, "cannot be reached"),
    ],
)
def test_what_goes_wrong_on_the_disk_is_told(number: int, words: str) -> None:
    hub = Hub(HubSettings())
    with pytest.raises(DownloadFailed, match=words), hub.session(TINY):
        raise OSError(number, os.strerror(number), "/srv/models")


async def test_a_models_folder_that_cannot_be_made_is_told(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    (tmp_path / "models").write_text("in the way")
    with pytest.raises(DownloadFailed):
        await shelf(tmp_path, hub.endpoint).pull()


async def test_two_processes_do_not_pull_one_model(hub: LoopbackHub, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with (
        FileLock(tmp_path / "models" / ".tiny.lock"),
        pytest.raises(DownloadFailed, match=r"by another process"),
    ):
        await shelf(tmp_path, hub.endpoint).pull()


async def test_names_that_could_leave_the_folder_are_passed_over(
    hub: LoopbackHub, tmp_path: Path
) -> None:
    files = tiny_model() | {"../config.json": b"{}", "a/model.safetensors": b"x"}
    hub.repositories["maker/tiny"] = replace(hub.repositories["maker/tiny"], files=files)
    here = await shelf(tmp_path, hub.endpoint).pull()
    assert sorted(path.name for path in here.folder.parent.iterdir()) == [".tiny.lock", "tiny"]


QUANTIZED = {
    "tiny-Q4_1.gguf": b"",
    "tiny-Q8_0.gguf": b"another size of the same",
    "LICENSE": b"Do what you like.\n",
    "chat_template.jinja": b"{{ messages }}",
    "config.json": b'{"model_type": "llama"}\n',
    "README.md": b"# Tiny\n",
}


@pytest.fixture
def gguf(hub: LoopbackHub, tmp_path: Path) -> ModelEntry:
    """One of the GGUF files of a repository, served as a large file."""
    content = write_header(tmp_path / "made.gguf", described).read_bytes()
    hub.repositories["maker/tiny"] = Repository(
        QUANTIZED | {"tiny-Q4_1.gguf": content}, large=frozenset({"tiny-Q4_1.gguf"})
    )
    return TINY.model_copy(update={"file": "tiny-Q4_1.gguf"})


async def test_one_gguf_file_of_a_repository_is_pulled_with_its_licence_and_template(
    hub: LoopbackHub, gguf: ModelEntry, tmp_path: Path
) -> None:
    here = await shelf(tmp_path, hub.endpoint).pull(gguf)
    names = {path.name for path in here.folder.iterdir()}
    assert names == {"tiny-Q4_1.gguf", "LICENSE", "chat_template.jinja", "fireside.json"}
    assert here.commit == COMMIT


async def test_another_file_of_the_same_commit_replaces_it(
    hub: LoopbackHub, gguf: ModelEntry, tmp_path: Path
) -> None:
    await shelf(tmp_path, hub.endpoint).pull(gguf)
    files = hub.repositories["maker/tiny"].files
    files["tiny-Q8_0.gguf"] = files["tiny-Q4_1.gguf"]
    other = gguf.model_copy(update={"file": "tiny-Q8_0.gguf"})
    here = await shelf(tmp_path, hub.endpoint).pull(other)
    assert [path.name for path in here.folder.glob("*.gguf")] == ["tiny-Q8_0.gguf"]


async def test_a_gguf_file_that_the_repository_lacks_is_told(
    hub: LoopbackHub, gguf: ModelEntry, tmp_path: Path
) -> None:
    missing = gguf.model_copy(update={"file": "tiny-Q2_K.gguf"})
    with pytest.raises(DownloadFailed, match=r"maker/tiny has no file tiny-Q2_K.gguf\. Correct"):
        await shelf(tmp_path, hub.endpoint).pull(missing)


async def test_a_damaged_gguf_file_is_not_installed(
    hub: LoopbackHub, gguf: ModelEntry, tmp_path: Path
) -> None:
    hub.faults.damaged.add("tiny-Q4_1.gguf")
    with pytest.raises(DownloadFailed, match=r"tiny-Q4_1.gguf arrived damaged"):
        await shelf(tmp_path, hub.endpoint).pull(gguf)
    with pytest.raises(ModelNotInstalled):
        shelf(tmp_path, hub.endpoint).library.path(gguf)
