"""What the core gives one adapter: the `Services` of its edge, over the orchestrator."""

from collections.abc import Sequence

from typing_extensions import override

from bot.adapter import AdapterState, Choice, Services
from bot.command import CommandRegistry, ParameterKind
from bot.errors import UsageError
from bot.flow.orchestrator import Orchestrator
from bot.messages import Addressed, Author, ConversationRef, Inbound, ReplyView
from bot.models.available import Models
from bot.settings.scoped import ScopedSettings
from bot.settings.specs import Scope, SettingName, Trigger
from bot.store.ports.store import Store

MAX_CHOICES = 25
"""Discord shows no more; nobody reads more elsewhere."""


class AdapterServices(Services):
    """The services of one adapter. `account` is set once the adapter exists, before it runs."""

    def __init__(
        self,
        platform: str,
        store: Store,
        orchestrator: Orchestrator,
        commands: CommandRegistry,
        models: Models,
        settings: ScopedSettings,
    ) -> None:
        self.account = platform
        self._platform = platform
        self._store = store
        self._orchestrator = orchestrator
        self._commands = commands
        self._models = models
        self._settings = settings

    @property
    @override
    def commands(self) -> CommandRegistry:
        return self._commands

    @property
    @override
    def state(self) -> AdapterState:
        return self._store.adapter_state(self._platform)

    @override
    async def submit(self, event: Inbound) -> ReplyView | None:
        return await self._orchestrator.submit(self.account, event)

    @override
    async def takes_part(self, conversation: ConversationRef, before: str | None = None) -> bool:
        return await self._store.history.takes_part(conversation, before)

    @override
    async def unaddressed(self, conversation: ConversationRef) -> Addressed | None:
        match await self._settings.trigger(conversation):
            case Trigger.MENTION:
                return None
            case Trigger.LISTEN:
                return Addressed.OVERHEARD
            case Trigger.EVERYTHING:
                return Addressed.CHANNEL

    @override
    async def model_for(self, conversation: ConversationRef, author: Author) -> Choice:
        effective = await self._settings.effective(conversation, author)
        name = effective.text(SettingName.MODEL)
        return Choice(name, self._models.get(name).title if name in self._models else name)

    @override
    async def complete(self, command: str, parameter: str, prefix: str) -> Sequence[Choice]:
        choices = self._choices(command, parameter)
        # Of names with commas between them the last one is completed.
        before, comma, wanted = prefix.lower().rpartition(",")
        found = [choice for choice in choices if choice.value.startswith(wanted.strip())]
        return [
            Choice(f"{before}{comma}{choice.value}", f"{before}{comma}{choice.label}")
            for choice in found[:MAX_CHOICES]
        ]

    def _choices(self, command: str, parameter: str) -> list[Choice]:
        try:
            parameters = self._commands.get(command).parameters
        except UsageError:
            return []
        for known in parameters:
            if known.name == parameter:
                match known.kind:
                    case ParameterKind.MODEL:
                        return [Choice(entry.name, entry.title) for entry in self._models]
                    case ParameterKind.MODELS:
                        presets = {name for entry in self._models for name in entry.presets}
                        names = [entry.name for entry in self._models]
                        return [Choice(name, name) for name in (*sorted(presets), *names)]
                    case ParameterKind.SCOPE:
                        return [Choice(scope.value, scope.value) for scope in Scope]
                    case ParameterKind.TEXT:
                        offered = known.choices or known.suggestions
                        return [Choice(choice, choice) for choice in offered]
        return []
