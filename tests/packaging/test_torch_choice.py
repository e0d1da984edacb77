"""Which build of torch the set-up takes, as a table over what pip reports."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from scripts.requirements import SetupError, requirement_name
from scripts.setup_environment import CPU_INDEX, refuse_interpreter
from scripts.torch_build import (
    TorchChoice,
    Wheel,
    choose_torch,
    download_line,
    refusal,
    sized,
    wheels_in_report,
    without_credentials,
)

CUDA_REPORT = (
    "torch 2.13.0",
    "cuda-toolkit 13.0.3.0",
    "nvidia-cudnn-cu13 9.20.0.48",
    "sympy 1.14.0",
)
LOCAL_CPU_REPORT = ("torch 2.13.0+cpu", "sympy 1.14.0")
MAC_REPORT = ("torch 2.13.0", "sympy 1.14.0")
CUDA_INDEX_REPORT = ("torch 2.13.0+cu126",)


def reported(names: Sequence[str]) -> dict[str, Any]:
    """A report in pip's format, version 1, with the fields that matter."""
    return {
        "version": "1",
        "install": [
            {
                "metadata": {"name": name.split()[0], "version": name.split()[1]},
                "download_info": {"url": f"https://index.example/{name.split()[0]}.whl"},
            }
            for name in names
        ],
    }


def chosen(wheels: Sequence[Wheel], override: str | None, *, gpu: bool) -> TorchChoice:
    return choose_torch(wheels, override=override, gpu=gpu, cpu_index=CPU_INDEX)


@pytest.mark.parametrize(
    ("report", "override", "gpu", "index"),
    [
        (LOCAL_CPU_REPORT, None, False, None),
        (LOCAL_CPU_REPORT, None, True, None),
        (MAC_REPORT, None, False, None),
        (CUDA_REPORT, None, True, None),
        (CUDA_REPORT, None, False, CPU_INDEX),
        (CUDA_INDEX_REPORT, None, False, CPU_INDEX),
        (CUDA_REPORT, "https://mirror.example/cu130", False, "https://mirror.example/cu130"),
        (LOCAL_CPU_REPORT, "https://mirror.example/cu130", True, "https://mirror.example/cu130"),
        ((), "https://mirror.example/cpu", False, "https://mirror.example/cpu"),
    ],
)
def test_torch_comes_from_the_index_that_fits_the_machine(
    report: Sequence[str], override: str | None, gpu: bool, index: str | None
) -> None:
    wheels = wheels_in_report(reported(report))
    assert chosen(wheels, override, gpu=gpu).index == index


def test_the_reason_tells_apart_what_was_found() -> None:
    cuda = wheels_in_report(reported(CUDA_REPORT))
    cpu = wheels_in_report(reported(LOCAL_CPU_REPORT))
    reasons = {
        chosen(cuda, None, gpu=True).why,
        chosen(cuda, None, gpu=False).why,
        chosen(cpu, None, gpu=False).why,
        chosen(cuda, "https://mirror.example", gpu=False).why,
    }
    assert len(reasons) == 4


def test_names_in_a_report_are_normalized() -> None:
    (wheel,) = wheels_in_report(reported(["Nvidia_Cublas 13.1"]))
    assert wheel.name == "nvidia-cublas"
    assert wheel.is_cuda


def test_the_size_of_every_heavy_wheel_is_said_before_the_download() -> None:
    wheels = [Wheel("torch", "2.13.0", "", 530_000_000), Wheel("nvidia-nccl", "2", "", 470_000_000)]
    line = download_line("torch==2.13.0", TorchChoice(None, "CUDA build"), wheels)
    assert line == "torch==2.13.0: CUDA build; 1,000 MB"


def test_a_size_known_in_part_is_a_lower_bound() -> None:
    wheels = [Wheel("torch", "2.13.0", "", 530_000_000), Wheel("nvidia-nccl", "2", "")]
    assert download_line("torch", TorchChoice(None, "CUDA build"), wheels).endswith(
        "at least 530 MB"
    )


def test_an_unknown_size_is_said_to_be_unknown() -> None:
    line = download_line("torch", TorchChoice(CPU_INDEX, "CPU build"), [Wheel("torch", "2", "")])
    assert line.endswith("the index does not tell the size")
    assert CPU_INDEX in line


def test_the_size_of_a_local_wheel_is_read_from_the_disk(tmp_path: Path) -> None:
    wheel = tmp_path / "torch-2.13.0+cpu.whl"
    wheel.write_bytes(b"x" * 1234)
    assert sized(Wheel("torch", "2.13.0+cpu", wheel.as_uri())).size == 1234


def test_an_index_that_does_not_answer_leaves_the_size_unknown(tmp_path: Path) -> None:
    assert sized(Wheel("torch", "2.13.0", (tmp_path / "gone.whl").as_uri())).size is None


def test_light_packages_are_not_asked_for_their_size() -> None:
    assert sized(Wheel("sympy", "1.14.0", "not an address")).size is None


def test_a_password_in_an_index_is_never_shown() -> None:
    shown = without_credentials("https://user:secret@mirror.example:8443/simple?a=b")
    assert shown == "https://mirror.example:8443/simple?a=b"
    choice = TorchChoice("https://user:secret@mirror.example/simple", "TORCH_INDEX is set")
    assert "secret" not in download_line("torch", choice, [])


def test_an_interpreter_that_torch_has_no_build_for_is_refused_with_advice() -> None:
    for minor in (11, 12, 13, 14):
        refuse_interpreter((3, minor))
    with pytest.raises(
        SetupError, match=r"this is 3\.15\. Name an older one: make PYTHON="
    ) as error:
        refuse_interpreter((3, 15))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("sqlalchemy[asyncio]", "sqlalchemy"),
        ("torch==2.13.0", "torch"),
        ("huggingface_hub", "huggingface-hub"),
        ("Discord.py >= 2; python_version > '3'", "discord-py"),
    ],
)
def test_the_name_is_read_from_a_requirement_line(line: str, name: str) -> None:
    assert requirement_name(line) == name


def test_a_requirement_that_cannot_be_read_is_an_error_that_quotes_it() -> None:
    with pytest.raises(SetupError, match="'== 3'"):
        requirement_name("== 3")


def test_an_index_that_cannot_be_reached_is_told_apart_from_one_without_torch() -> None:
    none = "ERROR: No matching distribution found for torch==2.13.0\n"
    retrying = (
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'NameResolutionError'\n"
    )
    assert refusal(retrying + none) == "it cannot be reached"
    assert refusal(none) == "No matching distribution found for torch==2.13.0"
    assert refusal("") == "no reason given"
