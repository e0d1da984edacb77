"""Creates the virtual environment and installs the pinned packages, torch first.

Run by the Makefile and the Dockerfile as ``python3 -m scripts.setup_environment`` with nothing
installed: the standard library only. It is not a package manager: pip decides and installs; this
script says which build of torch to take and when nothing is left to do. A stamp beside the packages
holds a hash of everything that the install depends on, so that a second run starts no pip, and an
interrupted one is repeated.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - older interpreters read this far, and are told why
    sys.exit(
        "set-up: Fireside needs Python 3.11 or newer, and this is %d.%d. Install a newer one "  # noqa: UP031
        "and name it: make PYTHON=python3.12 chat" % sys.version_info[:2]
    )

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import tomllib
import urllib.parse
import urllib.request
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

PIP_VERSION = "26.3"
NEWEST_PYTHON = (3, 14)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
ROOT = Path(__file__).resolve().parent.parent
DEFAULT_VENV = ROOT / ".venv"
GPU_PATHS = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidia0"))
CUDA_PREFIXES = ("nvidia-", "cuda-")
HEAD_TIMEOUT_S = 10


Project = Literal["editable", "copied", "absent"]


class SetupError(Exception):
    """A failure told to the user in one line: what happened, and what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an environment must hold. ``requirements`` are pip's, with or without torch."""

    venv: Path
    python: str
    requirements: tuple[str, ...]
    project: Project = "editable"

    @property
    def torch(self) -> str | None:
        """The requirement line for torch, or None for an environment that does without."""
        return next((line for line in self.requirements if requirement_name(line) == "torch"), None)

    @property
    def venv_python(self) -> Path:
        return self.venv / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Wheel:
    """One distribution that pip would take; ``size`` in bytes, None where it is not told."""

    name: str
    version: str
    url: str
    size: int | None = None

    @property
    def is_cuda(self) -> bool:
        return self.name.startswith(CUDA_PREFIXES) or "+cu" in self.version

    @property
    def is_heavy(self) -> bool:
        return self.is_cuda or self.name in {"torch", "triton"}


@dataclass(frozen=True, slots=True)
class TorchChoice:
    """Where torch is taken from (``index`` None: wherever pip is configured to look) and why."""

    index: str | None
    why: str


# Decisions: pure, tested as a table.


def requirement_name(line: str) -> str:
    """The normalized project name (PEP 503) of a requirement line."""
    match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line)
    if match is None:
        raise SetupError(f"pyproject.toml holds a requirement that cannot be read: {line!r}")
    return re.sub(r"[-_.]+", "-", match.group()).lower()


def refuse_interpreter(version: tuple[int, int]) -> None:
    """Raises SetupError for a Python that no build of torch is made for."""
    if version > NEWEST_PYTHON:
        newest = ".".join(map(str, NEWEST_PYTHON))
        raise SetupError(
            f"Fireside runs on Python 3.11 to {newest}, and this is {version[0]}.{version[1]}. "
            f"Name an older one: make PYTHON=python{newest} chat"
        )


def wheels_in_report(report: Mapping[str, Any]) -> tuple[Wheel, ...]:
    """The distributions in pip's installation report (https://pip.pypa.io/en/stable/reference/installation-report/)."""
    return tuple(
        Wheel(
            name=requirement_name(item["metadata"]["name"]),
            version=item["metadata"]["version"],
            url=item["download_info"]["url"],
        )
        for item in report["install"]
    )


def choose_torch(wheels: Iterable[Wheel], *, override: str | None, gpu: bool) -> TorchChoice:
    """Which index to take torch from, given what pip would take by itself.

    An override always wins. A build without CUDA (a local CPU wheel, macOS) is taken as it is.
    Gigabytes of CUDA are taken where a GPU can use them, and nowhere else.
    """
    if override:
        return TorchChoice(override, "TORCH_INDEX is set")
    if not any(wheel.is_cuda for wheel in wheels):
        return TorchChoice(None, "CPU build at hand")
    if gpu:
        return TorchChoice(None, "CUDA build, NVIDIA GPU found")
    return TorchChoice(CPU_INDEX, "CPU build, no NVIDIA GPU found")


