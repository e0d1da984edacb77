"""The tree of errors: everything that Fireside raises on purpose is in it."""

import ast
import builtins
from pathlib import Path

ROOT = Path(__file__).parent.parent

BUILT_IN = {
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


def test_every_exception_of_the_core_and_the_adapters_is_in_the_tree() -> None:
    outside = [
        f"{file.relative_to(ROOT)}: {node.name}"
        for folder in ("bot", "adapters")
        for file in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id in BUILT_IN for base in node.bases)
    ]
    assert outside == ["bot/errors.py: FiresideError"]
