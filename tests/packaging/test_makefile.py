"""What the targets of the Makefile run, as `make --dry-run` prints it."""

import subprocess

from scripts.requirements import ROOT

VERSIONS = ("3.11", "3.12", "3.13", "3.14")


def commands(*targets: str) -> str:
    """What make would run."""
    asked = ["make", "--dry-run", "--no-print-directory", *targets]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def checked_types(printed: str) -> list[str]:
    return [one for one in VERSIONS if f"--pythonversion {one}" in printed]


def test_every_run_checks_lint_contracts_and_the_oldest_and_newest_types() -> None:
    printed = commands("test")
    assert checked_types(printed) == ["3.11", "3.14"]
    for tool in ("ruff format --check", "ruff check", "lint-imports", "pytest -n logical"):
        assert tool in printed


def test_all_adds_the_other_types_and_pythons_coverage_and_a_cut_of_the_fuzz() -> None:
    printed = commands("test-all")
    assert checked_types(printed) == [*VERSIONS]
    for command in ("scripts.torch_free_tests", "--cov ", "FUZZ_SEQUENCES="):
        assert command in printed


def test_each_change_runs_test_and_then_the_rest_of_all() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    asked = [line.split()[1] for line in lines if line.startswith("make ")]
    assert asked == ["test", "test-rest"]
    both = commands(*asked).splitlines()
    assert set(commands("test-all").splitlines()) <= set(both)