def download_line(torch: str, choice: TorchChoice, wheels: Iterable[Wheel]) -> str:
    """What is said before the download: the build, why, from where, and the size if known."""
    sizes = [wheel.size for wheel in wheels if wheel.is_heavy]
    known = sum(size for size in sizes if size is not None)
    if not known:
        amount = "the index does not tell the size"
    else:
        amount = f"{'at least ' if None in sizes else ''}{known / 1e6:,.0f} MB"
    source = f", from {without_credentials(choice.index)}" if choice.index else ""
    return f"{torch}: {choice.why}{source}; {amount}"


def without_credentials(url: str) -> str:
    """The address without the user and password that a private index may carry."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def refusal(stderr: str) -> str:
    """Why pip found nothing; its own last line hides that the index did not answer."""
    if "connection broken by" in stderr or "Connection to" in stderr:
        return "it cannot be reached"
    return last_line(stderr)


def fingerprint(plan: Plan, inputs: Iterable[bytes]) -> str:
    """A hash of everything that decides what the environment holds."""
    digest = hashlib.sha256()
    for part in (repr((plan.requirements, plan.project, str(plan.venv))).encode(), *inputs):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


# What the project asks for.


def requirements(root: Path, *, extras: Sequence[str] = ()) -> tuple[str, ...]:
    """The project's requirement lines, those of the named extras, and the build back end's."""
    pyproject = tomllib.loads((root / "pyproject.toml").read_text())
    project = pyproject["project"]
    optional = [line for extra in extras for line in project["optional-dependencies"][extra]]
    return (*project["dependencies"], *optional, *pyproject["build-system"]["requires"])


def install_inputs() -> tuple[bytes, ...]:
    """The contents of the files that the install depends on, with the version of Python."""
    files = (ROOT / "pyproject.toml", ROOT / "constraints.txt", Path(__file__))
    return (*(path.read_bytes() for path in files), PIP_VERSION.encode())


# Effects.


def say(text: str) -> None:
    print(f"set-up: {text}", file=sys.stderr, flush=True)


def stamp_path(plan: Plan) -> Path:
    """Where the plan's stamp lies: plans for one environment do not undo each other."""
    name = hashlib.sha256(repr(sorted(map(requirement_name, plan.requirements))).encode())
    return plan.venv / f".fireside-{name.hexdigest()[:12]}"


def torch_stamp_path(plan: Plan) -> Path:
    return plan.venv / ".fireside-torch"


def is_ready(plan: Plan) -> bool:
    """Whether an earlier run finished with the same inputs and the interpreter is still there."""
    stamp = stamp_path(plan)
    if not os.access(plan.venv_python, os.X_OK) or not stamp.is_file() or wants_other_torch(plan):
        return False
    return stamp.read_text() == fingerprint(plan, install_inputs())


def wants_other_torch(plan: Plan) -> bool:
    """Whether TORCH_INDEX names another source than the one that the installed torch came from."""
    override = torch_override()
    if plan.torch is None or override is None:
        return False
    stamp = torch_stamp_path(plan)
    return not stamp.is_file() or stamp.read_text() != torch_stamp(plan.torch, override)


def torch_override() -> str | None:
    return os.environ.get("TORCH_INDEX") or None


def torch_stamp(torch: str, index: str | None) -> str:
    """Names the build without writing an address that may hold a password."""
    return f"{torch} {hashlib.sha256((index or '').encode()).hexdigest()}"


