"""An engine that knows the script's questions: each model answers in its own way."""

import asyncio
from collections.abc import AsyncGenerator, Mapping

from typing_extensions import override

from bot.conversation import Role
from bot.engine.base import (
    EngineEvent,
    Finished,
    FinishReason,
    GenerationRequest,
    ModelState,
    ResidentModel,
    TextDelta,
    Trace,
    TracedToken,
    Usage,
)
from tests.doubles.scripted import ScriptedEngine

CUT, ENDLESS = "tell me a long story", "count all stars"
LOADED = ("fireside", "flan-t5-base")

ANSWERS: Mapping[tuple[str, str], str] = {
    ("", "hello!"): "Hi! Nice of you to drop by. What's new?",
    ("fireside", "What is the age of the sun?"): "About 4.6 billion years.",
    ("flan-t5-base", "What is the age of the sun?"): "4.6 billion years",
    ("flan-t5-small", "What is the age of the sun?"): "a billion years",
    ("blenderbot", "What is the age of the sun?"): "I don't know, but it is very old. Do you like"
    " to look at the stars?",
    ("flan-t5-base", "Are you sure?"): "yes",
    ("flan-t5-small", "Are you sure?"): "no",
    ("blenderbot", "Are you sure?"): "I am pretty sure. I read about it somewhere.",
    ("", CUT): "Once upon a time a lamp stood in a window by the sea. Every"
    " evening it was lit, and every evening the boats",
    ("", ENDLESS): "One, two, three, four,",
}
"""What is said by which model (by any: "") to a question."""

TASKS: Mapping[str, str] = {
    "Translate to German": "Wie alt ist das Haus?",
    "What is the sentiment": "positive",
    "Briefly summarize": "Ben has tested the installer and asks who writes the notes.",
}
"""What is written for an instruction with these words."""

CONTINUED = " came home by its light. That is all."


class Actor(ScriptedEngine):
    """Says what stands above."""

    @override
    def resident(self) -> tuple[ResidentModel, ...]:
        return tuple(ResidentModel(name, ModelState.READY, 1, 0) for name in LOADED)

    @override
    async def _events(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
        asked = request.turns[-1].text
        words = _answer(request, asked).split(" ")
        for index, word in enumerate(words):
            await asyncio.sleep(0)
            yield TextDelta(word if index == 0 else f" {word}")
        if asked.endswith(ENDLESS):
            await asyncio.Event().wait()
        reason = FinishReason.LENGTH if asked.endswith(CUT) else FinishReason.STOP
        usage = Usage(48, 32, len(words), 0, 0.21, 38.0)
        yield Finished(reason, usage, trace=_trace(request, words))


def _answer(request: GenerationRequest, asked: str) -> str:
    if request.is_raw:
        return next(answer for words, answer in TASKS.items() if words in asked)
    if request.turns[-1].role is Role.ASSISTANT:
        return CONTINUED
    known = [(by, answer) for (by, question), answer in ANSWERS.items() if asked.endswith(question)]
    return next(answer for by, answer in known if by in ("", request.model))


def _trace(request: GenerationRequest, words: list[str]) -> Trace | None:
    if not request.traced_tokens:
        return None
    prompt = "".join(f"<|{turn.role}|>{turn.text}<|end|>\n" for turn in request.turns)
    others = (" well", " so", " and", " the")
    tokens = [
        TracedToken(f" {word}", ((f" {word}", 0.55), *((one, 0.1) for one in others)))
        for word in words[: request.traced_tokens]
    ]
    return Trace(f"{prompt}<|assistant|>", tuple(tokens))
