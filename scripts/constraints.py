"""Writes constraints.txt: the one version of every package that set-up installs.

Run as ``make constraints``. pip is asked what it would take for the project, its extras and its
dependency groups (``--dry-run --report``: nothing is installed), and only names and versions are
kept: no address of an index, no local version such as ``+cpu``, and nothing that only a CUDA build
of torch brings, since torch pins those itself.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scripts.requirements import ROOT, requirements
from scripts.torch_build import Wheel, wheels_in_report

HEADER = """\
# One version of every package, for Python 3.11.
# Regenerated, at the newest versions, by: make constraints
"""


def requested(root: Path) -> tuple[str, ...]:
    """Every requirement line of pyproject.toml: the project's, extras', groups', back end's."""
    pyproject: Mapping[str, Any] = tomllib.loads((root / "pyproject.toml").read_text())
    extras = requirements(root, extras=tuple(pyproject["project"]["optional-dependencies"]))
    groups = pyproject.get("dependency-groups", {}).values()
    return tuple(sorted({*extras, *(line for group in groups for line in group)}))


def constraint_lines(wheels: Iterable[Wheel]) -> list[str]:
    """Sorted ``name==version`` lines, fit for any index and any build of torch."""
    kept = (wheel for wheel in wheels if wheel.name == "torch" or not wheel.is_heavy)
    by_name = {wheel.name: wheel.version.partition("+")[0] for wheel in kept}
    return [f"{name}=={by_name[name]}" for name in sorted(by_name)]


def resolve(lines: Iterable[str]) -> tuple[Wheel, ...]:
    """What pip would install for these requirement lines in an empty environment."""
    question = ["install", "--dry-run", "--ignore-installed", "--quiet", "--report"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", *question, str(report), *lines]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return wheels_in_report(json.loads(report.read_text()))


def main() -> None:
    if sys.version_info[:2] != (3, 11):
        sys.exit("constraints: the pins are made for Python 3.11; run it with that version")
    lines = constraint_lines(resolve(requested(ROOT)))
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(lines) + "\n")
    print(f"constraints.txt: {len(lines)} packages")


if __name__ == "__main__":
    main()
