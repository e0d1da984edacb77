"""/inspect: the last answer as its model saw it."""

from collections.abc import Mapping

from bot.command import Caller, Command, Said
from bot.engine.base import Trace
from bot.errors import UsageError
from bot.flow.inspection import Inspection, Inspections
from bot.flow.request import conversation_key
from bot.messages import TextFile
from bot.pictures.worker import Pictures, visible
from bot.reply.markdown import fenced
from bot.translations import gettext as _

MAX_INLINE_CHARS = 1200
"""A longer prompt comes as a file."""


class InspectCommands:
    """The command /inspect."""

    def __init__(self, inspections: Inspections, pictures: Pictures) -> None:
        self._inspections = inspections
        self._pictures = pictures

    def commands(self) -> tuple[Command, ...]:
        """The definition."""
        text = _("See the prompt, the numbers and the likely words of the last answer")
        return (Command("inspect", text, self.inspect, is_private=True),)

    async def inspect(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """The caller's own last answer here; who manages the place also sees others'."""
        found = self._find(caller)
        lines = [*_numbers(found), *_trimmed(found)]
        trace = found.trace
        if trace is not None and trace.tokens:
            lines += ["", _("The likeliest words, as the answer began:"), *_words(trace)]
        prompt = found.sent if trace is None else trace.prompt
        told = _("What was sent, in words:") if trace is None else _("The exact prompt:")
        picture = None
        if trace is not None and trace.tokens and caller.has_pictures:
            picture = await self._pictures.next_words(found.model, trace.tokens)
        text = "\n".join(lines)
        if len(prompt) <= MAX_INLINE_CHARS:
            text = f"{text}\n\n{told}\n{fenced(prompt)}"
            return Said(text, is_private=True, picture=picture)
        text = f"{text}\n\n{told}"
        file = TextFile("prompt.txt", prompt)
        return Said(text, is_private=True, picture=picture, file=file)

    def _find(self, caller: Caller) -> Inspection:
        """Raises `UsageError` where nothing is kept, and says since when it would be."""
        key = conversation_key(caller.conversation)
        found = self._inspections.of(key, caller.author.id)
        if found is None and (caller.author.can_manage or caller.is_owner):
            found = self._inspections.latest(key)
        if found is not None:
            return found
        text = _(
            "I have no answer to you here to inspect. Prompts are kept in memory alone, and I was"
            " started at {time} UTC: what I answered before that can no longer be looked into."
        )
        raise UsageError(text.format(time=f"{self._inspections.since:%Y-%m-%d %H:%M}"))


def _numbers(found: Inspection) -> list[str]:
    usage = found.usage
    lines = [
        _("**{model}** answered {name} at {time} UTC, in {seconds:.1f} s.").format(
            model=found.model,
            name=found.asker,
            time=f"{found.answered_at:%H:%M:%S}",
            seconds=found.seconds,
        ),
        _("Tokens: {prompt} in the prompt ({cached} of them from the cache), {said} said.").format(
            prompt=usage.prompt_tokens, cached=usage.cached_tokens, said=usage.generated_tokens
        ),
    ]
    if usage.time_to_first_token_s is not None:
        text = _("The first word came after {seconds:.2f} s")
        line = text.format(seconds=usage.time_to_first_token_s)
        if usage.tokens_per_s is not None:
            line += _(", then {speed:.0f} tokens/s").format(speed=usage.tokens_per_s)
        lines.append(f"{line}.")
    return lines


def _trimmed(found: Inspection) -> list[str]:
    usage = found.usage
    parts = [
        _("{count} of the oldest turns").format(count=usage.dropped_turns)
        if usage.dropped_turns
        else "",
        _("{count} tokens from the beginning of the question").format(count=usage.cut_tokens)
        if usage.cut_tokens
        else "",
    ]
    left_out = ", ".join(part for part in parts if part) or _("nothing")
    return [_("Left out to fit its window: {what}.").format(what=left_out)]


def _words(trace: Trace) -> list[str]:
    rows: list[str] = []
    for index, token in enumerate(trace.tokens, 1):
        options = "  ".join(
            f"{'[' if text == token.chosen else ''}{visible(text)}"
            f"{']' if text == token.chosen else ''} {share:.0%}"
            for text, share in token.options
        )
        rows.append(f"{index}. {options}")
    return [fenced("\n".join(rows))]