def prepare(plan: Plan, *, includes: Sequence[Plan] = ()) -> None:
    """Makes the environment hold what the plan says; returns at once if it does.

    ``includes`` are smaller plans for the same environment that are fulfilled with this one.
    Raises SetupError.
    """
    if is_ready(plan):
        return
    with locked():
        if is_ready(plan):  # another process finished it while this one waited
            return
        for stamp in plan.venv.glob(".fireside-*"):
            if stamp != torch_stamp_path(plan):
                stamp.unlink()
        create_environment(plan)
        if plan.torch is not None:
            install_torch(plan, plan.torch)
        install_requirements(plan)
        install_project(plan)
        for finished in (*includes, plan):
            stamp_path(finished).write_text(fingerprint(finished, install_inputs()))


@contextlib.contextmanager
def locked() -> Generator[None]:
    """Holds the set-up for one process at a time; the lock ends with the process."""
    with (ROOT / "pyproject.toml").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def create_environment(plan: Plan) -> None:
    """An environment with the pinned pip; one that is broken or was moved is made anew."""
    pip_version = installed_pip(plan)
    if pip_version is None:
        say(f"creating {plan.venv.name} with {plan.python}")
        finished = subprocess.run(
            [plan.python, "-m", "venv", "--clear", str(plan.venv)], capture_output=True, text=True
        )
        if finished.returncode != 0:
            reason = last_line(finished.stdout + finished.stderr)
            raise SetupError(
                f"{plan.python} could not create {plan.venv}: {reason} "
                "(on Debian and Ubuntu: apt install python3-venv)"
            )
    if pip_version != PIP_VERSION:
        pip(plan, "install", f"pip=={PIP_VERSION}", doing=f"install pip {PIP_VERSION}")


def installed_pip(plan: Plan) -> str | None:
    """The version of pip in the environment, or None where none works at this very path."""
    configuration = plan.venv / "pyvenv.cfg"
    if not configuration.is_file() or not configuration.read_text().rstrip().endswith(
        f" {plan.venv}"
    ):
        return None
    try:
        finished = subprocess.run(
            [str(plan.venv_python), "-m", "pip", "--version"], capture_output=True, text=True
        )
    except OSError:
        return None
    return finished.stdout.split()[1] if finished.returncode == 0 else None


def install_torch(plan: Plan, torch: str) -> None:
    """Installs the chosen build of torch alone; what it requires comes with the other packages."""
    override = torch_override()
    if is_torch_installed(plan, torch) and not wants_other_torch(plan):
        return
    say(f"asking the index for {torch}")
    choice, wheels = chosen_torch(plan, torch, override)
    say(download_line(torch, choice, map(sized, wheels)))
    torch_stamp_path(plan).unlink(missing_ok=True)
    arguments = ["--force-reinstall"] if is_torch_installed(plan, torch) else []
    pip(
        plan,
        "install",
        "--no-deps",
        *arguments,
        *index_arguments(choice),
        torch,
        doing=f"install {torch}",
    )
    torch_stamp_path(plan).write_text(torch_stamp(torch, override))


def chosen_torch(
    plan: Plan, torch: str, override: str | None
) -> tuple[TorchChoice, tuple[Wheel, ...]]:
    """The choice, and the wheels that it means downloading."""
    if override:
        wheels: tuple[Wheel, ...] = ()
    else:
        wheels = would_take(plan, torch, TorchChoice(None, ""))
    choice = choose_torch(wheels, override=override, gpu=is_gpu_present())
    return choice, wheels if choice.index is None else would_take(plan, torch, choice)


def is_torch_installed(plan: Plan, torch: str) -> bool:
    """Whether the pinned torch is there; a torch of another version is replaced."""
    wanted = torch.partition("==")[2]
    found = plan.venv.glob(f"lib/python*/site-packages/torch-{wanted}*.dist-info/RECORD")
    return any(found)


def index_arguments(choice: TorchChoice) -> list[str]:
    return [] if choice.index is None else ["--index-url", choice.index]


