"""How each model family is fed: what a prompt of turns looks like to it, and what it can do.

Pure: no torch, no transformers. A family gets a `PromptTokenizer` and gives token ids.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol, cast

from bot.conversation import Role, Turn
from bot.engine.base import SamplingParameters
from bot.engine.machine.kernel_switch import KERNEL_SWITCH, are_kernels_off
from bot.engine.run_mode import Cause, Reason, RunMode
from config.catalogue import Family, ModelEntry
from config.gguf_header import BadHeader, read_gguf_header


class ModelKind(StrEnum):
    """How a model is built."""

    DECODER_ONLY = "decoder-only"
    ENCODER_DECODER = "encoder-decoder"


@dataclass(frozen=True, slots=True)
class Capability:
    """What a model can do, as `fireside models show` prints it.

    With `shares_window` prompt and answer share `context_tokens`; else they bound the prompt
    alone. `max_answer_tokens` is a bound of the architecture on the answer, if there is one.
    """

    family: Family
    kind: ModelKind
    has_system_prompt: bool
    context_tokens: int
    shares_window: bool
    max_answer_tokens: int | None
    has_history: bool
    languages: tuple[str, ...]
    feeding: str


class PromptTokenizer(Protocol):
    """What a family needs of a tokenizer. Text never becomes a special token in any of these."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without any added around it."""
        ...

    def render(self, turns: Sequence[Turn]) -> list[int]:
        """The ids of turns in the model's own chat template, ready for the answer."""
        ...

    @property
    def eos_id(self) -> int | None:
        """The id that ends a text."""
        ...


class FamilyFeed(Protocol):
    """One family's way to write a prompt."""

    @property
    def kind(self) -> ModelKind:
        """How models of this family are built."""
        ...

    @property
    def model_types(self) -> frozenset[str] | None:
        """The architectures it stands for, in the checkpoint's terms; None for any."""
        ...

    @property
    def feeding(self) -> str:
        """How it is fed, in words."""
        ...

    def encode(self, turns: Sequence[Turn], tokenizer: PromptTokenizer) -> list[int]:
        """The prompt for these turns; the last is the question, or an answer to go on with."""
        ...

    def encode_raw(self, text: str, tokenizer: PromptTokenizer) -> list[int]:
        """The prompt for a text alone, as the lab's programs fed it."""
        ...


class ChatFeed:
    """Decoder-only chat models: the checkpoint's own chat template."""

    kind = ModelKind.DECODER_ONLY
    model_types: frozenset[str] | None = None
    feeding = "its own chat template"

    def encode(self, turns: Sequence[Turn], tokenizer: PromptTokenizer) -> list[int]:
        """Turns of one role in a row become one: many templates demand that roles alternate.

        An answer to go on with stands behind the opening of the next one, and has no end.
        """
        *before, last = merged(turns)
        if last.role is not Role.ASSISTANT:
            return tokenizer.render([*before, last])
        if not any(turn.role is Role.USER for turn in before):
            return tokenizer.render([*before, Turn(Role.USER, last.text)])
        return [*tokenizer.render(before), *tokenizer.encode(last.text)]

    def encode_raw(self, text: str, tokenizer: PromptTokenizer) -> list[int]:
        """The template around the text alone: without it a chat model would only continue it."""
        return tokenizer.render([Turn(Role.USER, text)])


class BlenderbotFeed:
    """Blenderbot: the turns in a row, two spaces between them, each with a space before it.

    So it was trained (ParlAI's `delimiter` option, and the space that its byte-level tokenizer
    puts before every utterance), with one end token after the whole. It knows no system prompt.
    """

    kind = ModelKind.ENCODER_DECODER
    model_types: frozenset[str] | None = frozenset({"blenderbot"})
    feeding = "the last turns, separated by two spaces"

    def encode(self, turns: Sequence[Turn], tokenizer: PromptTokenizer) -> list[int]:
        """The turns that fit, oldest first; a system prompt is left out."""
        spoken = (turn for turn in turns if turn.role is not Role.SYSTEM)
        return _ended("  ".join(f" {turn.text.strip()}" for turn in spoken), tokenizer)

    def encode_raw(self, text: str, tokenizer: PromptTokenizer) -> list[int]:
        """The text alone."""
        return _ended(text, tokenizer)


class FlanT5Feed:
    """FLAN-T5: an instruction, then the dialogue, in the manner of its training tasks."""

    kind = ModelKind.ENCODER_DECODER
    model_types: frozenset[str] | None = frozenset({"t5"})
    feeding = "an instruction and the short dialogue"

    _SPEAKERS = {Role.USER: "User", Role.ASSISTANT: "Assistant"}  # noqa: RUF012 - a constant

    def encode(self, turns: Sequence[Turn], tokenizer: PromptTokenizer) -> list[int]:
        """One question is asked as such; several turns are a dialogue to continue."""
        instructions = [turn.text.strip() for turn in turns if turn.role is Role.SYSTEM]
        spoken = [turn for turn in turns if turn.role is not Role.SYSTEM]
        if len(spoken) == 1:
            parts = ["Answer the question.", f"Question: {spoken[0].text.strip()}", "Answer:"]
        else:
            lines = [f"{self._SPEAKERS[turn.role]}: {turn.text.strip()}" for turn in spoken]
            if spoken[-1].role is Role.USER:
                lines.append("Assistant:")
            parts = ["Answer the last message of the dialogue.", "Dialogue:", *lines]
        return _ended("\n".join([*instructions, *parts]), tokenizer)

    def encode_raw(self, text: str, tokenizer: PromptTokenizer) -> list[int]:
        """The text alone."""
        return _ended(text, tokenizer)


