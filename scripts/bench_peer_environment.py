"""Creates the environment of CTranslate2, beside which `make bench-peers` measures T5.

It is no dependency of Fireside, so it gets an environment of its own, `.venv-bench-ctranslate2`,
with the torch and transformers that convert a checkpoint for it. vLLM's environment is that of
`model_server_environment.py`.
"""

import sys

from scripts.model_server_environment import stamp
from scripts.requirements import ROOT, SetupError, requirement_name, requirements
from scripts.setup_environment import Plan, create_environment, install_torch, locked, pip, say

VENV = ROOT / ".venv-bench-ctranslate2"
PEER = "ctranslate2==4.8.5"
CONVERTER = frozenset({"transformers", "sentencepiece"})


def prepare() -> None:
    """Makes the environment hold the peer; returns at once if it does. Raises SetupError."""
    wanted = requirements(ROOT)
    torch = next(line for line in wanted if requirement_name(line) == "torch")
    converter = [line for line in wanted if requirement_name(line) in CONVERTER]
    plan = Plan(VENV, sys.executable, (torch,), "absent")
    file = stamp(VENV)
    with locked():
        if file.is_file() and file.read_text() == PEER:
            return
        create_environment(plan)
        install_torch(plan, torch)
        say(f"installing {PEER} into {VENV.name}")
        pip(plan, "install", torch, *converter, PEER, doing=f"install {PEER}")
        file.write_text(PEER)


def main() -> int:
    """Returns 0, or 1 after one line that says what failed."""
    try:
        prepare()
    except (SetupError, OSError) as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
