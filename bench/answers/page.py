"""The kept answers in `docs/models.md`, below what is written there by hand."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.answers.asking import Answered
from bench.answers.prompts import Chat, read_prompts
from bench.answers.records import FOLDER, Record, kept
from bot.engine.base import FinishReason

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
MARK = "<!-- Below: python -m bench.answers -->\n"
NOT_JUDGED = "Not judged yet."


def write_page() -> None:
    """Bring the part of the page below the mark up to date."""
    by_hand, _mark, _below = PAGE.read_text("utf-8").partition(MARK)
    PAGE.write_text(f"{by_hand}{MARK}\n{answers_part()}", "utf-8")


def answers_part() -> str:
    """All chats with every model's answers, as Markdown."""
    models = sorted(file.stem for file in FOLDER.glob("*.json"))
    records = {model: {record.id: record for record in kept(model)} for model in models}
    return "\n".join(
        _section(chat, [(model, records[model][chat.id]) for model in models])
        for chat in read_prompts()
    )


def _section(chat: Chat, answered: Sequence[tuple[str, Record]]) -> str:
    lines = [f"## {chat.id} ({chat.kind}, {chat.part})", ""]
    if chat.persona is not None:
        lines += [f"Persona: {chat.persona}", ""]
    for model, record in answered:
        lines += [f"**{model}.** {record.judgement or NOT_JUDGED}", ""]
        for answer in record.answers:
            lines += [*_quoted(f"> {answer.question}"), ">", *_quoted(_text(answer)), ""]
    return "\n".join(lines)


def _text(answer: Answered) -> str:
    is_whole = answer.reason is FinishReason.STOP
    return answer.answer if is_whole else f"{answer.answer}\n\n({answer.reason})"


def _quoted(text: str) -> Iterable[str]:
    return (f"> {line}".rstrip() for line in text.splitlines())
