"""Prompts for a model whose tokenizer is elsewhere: the core's trimming rule, over an estimate."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from bot.conversation import Turn
from bot.engine.text.families import FEEDS, merged
from bot.engine.text.prompt import Prompt, Window, build_prompt
from config.catalogue import Family

BYTES_PER_TOKEN = 3.0
"""Careful: English has four to five bytes of UTF-8 a token, German three and a half, Chinese and
Japanese about three in vocabularies made for them."""

TOKENS_AROUND = 8
"""What a chat template writes around a turn, at most, in the usual templates."""

CONTROL = re.compile(
    r"<\|[^<>|\s][^<>|]{0,60}\|>"  # ChatML, Llama 3, Phi, Fireside's own
    r"|</?(?:s|bos|eos|pad|unk|think|start_of_turn|end_of_turn|start_of_image)>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]"
    r"|<</?SYS>>|<\uff5c[^<>\uff5c]{1,60}\uff5c>"
)
"""The special tokens of the usual chat templates. Most servers encode what people write together
with the template, so that such a word would end a turn or begin one."""


@dataclass(frozen=True, slots=True)
class EstimatingTokenizer:
    """Counts tokens by bytes; the ids it gives are placeholders. A `PromptTokenizer`."""

    bytes_per_token: float = BYTES_PER_TOKEN
    eos_id: None = None

    def encode(self, text: str) -> list[int]:
        """As many ids as the text has tokens, about."""
        return [0] * ceil(size_of(text) / self.bytes_per_token)

    def render(self, turns: Sequence[Turn]) -> list[int]:
        """The turns and what a template writes around them."""
        return [0] * sum(len(self.encode(turn.text)) + TOKENS_AROUND for turn in turns)


def build_remote_prompt(
    turns: Sequence[Turn],
    tokenizer: EstimatingTokenizer,
    window: int,
    max_tokens: int,
    *,
    has_system_prompt: bool,
    is_raw: bool,
) -> Prompt:
    """The turns to send, special tokens in them broken; roles alternate, as templates demand."""
    return build_prompt(
        [Turn(turn.role, defused(turn.text), turn.author) for turn in turns],
        feed=FEEDS[Family.CHAT],
        tokenizer=tokenizer,
        window=Window(window),
        max_tokens=max_tokens,
        has_system_prompt=has_system_prompt,
        is_raw=is_raw,
    )


def messages_of(prompt: Prompt) -> list[dict[str, str]]:
    """The turns in the protocol's form."""
    return [{"role": turn.role.value, "content": turn.text} for turn in merged(prompt.turns)]


def defused(text: str) -> str:
    """The text with special tokens broken by a space, and valid Unicode whatever came."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    while CONTROL.search(text) is not None:
        text = CONTROL.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)
    return text


def size_of(text: str) -> int:
    """The bytes of a text."""
    return len(text.encode("utf-8", "replace"))