def would_take(plan: Plan, torch: str, choice: TorchChoice) -> tuple[Wheel, ...]:
    """Asks pip what it would install; it reads metadata only. Raises SetupError."""
    where = without_credentials(choice.index) if choice.index else "the configured package index"
    alone = (
        ["--no-deps"] if choice.index else []
    )  # an index of torch alone need not hold what torch requires
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        question = [
            "install",
            "--dry-run",
            "--ignore-installed",
            "--quiet",
            "--report",
            str(report),
        ]
        finished = subprocess.run(
            [*pip_command(plan), *question, *alone, *index_arguments(choice), torch],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if finished.returncode != 0:
            raise SetupError(
                f"{where} gives no {torch}: {refusal(finished.stderr)}. Check the network and "
                "HTTPS_PROXY, or name an index that has it: TORCH_INDEX=https://..."
            )
        return wheels_in_report(json.loads(report.read_text()))


def is_gpu_present() -> bool:
    """Whether an NVIDIA driver shows a GPU on this machine."""
    if any(path.exists() for path in GPU_PATHS):
        return True
    command = shutil.which("nvidia-smi")
    if command is None:
        return False
    finished = subprocess.run([command, "-L"], capture_output=True, text=True)
    return finished.returncode == 0 and "GPU" in finished.stdout


def sized(wheel: Wheel) -> Wheel:
    """The wheel with its size, if it is a heavy one and the index tells."""
    if not wheel.is_heavy:
        return wheel
    try:
        request = urllib.request.Request(wheel.url, method="HEAD")  # noqa: S310 - the address pip reported
        with urllib.request.urlopen(request, timeout=HEAD_TIMEOUT_S) as answer:  # noqa: S310
            size = int(answer.headers["Content-Length"])
    except (OSError, ValueError, TypeError):
        return wheel
    return Wheel(wheel.name, wheel.version, wheel.url, size)


def install_requirements(plan: Plan) -> None:
    say(f"installing the pinned packages of {plan.venv.name}")
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    pip(plan, "install", *constraints, *plan.requirements, doing="install the pinned packages")


def install_project(plan: Plan) -> None:
    """Installs Fireside itself with the pinned build back end: no index is asked."""
    if plan.project == "absent":
        return
    how = ["--no-deps", "--no-build-isolation"]
    what = ["--editable", str(ROOT)] if plan.project == "editable" else [str(ROOT)]
    pip(plan, "install", *how, *what, doing="install Fireside itself")


def pip_command(plan: Plan) -> list[str]:
    return [str(plan.venv_python), "-m", "pip", "--disable-pip-version-check"]


def pip(plan: Plan, *arguments: str, doing: str) -> None:
    """Runs pip, which says on a terminal what it does; raises SetupError when it fails."""
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    finished = subprocess.run(
        [*pip_command(plan), *arguments, *quiet], stdin=subprocess.DEVNULL, stdout=sys.stderr
    )
    if finished.returncode != 0:
        raise SetupError(
            f"pip could not {doing}; its message is above. Check the network, HTTPS_PROXY and the "
            "free disk space, and run the same command again"
        )


def last_line(text: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("ERROR: ") if lines else "no reason given"


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Create the environment that Fireside runs in.")
    parser.add_argument("--dev", action="store_true", help="add what the tests and checks need")
    parser.add_argument("--venv", type=Path, default=DEFAULT_VENV, help="where (default: .venv)")
    parser.add_argument(
        "--project",
        choices=get_args(Project),
        default="editable",
        help="how Fireside itself is installed: linked to this folder, copied (for a container), "
        "or not yet (to cache what it requires)",
    )
    return parser.parse_args(argv)


def set_up(venv: Path, project: Project, *, dev: bool) -> None:
    """Prepares the environment for running, or for developing and running. Raises SetupError."""
    refuse_interpreter(sys.version_info[:2])
    running = Plan(venv, sys.executable, requirements(ROOT), project)
    if not dev:
        prepare(running)
        return
    developing = Plan(venv, sys.executable, requirements(ROOT, extras=("dev",)), project)
    prepare(developing, includes=(running,))


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 after one line that says what failed."""
    arguments = parse_arguments(argv)
    try:
        set_up(arguments.venv.absolute(), arguments.project, dev=arguments.dev)
    except (SetupError, OSError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
