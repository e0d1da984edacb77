"""The set-up against a stand-in for the environment's Python that records what pip is asked."""

import os
from pathlib import Path

import pytest

from scripts import setup_environment, torch_build
from scripts.requirements import ROOT, SetupError
from scripts.setup_environment import PIP_VERSION, Plan, is_ready, prepare

RECORDING_PYTHON = f"""#!/bin/sh
here=$(dirname "$0")
case "$*" in
    "-m pip --version") echo "pip {PIP_VERSION} from somewhere"; exit 0 ;;
    "-m venv --clear "*) echo "ensurepip is not available"; exit 1 ;;
esac
echo "$@" >> "$here/calls"
while [ $# -gt 0 ]; do
    if [ "$1" = --report ]; then
        [ -f "$here/report" ] || {{ echo "ERROR: No matching distribution found" >&2; exit 1; }}
        cp "$here/report" "$2"
    fi
    [ "$1" = "$(cat "$here/broken" 2>/dev/null)" ] && exit 1
    shift
done
exit 0
"""

CPU_REPORT = (
    '{"install": [{"metadata": {"name": "torch", "version": "2.13.0+cpu"},'
    ' "download_info": {"url": "file:///nowhere/torch.whl"}}]}'
)


@pytest.fixture(autouse=True)
def no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCH_INDEX", raising=False)


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """An environment whose Python records its calls in ``bin/calls``."""
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text(f"command = /usr/bin/python3 -m venv {folder}\n")
    python = folder / "bin" / "python"
    python.write_text(RECORDING_PYTHON)
    python.chmod(0o755)
    (folder / "bin" / "report").write_text(CPU_REPORT)
    return folder


def plan_for(venv: Path, *lines: str) -> Plan:
    return Plan(venv, str(venv / "bin" / "python"), lines or ("torch==2.13.0", "rich"))


def calls(venv: Path) -> list[str]:
    path = venv / "bin" / "calls"
    return path.read_text().splitlines() if path.exists() else []


def break_on(venv: Path, argument: str) -> None:
    (venv / "bin" / "broken").write_text(argument)


def repair(venv: Path) -> None:
    (venv / "bin" / "broken").unlink()


def pretend_torch_was_unpacked(venv: Path, version: str = "2.13.0+cpu") -> None:
    info = venv / "lib" / "python3.11" / "site-packages" / f"torch-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").touch()


def test_torch_is_installed_first_then_the_pinned_packages_then_the_project(venv: Path) -> None:
    prepare(plan_for(venv))
    asked, torch, packages, project = calls(venv)
    assert "--dry-run" in asked
    assert "--no-deps torch==2.13.0" in torch
    assert "--constraint" in packages
    assert packages.endswith("torch==2.13.0 rich --quiet")
    assert "--no-build-isolation --editable" in project


def test_a_second_run_starts_no_pip(venv: Path) -> None:
    prepare(plan_for(venv))
    before = calls(venv)
    prepare(plan_for(venv))
    assert calls(venv) == before


def test_an_interrupted_install_is_repeated(venv: Path) -> None:
    break_on(venv, "--constraint")
    with pytest.raises(SetupError, match="could not install the pinned packages"):
        prepare(plan_for(venv))
    assert not is_ready(plan_for(venv))
    repair(venv)
    prepare(plan_for(venv))
    assert is_ready(plan_for(venv))


def test_an_install_that_breaks_takes_back_what_was_finished_before(venv: Path) -> None:
    prepare(plan_for(venv))
    break_on(venv, "--constraint")
    with pytest.raises(SetupError):
        prepare(plan_for(venv, "torch==2.13.0", "rich", "typer"))
    assert not is_ready(plan_for(venv))


