"""The constraints file: one version of everything, with no trace of where it was made."""

import re
import tomllib
from pathlib import Path
from typing import Any

from scripts.constraints import constraint_lines, requested
from scripts.requirements import ROOT, requirement_name
from scripts.torch_build import Wheel

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def pinned_lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pins() -> dict[str, str]:
    return dict(line.split("==") for line in pinned_lines())


def test_every_line_is_a_name_and_one_public_version() -> None:
    unfit = [line for line in pinned_lines() if not re.fullmatch(r"[a-z0-9-]+==[0-9][0-9.]*", line)]
    assert unfit == []


def test_no_address_is_left() -> None:
    text = (ROOT / "constraints.txt").read_text()
    traces = ("://", "file:", "+cpu", "@", "--find-links", "--index-url", "--extra-index-url", "/")
    assert [trace for trace in traces if trace in text] == []


def test_every_requirement_of_the_project_is_pinned() -> None:
    names = {requirement_name(line) for line in requested(ROOT)}
    assert names - pins().keys() == set()


def test_an_exact_version_in_pyproject_is_the_one_pinned() -> None:
    exact = [line.split("==") for line in requested(ROOT) if "==" in line]
    wrong = [name for name, version in exact if pins()[requirement_name(name)] != version]
    assert wrong == []


def test_the_platforms_of_the_next_issues_are_pinned() -> None:
    assert pins()["discord-py"] == "2.7.1"
    assert pins()["slack-bolt"] == "1.30.0"
    assert {"aiohttp", "slack-sdk"} <= pins().keys()


def test_names_are_sorted_so_that_a_change_reads_as_one() -> None:
    names = [line.partition("==")[0] for line in pinned_lines()]
    assert names == sorted(names)


def test_local_versions_and_what_only_cuda_needs_are_left_out() -> None:
    wheels = [
        Wheel("torch", "2.13.0+cpu", "file:///wheels/torch.whl"),
        Wheel("nvidia-nccl-cu13", "2.29.7", ""),
        Wheel("cuda-toolkit", "13.0.3", ""),
        Wheel("triton", "3.7.1", ""),
        Wheel("rich", "15.0.0", "https://index.example/rich.whl"),
    ]
    assert constraint_lines(wheels) == ["rich==15.0.0", "torch==2.13.0"]


def test_torch_from_a_cuda_index_is_still_pinned() -> None:
    assert constraint_lines([Wheel("torch", "2.13.0+cu130", "")]) == ["torch==2.13.0"]


def test_groups_and_extras_are_requested(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling==1"]\n'
        '[project]\ndependencies = ["torch==2"]\n'
        '[project.optional-dependencies]\ndev = ["pytest"]\n'
        '[dependency-groups]\nadapters = ["slack_sdk"]\n'
    )
    assert requested(tmp_path) == ("hatchling==1", "pytest", "slack_sdk", "torch==2")
