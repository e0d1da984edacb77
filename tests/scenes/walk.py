"""Plays the script on a stage and notes what each command showed."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from bot.messages import ReplyView
from tests.running_flow import until
from tests.scenes.script import ACTS, Act, Chat, Run, Say
from tests.scenes.stages import Stage
from tests.slack_server.workspace import Json


@dataclass(frozen=True, slots=True)
class Scene:
    """A step, the answers that ended with it in the core's words (each in its messages), and what
    the platform showed."""

    act: Act
    step: Say | Chat | Run
    answers: list[list[ReplyView]]
    shown: str | list[Json]


async def walk(stage: Stage) -> AsyncGenerator[Scene]:
    """Every step in its order."""
    for act in ACTS:
        await stage.begin(act)
        for step in act.steps:
            stage.shown()
            before = len(stage.core.ended)
            match step:
                case Chat(text):
                    await stage.chat(text)
                case Say(text):
                    await stage.say(text)
                    if step.is_endless:
                        await until(lambda: stage.core.orchestrator.in_memory() > 0)
                    else:
                        await stage.core.settled(before)
                case Run():
                    await stage.run(step)
                    await stage.core.settled(before)
            yield Scene(act, step, stage.core.ended[before:], stage.shown())
