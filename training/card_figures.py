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
from training.filtering_figures import filtering
from training.likelihood import held_out_text, model_bits, training_text, trigram_bits
from training.model import count_parameters, load_model
from training.prepared import load_split
from training.tokenizer import CONTEXT, VOCABULARY, load_tokenizer

PROMPTS = Path(__file__).parent / "prompts.txt"
ANSWERS = 200
PROBES_PER_GROUP = 1


def report(work: Path, builtin: Path, sampling: SamplingParameters = DEFAULTS) -> None:
    """Measure and write all of it; `builtin` holds `model/` and receives the files."""
    folder = builtin / "model"
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    split = load_split(work)
    conversations = sample_conversations(model, tokenizer, sampling)
    figures = {
        "model": _describe(model, folder),
        "filtering": filtering(split),
        "training": _training(builtin),
        "decoding": asdict(sampling),
        "likelihood": _likelihood(model, tokenizer, split.training, split.held_out),
        **_answers(model, tokenizer, split.held_out, conversations, sampling),
        "held_out_phrasings": _understanding(model, tokenizer, sampling),
    }
    (builtin / "figures.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
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
    conversations: Sequence[Sequence[Reply]],
    sampling: SamplingParameters,
) -> dict[str, dict[str, float]]:
    speaker = Speaker(model, tokenizer, sampling, seed=1)
    replies = [speaker.reply(turns) for turns in held_out_prompts(held_out, ANSWERS)]
    scripted = [reply for conversation in conversations for reply in conversation]
    return {
        "answers_to_held_out_chats": as_json(measure(replies)),
        "answers_to_scripted_users": {
            **as_json(measure(scripted)),
            "repeats_earlier_answer_share": repeats_earlier_share(conversations),
        },
    }


def _understanding(
    model: LlamaForCausalLM, tokenizer: Tokenizer, sampling: SamplingParameters
) -> dict[str, float]:
    speaker = Speaker(model, tokenizer, sampling, seed=2)
    probes, _ = probe(speaker, load_examples(), PROBES_PER_GROUP)
    return as_json(probes)


def read_prompts() -> list[list[str]]:
    """The scripted users' turns."""
    lines = PROMPTS.read_text(encoding="utf-8").splitlines()
    return [line.split(" | ") for line in lines if line and not line.startswith("#")]


def sample_conversations(
    model: LlamaForCausalLM, tokenizer: Tokenizer, sampling: SamplingParameters
) -> list[list[Reply]]:
    """What the model says to the scripted users, in their conversations so far.

    No user's turn comes from the data sets: those are people's chats, and not for showing.
    """
    speaker = Speaker(model, tokenizer, sampling, seed=3)
    return [speaker.converse(script) for script in read_prompts()]


def _as_markdown(conversations: Sequence[Sequence[Reply]]) -> str:
    lines = [
        "# Fifty sampled conversations",
        "",
        "Drawn once with the decoding defaults and a fixed seed, none left out. What the user",
        "says is scripted (`training/prompts.txt`) and is the same whatever the model answers.",
    ]
    for number, replies in enumerate(conversations, start=1):
        lines += ["", f"## {number}", ""]
        for reply in replies:
            end = "" if reply.has_ended else " *(cut off)*"
            lines += [f"- **user:** {reply.question}", f"- **model:** {reply.text}{end}"]
    return "\n".join(lines) + "\n"