def test_changed_inputs_are_installed_again(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(plan_for(venv))

    def changed(_plan: Plan) -> tuple[bytes, ...]:
        return (b"constraints changed",)

    monkeypatch.setattr(setup_environment, "install_inputs", changed)
    assert not is_ready(plan_for(venv))


def test_what_decides_the_install_is_read_anew_each_time(venv: Path) -> None:
    inputs = setup_environment.install_inputs(plan_for(venv))
    assert (ROOT / "pyproject.toml").read_bytes() in inputs
    assert (ROOT / "constraints.txt").read_bytes() in inputs
    assert (ROOT / "scripts" / "setup_environment.py").read_bytes() in inputs


def test_a_python_that_was_upgraded_under_the_environment_is_noticed(
    venv: Path, tmp_path: Path
) -> None:
    python = venv / "bin" / "python"
    old, upgraded = tmp_path / "python3.11", tmp_path / "python3.12"
    for path in (old, upgraded):
        path.write_text(RECORDING_PYTHON)
        path.chmod(0o755)
    python.unlink()
    python.symlink_to(old)
    prepare(plan_for(venv))
    assert is_ready(plan_for(venv))
    python.unlink()
    python.symlink_to(upgraded)
    assert not is_ready(plan_for(venv))


def test_an_interpreter_that_went_away_is_noticed(venv: Path) -> None:
    prepare(plan_for(venv))
    (venv / "bin" / "python").unlink()
    assert not is_ready(plan_for(venv))


def test_the_development_set_up_serves_for_running_too(venv: Path) -> None:
    running, developing = plan_for(venv), plan_for(venv, "torch==2.13.0", "rich", "pytest")
    prepare(developing, includes=(running,))
    assert is_ready(running)


def test_running_does_not_undo_the_development_set_up(venv: Path) -> None:
    running, developing = plan_for(venv), plan_for(venv, "torch==2.13.0", "rich", "pytest")
    prepare(running)
    prepare(developing, includes=(running,))
    prepare(running)
    assert is_ready(developing)


def test_an_installed_torch_is_not_downloaded_again(venv: Path) -> None:
    pretend_torch_was_unpacked(venv)
    prepare(plan_for(venv))
    assert not [call for call in calls(venv) if "--dry-run" in call or "--no-deps torch" in call]


def test_a_torch_of_another_version_is_replaced(venv: Path) -> None:
    pretend_torch_was_unpacked(venv, "2.12.1")
    prepare(plan_for(venv))
    assert [call for call in calls(venv) if "--no-deps torch==2.13.0" in call]


def test_torch_index_overrides_and_is_asked_without_the_configured_index(
    venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_INDEX", "https://mirror.example/cu130")
    prepare(plan_for(venv))
    asked, torch, packages, _project = calls(venv)
    assert "--index-url https://mirror.example/cu130 torch==2.13.0" in asked
    assert "--index-url https://mirror.example/cu130 torch==2.13.0" in torch
    assert "--index-url" not in packages


def test_another_torch_index_replaces_the_build_and_an_unset_one_keeps_it(
    venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(plan_for(venv))
    pretend_torch_was_unpacked(venv)
    monkeypatch.setenv("TORCH_INDEX", "https://mirror.example/cu130")
    assert not is_ready(plan_for(venv))
    prepare(plan_for(venv))
    assert [call for call in calls(venv) if "--force-reinstall" in call]
    assert is_ready(plan_for(venv))
    monkeypatch.delenv("TORCH_INDEX")
    assert is_ready(plan_for(venv))


def test_no_stamp_holds_the_password_of_an_index(
    venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_INDEX", "https://user:hunter2@mirror.example/cpu")
    prepare(plan_for(venv))
    assert not [path for path in venv.glob(".fireside-*") if "hunter2" in path.read_text()]


def test_an_index_without_torch_is_told_in_one_line_with_advice(venv: Path) -> None:
    (venv / "bin" / "report").unlink()
    with pytest.raises(
        SetupError, match=r"No matching distribution found\..*TORCH_INDEX="
    ) as error:
        prepare(plan_for(venv))
    assert "\n" not in str(error.value)


def test_an_environment_without_torch_asks_nothing_about_it(venv: Path) -> None:
    prepare(plan_for(venv, "rich", "hatchling==1.33.0"))
    assert not [call for call in calls(venv) if "torch" in call]


def test_a_container_gets_a_copy_after_its_packages(venv: Path) -> None:
    python, lines = str(venv / "bin" / "python"), ("torch==2.13.0",)
    prepare(Plan(venv, python, lines, "absent"))
    assert "--no-build-isolation" not in " ".join(calls(venv))
    prepare(Plan(venv, python, lines, "copied"))
    assert calls(venv)[-1].endswith(f"--no-build-isolation {ROOT} --quiet")


def test_an_environment_that_was_moved_is_made_anew(venv: Path, tmp_path: Path) -> None:
    moved = venv.rename(tmp_path / "elsewhere")
    with pytest.raises(SetupError, match=r"could not create .*ensurepip is not available"):
        prepare(plan_for(moved))


def test_a_gpu_is_seen_by_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_build, "GPU_PATHS", (tmp_path / "nvidia0",))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not torch_build.is_gpu_present()
    (tmp_path / "nvidia0").touch()
    assert torch_build.is_gpu_present()


@pytest.mark.parametrize(
    ("answer", "found"), [("echo 'GPU 0: NVIDIA H100'", True), ("exit 9", False), ("true", False)]
)
def test_a_gpu_is_seen_by_nvidia_smi_only_when_it_lists_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, found: bool
) -> None:
    monkeypatch.setattr(torch_build, "GPU_PATHS", ())
    command = tmp_path / "nvidia-smi"
    command.write_text(f"#!/bin/sh\n{answer}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert torch_build.is_gpu_present() is found


def test_a_failure_ends_with_one_line_and_status_1(
    venv: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_on(venv, "--constraint")
    monkeypatch.setattr("sys.executable", str(venv / "bin" / "python"))
    assert setup_environment.main(["--venv", str(venv)]) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("set-up: pip could not install the pinned packages;")
