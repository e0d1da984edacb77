"""An engine that answers as a question wants it, word by word and in real time."""

import asyncio
from collections.abc import AsyncGenerator

from typing_extensions import override

from bot.engine.base import EngineEvent, Finished, FinishReason, GenerationRequest, TextDelta, Usage
from tests.auditor.wording import Wanted, wanted
from tests.doubles.scripted import ScriptedEngine

STEP_S = 0.05
"""The words of so long come at once."""


class TalkingEngine(ScriptedEngine):
    """Needs no script: the question says how long its answer is and how long it takes."""

    @override
    async def _events(self, request: GenerationRequest) -> AsyncGenerator[EngineEvent]:
        self.requests.clear()  # a campaign has thousands
        asked = wanted(request.turns[-1].text) or Wanted("q000000", 1, 0.0)
        words = asked.answer("\n".join(turn.text for turn in request.turns))
        steps = max(1, int(asked.seconds / STEP_S))
        size = -(-len(words) // steps)
        for start in range(0, len(words), size):
            await asyncio.sleep(asked.seconds / steps)
            lead = " " if start else ""
            yield TextDelta(lead + " ".join(words[start : start + size]))
        yield Finished(FinishReason.STOP, Usage(generated_tokens=len(words)))
