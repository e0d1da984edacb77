"""What the Dockerfile promises, read from its instructions: no engine builds it here."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from scripts.requirements import ROOT
from scripts.setup_environment import CPU_INDEX

INSTRUCTION = re.compile(r"^([A-Z]+)\s+(.*)$")


@dataclass(frozen=True, slots=True)
class Stage:
    """One FROM and the instructions after it, each a keyword and its arguments on one line."""

    base: str
    instructions: tuple[tuple[str, str], ...]

    def arguments(self, keyword: str) -> list[str]:
        return [arguments for name, arguments in self.instructions if name == keyword]


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    matches = [INSTRUCTION.match(line) for line in joined.splitlines()]
    assert all(matches), "a line of the Dockerfile is no instruction"
    return [(match[1], " ".join(match[2].split())) for match in matches if match]


def stages() -> list[Stage]:
    found: list[Stage] = []
    for keyword, arguments in instructions():
        if keyword == "FROM":
            found.append(Stage(arguments, ()))
        elif found:
            last = found[-1]
            found[-1] = Stage(last.base, (*last.instructions, (keyword, arguments)))
    return found


def default_of(argument: str) -> str:
    declared = [line.split("=", 1) for keyword, line in instructions() if keyword == "ARG"]
    return dict(line for line in declared if len(line) == 2)[argument]


def environment(stage: Stage) -> dict[str, str]:
    pairs = " ".join(stage.arguments("ENV")).split()
    return dict(pair.split("=", 1) for pair in pairs)


def test_it_builds_in_one_stage_and_runs_in_another() -> None:
    build, final = stages()
    assert build.base.endswith("AS build")
    assert [line for line in final.arguments("COPY") if line.startswith("--from=build ")]
    assert not [line for line in final.arguments("RUN") if "pip" in line or "setup" in line]


def test_both_stages_stand_on_one_slim_python_pinned_by_its_tag() -> None:
    assert [stage.base.split()[0] for stage in stages()] == ["${PYTHON_IMAGE}"] * 2
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", default_of("PYTHON_IMAGE"))


def test_it_runs_as_a_numbered_user_who_is_not_root() -> None:
    final = stages()[-1]
    (user,) = final.arguments("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    keywords = [keyword for keyword, _ in final.instructions]
    assert "RUN" not in keywords[keywords.index("USER") :]


def test_data_and_models_are_volumes_that_the_settings_point_to() -> None:
    final = stages()[-1]
    (volumes,) = final.arguments("VOLUME")
    assert json.loads(volumes) == ["/data", "/models"]
    assert environment(final)["FIRESIDE_DATA_DIR"] == "/data"
    assert environment(final)["FIRESIDE_MODELS_DIR"] == "/models"


def test_the_volumes_belong_to_the_user_before_they_are_declared() -> None:
    final = stages()[-1]
    (prepared,) = final.arguments("RUN")
    assert re.search(r"--owner=fireside .*/data /models", prepared)
    keywords = [keyword for keyword, _ in final.instructions]
    assert keywords.index("RUN") < keywords.index("VOLUME")


def test_its_command_serves_the_configured_platforms() -> None:
    (command,) = stages()[-1].arguments("CMD")
    assert json.loads(command) == ["fireside", "run"]
    assert stages()[-1].arguments("ENTRYPOINT") == []


def test_torch_is_chosen_by_the_set_up_script_and_an_argument() -> None:
    build = stages()[0]
    assert default_of("TORCH_INDEX") == '""'
    runs = build.arguments("RUN")
    assert all("python -m scripts.setup_environment" in line for line in runs)
    assert 'TORCH_INDEX="${TORCH_INDEX}"' in runs[0]
    assert CPU_INDEX not in (ROOT / "Dockerfile").read_text()


def test_the_source_is_copied_after_the_packages_are_installed() -> None:
    steps = [line for keyword, line in stages()[0].instructions if keyword in {"RUN", "COPY"}]
    packages = next(index for index, line in enumerate(steps) if "--project absent" in line)
    source = next(index for index, line in enumerate(steps) if line == "bot bot")
    assert packages < source < len(steps) - 1
    assert steps[-1].endswith("--project copied")


def test_no_secret_is_baked_in() -> None:
    text = (ROOT / "Dockerfile").read_text()
    assert not re.search(r"(?i)\b\w*(token|secret|password|api_key)\w*\b", text)


def test_everything_copied_is_let_in_and_nothing_else() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]
    let_in = {line.removeprefix("!") for line in rules if line.startswith("!")}
    copied = {
        name
        for line in stages()[0].arguments("COPY")
        for name in line.split()[:-1]
        if not name.startswith("--")
    }
    assert rules[0] == "*"
    assert let_in == copied
    assert {"**/.env*", "**/fireside.toml"} <= set(rules)


def test_the_packages_are_installed_by_scripts_that_need_nothing_else(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    question = [sys.executable, "-S", "-m", "scripts.setup_environment", "--help"]
    finished = subprocess.run(question, cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