FEEDS: dict[Family, FamilyFeed] = {
    Family.CHAT: ChatFeed(),
    Family.BLENDERBOT: BlenderbotFeed(),
    Family.FLAN_T5: FlanT5Feed(),
}
"""Every family that can be fed."""

BATCHED_MODEL_TYPES = frozenset(
    {
        "blenderbot", "gemma", "gemma2", "gemma3_text", "granite", "llama", "mistral", "olmo2",
        "phi3", "qwen2", "qwen3", "smollm3", "starcoder2", "t5",
    }
)  # fmt: skip
"""The architectures, in checkpoints' terms, whose rows go through the model together; all others
answer one question at a time."""

COMPILED_MODEL_TYPES = frozenset({"blenderbot", "llama", "mistral", "qwen2", "qwen3", "t5"})
"""The architectures, in checkpoints' terms, for which there are compiled kernels."""

GGUF_ALIASES = {"qwen2moe": "qwen2_moe", "qwen3moe": "qwen3_moe"}
"""Architectures that transformers reads under another name than the files have."""

BLENDERBOT_POSITIONS = 128
"""Blenderbot has learned positions: neither its input nor its answer can be longer."""


def capabilities(entry: ModelEntry) -> Capability:
    """What a model of the catalogue can do."""
    feed = FEEDS[entry.family]
    is_blenderbot = entry.family is Family.BLENDERBOT
    return Capability(
        family=entry.family,
        kind=feed.kind,
        has_system_prompt=entry.has_system_prompt and not is_blenderbot,
        context_tokens=entry.context_tokens,
        shares_window=feed.kind is ModelKind.DECODER_ONLY,
        max_answer_tokens=BLENDERBOT_POSITIONS if is_blenderbot else None,
        has_history=True,
        languages=entry.languages,
        feeding=feed.feeding,
    )


def model_type_in(folder: Path) -> str | None:
    """The architecture that a checkpoint's configuration names; None where it cannot be read."""
    if not (folder / "config.json").is_file():
        return _model_type_of_gguf(folder)
    try:
        config: object = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(config, dict):
        return None
    named = cast("dict[str, object]", config).get("model_type")
    return named if isinstance(named, str) else None


def _model_type_of_gguf(folder: Path) -> str | None:
    """What transformers makes of the architecture that a folder's GGUF file names."""
    files = [folder] if folder.is_file() else list(folder.glob("*.gguf"))
    if len(files) != 1:
        return None
    try:
        values = read_gguf_header(files[0]).values
    except (BadHeader, OSError):
        return None
    named = values.get("general.architecture")
    if not isinstance(named, str):
        return None
    if named == "gemma3":
        return "gemma3_text"
    if named == "llama" and "mistral" in str(values.get("general.name")).lower():
        return "mistral"
    return GGUF_ALIASES.get(named, named.replace("-", "_"))


def expected_mode(entry: ModelEntry, model_type: str | None) -> RunMode | None:
    """How a model should run once it is loaded; None where its architecture is not known."""
    known = FEEDS[entry.family].model_types
    kind = next(iter(known)) if known is not None else model_type
    if kind is None:
        return None
    reasons: tuple[Reason, ...] = ()
    if kind not in BATCHED_MODEL_TYPES:
        reasons = (Reason(Cause.UNKNOWN_ARCHITECTURE, kind),)
    elif are_kernels_off():
        reasons = (Reason(Cause.SWITCHED_OFF, KERNEL_SWITCH),)
    elif kind not in COMPILED_MODEL_TYPES:
        reasons = (Reason(Cause.NO_KERNELS, kind),)
    return RunMode(
        is_batched=kind in BATCHED_MODEL_TYPES,
        has_kernels=kind in COMPILED_MODEL_TYPES and not are_kernels_off(),
        bits=entry.weight_bits,
        reasons=reasons,
    )


def default_sampling(entry: ModelEntry) -> SamplingParameters:
    """The sampling parameters of a model where nobody chose others."""
    return SamplingParameters(**entry.sampling.model_dump(exclude_none=True))


def _ended(text: str, tokenizer: PromptTokenizer) -> list[int]:
    ids = tokenizer.encode(text)
    eos_id = tokenizer.eos_id
    return ids if eos_id is None or ids[-1:] == [eos_id] else [*ids, eos_id]


def merged(turns: Sequence[Turn]) -> list[Turn]:
    """Turns of one role in a row made one."""
    joined: list[Turn] = []
    for turn in turns:
        if joined and joined[-1].role is turn.role:
            joined[-1] = Turn(turn.role, f"{joined[-1].text}\n{turn.text}")
        else:
            joined.append(turn)
    return joined
