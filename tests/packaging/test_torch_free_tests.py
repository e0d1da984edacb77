"""How the other versions of Python are found, and which tests they run."""

import ast
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

import pytest

from scripts import torch_free_tests
from scripts.requirements import ROOT, SetupError, requirement_name, requirements
from scripts.torch_free_tests import (
    Run,
    candidates,
    find_python,
    other_minors,
    pytest_arguments,
    torch_free,
)

NEEDS_TORCH = frozenset({"torch", "transformers"})


def install(folder: Path, minor: int, exit_code: int = 0) -> Path:
    """A stand-in for an interpreter that answers every question with this exit status."""
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / f"python3.{minor}"
    python.write_text(f"#!/bin/sh\nexit {exit_code}\n")
    python.chmod(0o755)
    return python


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with no Python on its path and none under pyenv."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    return tmp_path


def test_the_versions_after_the_tested_one_are_tried() -> None:
    assert list(other_minors()) == [12, 13, 14]


def test_a_version_that_is_not_there_is_none(empty_machine: Path) -> None:
    assert empty_machine.exists()
    assert find_python(12) is None


def test_a_python_on_the_path_comes_first(empty_machine: Path) -> None:
    on_path = install(empty_machine / "bin", 12)
    install(empty_machine / "pyenv" / "versions" / "3.12.1" / "bin", 12)
    assert find_python(12) == on_path


def test_a_name_on_the_path_that_only_complains_is_passed_over(empty_machine: Path) -> None:
    install(empty_machine / "bin", 12, exit_code=127)
    real = install(empty_machine / "pyenv" / "versions" / "3.12.1" / "bin", 12)
    assert find_python(12) == real


def test_another_minor_version_is_not_taken(empty_machine: Path) -> None:
    install(empty_machine / "pyenv" / "versions" / "3.13.0" / "bin", 13)
    assert list(candidates(12)) == []


def test_torch_and_the_static_checks_are_not_installed_for_it() -> None:
    lines = ("torch==2.13.0", "transformers==5.23.0", "rich", "pytest", "pyright[nodejs]", "ruff")
    assert torch_free(lines) == ("rich", "pytest")


def test_nothing_that_is_installed_for_it_asks_for_torch() -> None:
    names = [requirement_name(line) for line in torch_free(requirements(ROOT, extras=("dev",)))]
    asked = {
        name: [requirement_name(line) for line in requires(name) or () if "extra ==" not in line]
        for name in names
    }
    assert [name for name, needed in asked.items() if "torch" in needed] == []


def test_the_folders_named_in_pyproject_are_left_out() -> None:
    pyproject = '[tool.fireside]\ntorch-tests = ["tests/engine", "tests/e2e"]\n'
    assert pytest_arguments(pyproject)[-2:] == ["--ignore=tests/engine", "--ignore=tests/e2e"]


def test_a_machine_without_other_versions_says_so_and_passes(
    empty_machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert empty_machine.exists()
    assert torch_free_tests.main() == 0
    told = capsys.readouterr().err
    assert all(f"Python 3.{minor}: not found" in told for minor in other_minors())


def finished(version: str, script: str) -> Run:
    """A run whose tests are a shell script."""
    output = tempfile.TemporaryFile()  # noqa: SIM115 - the run closes it
    process = subprocess.Popen(["/bin/sh", "-c", script], stdout=output)
    return Run(version, process, output)


def start_by_version(python: Path, version: str) -> Run:
    assert python.name == f"python{version}"
    match version:
        case "3.12":
            return finished(version, "echo 7 passed")
        case "3.13":
            return finished(version, "echo 1 failed; exit 1")
        case _:
            raise SetupError("no wheel for it")


@pytest.mark.parametrize(("minors", "status"), [((12,), 0), ((12, 13), 1), ((12, 14), 1)])
def test_one_version_that_fails_or_cannot_be_prepared_fails_the_whole(
    empty_machine: Path, monkeypatch: pytest.MonkeyPatch, minors: tuple[int, ...], status: int
) -> None:
    for minor in minors:
        install(empty_machine / "bin", minor)
    monkeypatch.setattr(torch_free_tests, "start", start_by_version)
    assert torch_free_tests.main() == status


def test_what_the_tests_said_is_shown_in_the_order_of_versions(
    empty_machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(empty_machine / "bin", 12)
    install(empty_machine / "bin", 13)
    monkeypatch.setattr(torch_free_tests, "start", start_by_version)
    torch_free_tests.main()
    assert capsys.readouterr().out == "7 passed\n1 failed\n"


def modules_imported_at_the_top(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def loaded_without_torch() -> Iterator[Path]:
    """What pytest loads by itself under the other versions."""
    named = [ROOT / a.removeprefix("--ignore=") for a in pytest_arguments(_pyproject())[3:]]
    for path in (ROOT / "tests").rglob("*.py"):
        is_loaded = path.name.startswith("test_") or path.name == "conftest.py"
        if is_loaded and not any(path.is_relative_to(folder) for folder in named):
            yield path


def test_only_the_named_folders_import_torch() -> None:
    found = [
        path.relative_to(ROOT).as_posix()
        for path in loaded_without_torch()
        if NEEDS_TORCH & set(modules_imported_at_the_top(path))
    ]
    assert found == []


def _pyproject() -> str:
    return (ROOT / "pyproject.toml").read_text()
