"""The buttons under an answer. Their ids tell everything, so that they outlive a restart."""

import re
from collections.abc import Sequence
from typing import Any, Protocol, assert_never, cast

import discord
from typing_extensions import override

from adapters.discord.handle import Handle
from bot.appearance import Buttons, shown_actions
from bot.messages import Action
from bot.translations import gettext as _


class Pressed(Protocol):
    """A client that can be told of a button."""

    async def pressed(
        self, interaction: discord.Interaction, action: Action, question_id: int, asker_id: int
    ) -> None:
        """A button under the answer to a question was pressed."""
        ...


class ActionButton(
    discord.ui.DynamicItem[discord.ui.Button[discord.ui.View]],
    template=r"fireside:(?P<action>stop|retry|good|bad):(?P<question>\d+):(?P<asker>\d+)",
):
    """Does something about the answer to a question."""

    def __init__(self, action: Action, question_id: int, asker_id: int) -> None:
        label, emoji = _face(action)
        super().__init__(
            discord.ui.Button(
                label=label,
                emoji=emoji,
                style=discord.ButtonStyle.secondary,
                custom_id=f"fireside:{action}:{question_id}:{asker_id}",
            )
        )
        self._action = action
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
    ) -> "ActionButton":
        return cls(Action(match["action"]), int(match["question"]), int(match["asker"]))

    @override
    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        client = cast("Pressed", interaction.client)
        await client.pressed(interaction, self._action, self._question_id, self._asker_id)


def buttons(handle: Handle, actions: Sequence[Action], wanted: Buttons) -> discord.ui.View | None:
    """The buttons for an answer's actions; None for no buttons."""
    shown = shown_actions(actions, wanted)
    if not shown:
        return None
    view = discord.ui.View(timeout=None)
    for action in shown:
        view.add_item(ActionButton(action, handle.question_id, handle.asker_id))
    return view


def _face(action: Action) -> tuple[str | None, str | None]:
    """A button's label and emoji."""
    match action:
        case Action.STOP:
            return _("Stop"), None
        case Action.RETRY:
            return _("Retry"), None
        case Action.GOOD:
            return None, "\N{THUMBS UP SIGN}"
        case Action.BAD:
            return None, "\N{THUMBS DOWN SIGN}"
        case _:
            assert_never(action)
