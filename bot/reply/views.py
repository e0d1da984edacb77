"""The messages that show an answer: its text in parts, the question above it, the buttons below.

The one place that puts a question above an answer, and buttons under it, for every platform.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bot.adapter import Capabilities
from bot.messages import Answerable, ReplyView, TextFile
from bot.policy.word_list import WordList
from bot.reply.buttons import shown_actions
from bot.reply.heading import repeated
from bot.reply.markdown import Chunk, split
from bot.store.ports.records import Answer
from bot.translations import gettext as _


@dataclass(frozen=True, slots=True)
class Views:
    """Makes the messages that show an answer to `event` on a platform with these capabilities."""

    event: Answerable
    capabilities: Capabilities
    words: WordList

    def of(self, answer: Answer, *, is_final: bool) -> list[ReplyView]:
        """The messages, whole or (without `is_final`) as far as the answer is there.

        The question is repeated in the first, unless that is for one person alone; the buttons are
        under the last, as far as the platform is to have them.
        """
        chunks, document = self._chunks(answer, is_final=is_final)
        last = len(chunks) - 1
        views = [
            _view(chunk, index, answer, is_complete=is_final or index < last)
            for index, chunk in enumerate(chunks)
        ]
        actions = shown_actions(answer.actions, self.capabilities.buttons)
        views[-1] = replace(views[-1], actions=actions, is_last=is_final)
        if is_final:
            views[-1] = replace(
                views[-1], footer=answer.footer, figures=answer.figures, document=document
            )
        return views

    def _chunks(self, answer: Answer, *, is_final: bool) -> tuple[Sequence[Chunk], str | None]:
        """The text in parts; where those would be too many, the first one and a document."""
        can = self.capabilities
        heading = "" if answer.is_private else repeated(self.event, self.words, answer.asked)
        text = "\n\n".join(part for part in (heading, answer.shown) if part)
        chunks = split(text, can.max_chars, can.length, is_final=is_final)
        most = can.max_parts or len(chunks)
        if len(chunks) <= most:
            return chunks, None
        # A longer answer is shown to its last allowed message while it grows, as a file in the end.
        return (chunks[:1], answer.shown) if is_final else (chunks[:most], None)


def plain(view: ReplyView) -> ReplyView:
    """What is left of a message that was refused as it was: its text."""
    return replace(view, is_plain=True, actions=(), footer=None, figures=None, picture=None)


def as_file(view: ReplyView) -> ReplyView:
    """A message whose text was refused however it came, as a file."""
    told = _("This part of my answer could not be posted as a message, so it is in a file.")
    return replace(plain(view), text=told, file=TextFile("answer.md", view.text), document=None)


def _view(chunk: Chunk, index: int, answer: Answer, *, is_complete: bool) -> ReplyView:
    return ReplyView(
        text=chunk.text,
        index=index,
        stable_chars=len(chunk.text) if is_complete else chunk.stable_chars,
        is_complete=is_complete,
        is_private=answer.is_private,
        is_error=answer.is_error,
    )
