"""CommonMark as mrkdwn, Slack's own markup (pure): slackify-markdown's converter, made safe.

mrkdwn has no tables: they are shown as they were written, in a code block.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from slackify_markdown.slackify import SlackifyMarkdown  # pyright: ignore[reportMissingTypeStubs]
from typing_extensions import override

_FENCE_IN_CODE = "`\u2060``"


def mrkdwn(text: str) -> str:
    """The text as mrkdwn, with `&`, `<` and `>` as entities wherever they are no link."""
    return _Converter(_tables_in_code(text)).slackify().rstrip("\n")


class _Converter(SlackifyMarkdown):
    """Keeps code as it is, marks every line of a quotation, and leaves no control sequence."""

    def __init__(self, markdown_text: str) -> None:
        super().__init__(markdown_text)
        self._quotes = 0

    @override
    def text(self, tokens: list[Token], idx: int, options: Any, env: Any) -> str:
        return _escaped(tokens[idx].content)

    @override
    def code_inline(self, tokens: list[Token], idx: int, options: Any, env: Any) -> str:
        return f"`{_escaped(tokens[idx].content)}`"

    @override
    def code_block(self, tokens: list[Token], idx: int, options: Any, env: Any) -> str:
        return self.fence(tokens, idx, options, env)

    @override
    def fence(self, tokens: list[Token], idx: int, options: Any, env: Any) -> str:
        code = _escaped(tokens[idx].content).replace("```", _FENCE_IN_CODE)
        return f"```\n{code}```\n"

    @override
    def softbreak(self, tokens: list[Token], idx: int, options: Any, env: Any) -> str:
        return "\n> " if self._quotes else "\n"

    @override
    def hardbreak(self, tokens: list[Token], idx: int, options: Any, env: Any) -> str:
        return self.softbreak(tokens, idx, options, env)

    @override
    def blockquote_open(self, tokens: list[Token], idx: int, options: Any, env: Any) -> str:
        self._quotes += 1
        return "" if self._quotes > 1 else super().blockquote_open(tokens, idx, options, env)

    @override
    def blockquote_close(self, tokens: list[Token], idx: int, options: Any, env: Any) -> str:
        self._quotes -= 1
        return super().blockquote_close(tokens, idx, options, env)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@lru_cache
def _parser() -> MarkdownIt:
    return MarkdownIt("commonmark").enable("table")


def _tables_in_code(text: str) -> str:
    """The text with a code fence around each table."""
    if "|" not in text:
        return text
    lines = text.split("\n")
    for first, end in reversed(_tables(text)):
        rows = [re.sub(r"`{3,}", "", line) for line in lines[first:end]]
        lines[first:end] = ["```", *rows, "```", ""]
    return "\n".join(lines)


def _tables(text: str) -> Sequence[tuple[int, int]]:
    """The first line of each top-level table, and the one after its last."""
    return [
        (token.map[0], token.map[1])
        for token in _parser().parse(text)
        if token.type == "table_open" and token.level == 0 and token.map is not None
    ]
