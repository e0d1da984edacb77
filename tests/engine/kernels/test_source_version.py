"""What is kept on disk of compiled kernels is not used any more once their source has changed."""

import re
import shutil
from pathlib import Path

import pytest

import bot
from bot.engine.kernels import elementwise
from bot.engine.kernels.elementwise import VERSION, source_version

ROOM = Path(elementwise.__file__).parent


def modules_with_kernels() -> list[Path]:
    """Our modules that numba compiles something of, wherever they are."""
    imports_numba = re.compile(r"^(from|import) numba\b", re.MULTILINE)
    modules = sorted(Path(bot.__file__).parent.rglob("*.py"))
    return [module for module in modules if imports_numba.search(module.read_text("utf-8"))]


def test_every_module_with_a_kernel_is_in_the_room() -> None:
    modules = modules_with_kernels()
    assert {"attention.py", "elementwise.py", "matmul.py"} <= {module.name for module in modules}
    assert [module for module in modules if module.parent != ROOM] == []


def test_the_version_of_the_kernels_is_that_of_their_room() -> None:
    assert source_version(ROOM) == VERSION


@pytest.mark.parametrize("name", [module.name for module in modules_with_kernels()])
def test_a_changed_kernel_is_noticed(name: str, tmp_path: Path) -> None:
    room = shutil.copytree(ROOM, tmp_path / "room", ignore=shutil.ignore_patterns("__pycache__"))
    assert source_version(room) == VERSION
    source = bytearray((room / name).read_bytes())
    source[len(source) // 2] ^= 1
    (room / name).write_bytes(source)
    assert source_version(room) != VERSION
