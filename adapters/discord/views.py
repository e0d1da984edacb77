"""The buttons under an answer. Their ids tell everything, so that they outlive a restart."""

import re
from collections.abc import Sequence
from typing import Any, Protocol, cast

import discord
from typing_extensions import override

from adapters.discord.handle import Handle
from bot.messages import Action
from bot.translations import gettext as _


class Pressed(Protocol):
    """A client that can be told of a button."""

    async def stop_pressed(
        self, interaction: discord.Interaction, question_id: int, asker_id: int
    ) -> None:
        """The Stop button of the answer to a question was pressed."""
        ...


class StopButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"fireside:stop:(?P<question>\d+):(?P<asker>\d+)",
):
    """Stops the answer to a question. For who asked, and for those who manage the channel."""

    def __init__(self, question_id: int, asker_id: int) -> None:
        super().__init__(
            discord.ui.Button(
                label=_("Stop"),
                style=discord.ButtonStyle.secondary,
                custom_id=f"fireside:stop:{question_id}:{asker_id}",
            )
        )
        self._question_id = question_id
        self._asker_id = asker_id

    @override
    @classmethod
    async def from_custom_id(
        cls,
        interaction: discord.Interaction[Any],
        item: discord.ui.Item[Any],
        match: re.Match[str],
        /,
    ) -> "StopButton":
        return cls(int(match["question"]), int(match["asker"]))

    @override
    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        client = cast("Pressed", interaction.client)
        await client.stop_pressed(interaction, self._question_id, self._asker_id)


def buttons(handle: Handle, actions: Sequence[Action]) -> discord.ui.View | None:
    """The buttons for an answer's actions; None for no buttons."""
    if Action.STOP not in actions:
        return None
    view = discord.ui.View(timeout=None)
    view.add_item(StopButton(handle.question_id, handle.asker_id))
    return view
