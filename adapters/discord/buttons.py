"""The buttons under an answer. Their ids tell everything, so that they outlive a restart."""

import re
from collections.abc import Sequence
from typing import Any, Protocol, cast

import discord
from typing_extensions import override

from bot.messages import Action
from bot.reply.buttons import face


class Pressed(Protocol):
    """A client that can be told of a button."""

    async def pressed(
        self, interaction: discord.Interaction, action: Action, question_id: int
    ) -> None:
        """A button under the answer to a question was pressed."""
        ...


class ActionButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=rf"fireside:(?P<action>{'|'.join(Action)}):(?P<question>\d+):(?P<asker>\d+)",
):
    """Does something about the answer to a question."""

    def __init__(self, action: Action, question_id: int, asker_id: int) -> None:
        shown = face(action)
        super().__init__(
            discord.ui.Button(
                label=shown.label,
                emoji=shown.emoji,
                style=discord.ButtonStyle.secondary,
                custom_id=f"fireside:{action}:{question_id}:{asker_id}",
            )
        )
        self._action = action
        self._question_id = question_id

    @override
    @classmethod
    async def from_custom_id(
        cls,
        interaction: discord.Interaction[Any],
        item: discord.ui.Item[Any],
        match: re.Match[str],
        /,
    ) -> "ActionButton":
        return cls(Action(match["action"]), int(match["question"]), int(match["asker"]))

    @override
    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        client = cast("Pressed", interaction.client)
        await client.pressed(interaction, self._action, self._question_id)


def buttons(question_id: int, asker_id: int, actions: Sequence[Action]) -> discord.ui.View | None:
    """The buttons for the actions of an answer to a question; None for no buttons."""
    if not actions:
        return None
    view = discord.ui.View(timeout=None)
    for action in actions:
        view.add_item(ActionButton(action, question_id, asker_id))
    return view
