"""Everything that the model card reports, measured on the held-out split and written to files.

`figures.json` holds the numbers, `samples.md` fifty conversations, `loss.png` the losses.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from bot.engine.base import SamplingParameters
from training.answers import (
    Reply,
    Speaker,
    as_json,
    held_out_prompts,
    measure,
    probe,
    repeats_earlier_share,
)
from training.conversation import Conversation
from training.decoding import DEFAULTS
from training.examples import load_examples
from training.likelihood import held_out_text, model_bits, training_text, trigram_bits
from training.model import count_parameters, load_model
from training.prepared import load_split
from training.tokenizer import CONTEXT, VOCABULARY, load_tokenizer

PROMPTS = Path(__file__).parent / "prompts.txt"
ANSWERS = 400
SAMPLED_CONVERSATIONS = 50
PROBES_PER_GROUP = 3


def report(work: Path, builtin: Path, sampling: SamplingParameters = DEFAULTS) -> None:
    """Measure and write all of it; `builtin` holds `model/` and receives the files."""
    folder = builtin / "model"
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    split = load_split(work)
    figures = {
        "model": _describe(model, folder),
        "training": _training(builtin),
        "decoding": asdict(sampling),
        "likelihood": _likelihood(model, tokenizer, split.training, split.held_out),
        **_answers(model, tokenizer, split.held_out, sampling),
    }
    (builtin / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    conversations = sample_conversations(model, tokenizer, split.held_out, sampling)
    (builtin / "samples.md").write_text(_as_markdown(conversations), encoding="utf-8")


def _describe(model: LlamaForCausalLM, folder: Path) -> dict[str, object]:
    return {
        "parameters": count_parameters(model),
        "weight_bytes": (folder / "model.safetensors").stat().st_size,
        "context_tokens": CONTEXT,
        "vocabulary": VOCABULARY,
    }


def _training(builtin: Path) -> dict[str, object]:
    """What the training run wrote down about itself, without the losses."""
    runs = json.loads((builtin / "training.json").read_text(encoding="utf-8"))
    return {run["phase"]: {key: run[key] for key in ("steps", "tokens", "minutes")} for run in runs}


def _likelihood(
    model: LlamaForCausalLM,
    tokenizer: Tokenizer,
    training: Sequence[Conversation],
    held_out: Sequence[Conversation],
) -> dict[str, float]:
    text = held_out_text(held_out, tokenizer)
    bits = model_bits(model, text)
    return {
        "conversations": len(text.conversations),
        "characters": text.characters,
        "tokens": text.predicted,
        "model_bits_per_character": round(bits, 4),
        "kneser_ney_bits_per_character": round(
            trigram_bits(training_text(training, tokenizer), text), 4
        ),
        "model_perplexity_per_token": round(2 ** (bits * text.characters / text.predicted), 1),
    }


def _answers(
    model: LlamaForCausalLM,
    tokenizer: Tokenizer,
    held_out: Sequence[Conversation],
    sampling: SamplingParameters,
) -> dict[str, dict[str, float]]:
    speaker = Speaker(model, tokenizer, sampling)
    replies = [speaker.reply(turns) for turns in held_out_prompts(held_out, ANSWERS)]
    conversations = [speaker.converse(script) for script in read_prompts()]
    scripted = [reply for replies in conversations for reply in replies]
    probes, _ = probe(speaker, load_examples(), PROBES_PER_GROUP)
    return {
        "answers_to_held_out_chats": as_json(measure(replies)),
        "answers_to_scripted_users": {
            **as_json(measure(scripted)),
            "repeats_earlier_answer_share": repeats_earlier_share(conversations),
        },
        "held_out_phrasings": as_json(probes),
    }


def read_prompts() -> list[list[str]]:
    """The scripted users' turns."""
    lines = PROMPTS.read_text(encoding="utf-8").splitlines()
    return [line.split(" | ") for line in lines if line and not line.startswith("#")]


def sample_conversations(
    model: LlamaForCausalLM,
    tokenizer: Tokenizer,
    held_out: Sequence[Conversation],
    sampling: SamplingParameters,
) -> list[list[Reply]]:
    """The scripted users, then what people wrote first in held-out chats."""
    scripts = read_prompts()
    openings = held_out_prompts(held_out, 10 * SAMPLED_CONVERSATIONS)
    chats = [list(turns[::2]) for turns in openings if len(turns) >= 3]
    scripts += chats[: SAMPLED_CONVERSATIONS - len(scripts)]
    speaker = Speaker(model, tokenizer, sampling, seed=50)
    return [speaker.converse(script) for script in scripts]


def _as_markdown(conversations: Sequence[Sequence[Reply]]) -> str:
    lines = [
        "# Fifty sampled conversations",
        "",
        "Drawn once with the decoding defaults and a fixed seed, none left out. In the first",
        f"{len(read_prompts())} a user is scripted (`training/prompts.txt`); in the others the",
        "user's turns come from held-out chats and were written for somebody else's answers.",
    ]
    for number, replies in enumerate(conversations, start=1):
        lines += ["", f"## {number}", ""]
        for reply in replies:
            end = "" if reply.has_ended else " *(cut off)*"
            lines += [f"- **user:** {reply.question}", f"- **model:** {reply.text}{end}"]
    return "\n".join(lines) + "\n"
