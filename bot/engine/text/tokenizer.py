"""A checkpoint's tokenizer, with the one rule that matters: text is only ever text.

It imports neither torch nor transformers; it is given a transformers tokenizer.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# transformers' tokenizers are only partly typed; what leaves this module is.

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from jinja2 import TemplateError

from bot.conversation import Turn
from bot.engine.text.detokenizer import CLOSE_TAG, OPEN_TAG
from bot.errors import Signal

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TemplateRefused(Signal):
    """The chat template does not take these turns."""


class ModelTokenizer:
    """Encodes prompts and decodes answers of one checkpoint.

    A special token that somebody typed is broken by a space after its first character before it is
    encoded, so that the template alone writes special tokens. (Encoding with
    `split_special_tokens` is not enough: it lets tokens pass that are added but not "special",
    such as `<think>`, and a Unigram vocabulary holds `</s>` as an ordinary piece.) Texts without
    a special token are encoded exactly as `apply_chat_template` and the tokenizer encode them.

    With `is_gguf` it was read from a GGUF file, whose vocabulary holds every token of the model;
    `control_ids` are those that the file itself calls control tokens.
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        *,
        is_gguf: bool = False,
        control_ids: Iterable[int] = (),
    ) -> None:
        self._tokenizer = tokenizer
        self._is_gguf = is_gguf
        self._named_control_ids = frozenset(control_ids)
        added = {token.content for token in tokenizer.added_tokens_decoder.values()}
        tokens = added | set(tokenizer.all_special_tokens)
        control = sorted((t for t in tokens if len(t.strip()) > 1), key=len, reverse=True)
        self._control = re.compile("|".join(map(re.escape, control)) or "(?!)")

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """The ids that are never shown."""
        return frozenset(self._tokenizer.all_special_ids)

    @cached_property
    def control_ids(self) -> frozenset[int]:
        """The ids of tokens that are no text: special ones, and all that were added, such as a
        template's markers. Added runs of spaces, which some vocabularies have, are text.
        """
        added = self._tokenizer.added_tokens_decoder.items()
        markers = {id_ for id_, token in added if token.content.strip()}
        return self.special_ids | self._named_control_ids | markers

    @property
    def eos_id(self) -> int | None:
        """The id that ends a text."""
        return cast("int | None", self._tokenizer.eos_token_id)

    @cached_property
    def tags(self) -> Mapping[int, str]:
        """The ids of the reasoning tags, where the vocabulary has them as tokens."""
        added = self._tokenizer.added_tokens_decoder.items()
        return {id_: t.content for id_, t in added if t.content in (OPEN_TAG, CLOSE_TAG)}

    @cached_property
    def has_reasoning(self) -> bool:
        """Whether the model marks reasoning with `<think>`."""
        return bool(self.tags) or OPEN_TAG in self._template

    @property
    def has_template(self) -> bool:
        """Whether there is a chat template."""
        return bool(self._template)

    @property
    def size(self) -> int:
        """How many ids the model has to know."""
        # Of a GGUF file transformers makes GPT-2's tokenizer, which adds its own end token where
        # the file has none of that name: Llama 3's has none. Nothing ever writes it.
        return self._tokenizer.vocab_size if self._is_gguf else len(self._tokenizer)

    def encode(self, text: str) -> list[int]:
        """The ids of a text."""
        return self._encode(self.defused(text))

    def render(self, turns: Sequence[Turn]) -> list[int]:
        """The ids of turns in the chat template. Raises `TemplateRefused`."""
        return self._encode(self.rendered(turns))

    def rendered(self, turns: Sequence[Turn]) -> str:
        """The chat template around turns, ready for the answer. Raises `TemplateRefused`."""
        messages = [
            {"role": str(turn.role.value), "content": self.defused(turn.text)} for turn in turns
        ]
        # Reasoning is switched off where the template knows how; others ignore the variable.
        apply = cast("Any", self._tokenizer.apply_chat_template)
        options = {"enable_thinking": False} if "enable_thinking" in self._template else {}
        try:
            text = apply(messages, tokenize=False, add_generation_prompt=True, **options)
        except TemplateError as error:
            raise TemplateRefused from error
        return cast("str", text)

    def opens_reasoning(self, ids: Sequence[int]) -> bool:
        """Whether a prompt ends inside reasoning, so that the answer begins there."""
        tail = cast("str", self._tokenizer.decode(list(ids[-32:]), skip_special_tokens=False))
        return self.has_reasoning and tail.rfind(OPEN_TAG) > tail.rfind(CLOSE_TAG)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids without special tokens."""
        text = self._tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return cast("str", text)

    def shown(self, ids: Sequence[int]) -> str:
        """The text of ids with special tokens, for who wants to see them."""
        text = self._tokenizer.decode(
            list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return cast("str", text)

    def defused(self, text: str) -> str:
        """The text with its special tokens broken; valid Unicode whatever came."""
        text = text.encode("utf-8", "replace").decode("utf-8")
        normalized = self._normalized(text)
        if self._control.search(normalized) is None and self._control.search(text) is None:
            return text
        while self._control.search(normalized) is not None:
            normalized = self._control.sub(lambda m: f"{m[0][0]} {m[0][1:]}", normalized)
        return normalized

    @cached_property
    def _template(self) -> str:
        template: object = self._tokenizer.chat_template
        return template if isinstance(template, str) else ""

    def _normalized(self, text: str) -> str:
        backend: object = getattr(self._tokenizer, "backend_tokenizer", None)
        normalizer = getattr(backend, "normalizer", None)
        return text if normalizer is None else cast("str", normalizer.normalize_str(text))

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)
