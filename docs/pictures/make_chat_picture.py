"""Draws docs/pictures/chat.svg and chat.png from a real conversation with the embedded model.

    .venv/bin/python docs/pictures/make_chat_picture.py

The answers are what `fireside chat` prints just then; the terminal's own code renders them. The
PNG is made by `rsvg-convert` (Debian: librsvg2-bin) with the font Fira Code, where both are there.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from adapters.console.blocks import BLANK_ROW, LABEL_STYLE, THEME, Passage, blocks

FOLDER = Path(__file__).parent
COLUMNS = 80
SCALE = 1.5
QUESTIONS = ("Hello!", "Good morning, how are you?", "/help")

SVG_FORMAT = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace(
    '-matrix">', '-matrix" xml:space="preserve">'
)
"""Rich's, but without fonts from a server (a picture in a README may load nothing), and with the
spaces that stand at the ends of its pieces of text."""


def converse() -> tuple[list[str], str]:
    """The answers to the questions and what was said beside them."""
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(
            [sys.executable, "-m", "bot", "chat"],
            input="\n".join([*QUESTIONS, "quit"]),
            capture_output=True,
            text=True,
            check=True,
            env={"FIRESIDE_DATA_DIR": folder, "PATH": "/usr/bin:/bin", "PYTHONUTF8": "1"},
        )
    answers = re.split(r"^Chatbot: ", ended.stdout, flags=re.MULTILINE)[1:]
    return [re.sub(r"^  ", "", answer, flags=re.MULTILINE) for answer in answers], ended.stderr


def draw(answers: list[str], footer: str) -> Console:
    """The conversation as the terminal shows it."""
    console = Console(record=True, file=StringIO(), width=COLUMNS, force_terminal=True, theme=THEME)
    for question, answer in zip([*QUESTIONS, "quit"], answers, strict=True):
        console.print(Text.assemble(("You:", "bold cyan"), f" {question}"))
        for index, block in enumerate(blocks(answer)):
            if index:
                console.print(BLANK_ROW.ansi)
            console.print(Passage(block, None if index else LABEL_STYLE), end="")
        if question != "quit" and not question.startswith("/"):
            console.print(Passage(footer, style="dim"), end="")
    return console


def save(console: Console) -> Iterator[Path]:
    """Write the pictures; yields each file."""
    svg = FOLDER / "chat.svg"
    console.save_svg(
        str(svg), title="fireside chat", theme=MONOKAI, code_format=SVG_FORMAT, unique_id="chat"
    )
    yield svg
    converter = shutil.which("rsvg-convert")
    if converter:
        png = svg.with_suffix(".png")
        subprocess.run(  # noqa: S603
            [converter, f"--zoom={SCALE}", f"--output={png}", str(svg)], check=True
        )
        yield png


if __name__ == "__main__":
    answers, notes = converse()
    for path in save(draw(answers, notes.splitlines()[0] if notes else "")):
        print(path)  # noqa: T201
