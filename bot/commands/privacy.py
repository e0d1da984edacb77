"""/forget, /export and /privacy: what is stored of people, and its removal."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

from bot.command import Caller, Command, Said, Who
from bot.flow.conversation_memory import ConversationMemory
from bot.flow.queues import Queues
from bot.flow.request import conversation_key
from bot.messages import ConversationRef, TextFile
from bot.models.available import Models, is_on_this_machine, place_of
from bot.policy.contacted_hosts import is_address
from bot.settings.scoped import ScopedSettings
from bot.settings.specs import SettingName
from bot.store.ports.erasure import Erasure, Person
from bot.store.ports.records import StoredMessage
from bot.translations import gettext as _

DETAILS = frozenset({"reply_part", "contender", "comparison"})
"""Tables that are parts of others: counted, but no news to anybody."""

MAX_ADDRESSES = 20
"""How many addresses are told one by one; names stand for more of them."""


class PrivacyCommands:
    """The commands about stored data. `hosts` tells which hosts this process has contacted."""

    def __init__(
        self,
        erasure: Erasure,
        settings: ScopedSettings,
        queues: Queues,
        memory: ConversationMemory,
        hosts: Callable[[], Sequence[str]],
        models: Models,
    ) -> None:
        self._erasure = erasure
        self._settings = settings
        self._queues = queues
        self._memory = memory
        self._hosts = hosts
        self._models = models

    def commands(self) -> tuple[Command, ...]:
        """The definitions."""
        return (
            Command(
                "privacy",
                _("What I have stored of you, and where it goes"),
                self.privacy,
                is_private=True,
                is_open=True,
            ),
            Command(
                "export me",
                _("Get all that I have stored of you"),
                self.export,
                is_private=True,
                is_open=True,
            ),
            Command(
                "forget me",
                _("Erase everything that I have stored of you on this platform"),
                self.forget_me,
                is_private=True,
                is_open=True,
            ),
            Command(
                "forget channel",
                _("Erase everything that I have stored of this channel"),
                self.forget_channel,
                who=Who.MANAGER,
            ),
        )

    async def privacy(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Counts, how long they stay, where else they stand, and every host that was contacted."""
        person = _person(caller)
        here = await self._settings.effective(caller.conversation, caller.author)
        lines = [
            _("Stored of you on this platform, this command included:"),
            *_listed(await self._erasure.stored(person)),
            *_named(await self._erasure.listed(person)),
            _("Messages are kept here for {days} days, then a daily sweep deletes them.").format(
                days=here.text(SettingName.RETENTION_DAYS)
            ),
            _("What this platform keeps of us is its own, and so are answers to others that "
              "repeat what you said. In memory alone, until I end: the last prompts, for "
              "`/inspect`, and what models computed for them. Besides, without your words: ids "
              "of events that I have seen, and for quotas numbers under a hash, for two days."),
            _("It lies in a database on the machine that runs me. Where it goes from there:"),
            *contacted(self._hosts()),
            *self._sent_away(),
            _("Models come from the package index, asked by set-up and `fireside models pull`, or "
              "from the model hub, asked by the latter. Nothing of you is sent there."),
            _("`/export me` gives you all of it, `/forget me` erases it."),
        ]  # fmt: skip
        return Said(_joined(lines), is_private=True)

    def _sent_away(self) -> Sequence[str]:
        """What is sent to models on other machines, whether one was asked yet or not."""
        away = [one for one in self._models if one.is_remote and not is_on_this_machine(one)]
        if not away:
            return ()
        return (
            _("These models run elsewhere. What you ask one of them, and the conversation before "
              "it, is sent there:"),
            *(f"- `{entry.name}`: {place_of(entry)}" for entry in away),
        )  # fmt: skip

    async def export(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Every row as JSON."""
        rows = await self._erasure.export(_person(caller))
        text = json.dumps(rows, ensure_ascii=False, indent=2, default=str)
        said = _("This is everything that I have stored of you, table by table.")
        return Said(said, is_private=True, file=TextFile("my-data.json", text))

    async def forget_me(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Erase, count, and look again; this command itself goes once it is answered."""
        person, own = _person(caller), caller.message_id
        keys = [conversation_key(one) for one in await self._erasure.conversations(person)]

        def is_theirs(message: StoredMessage) -> bool:
            who = Person(message.event.conversation.platform, message.event.author.id)
            return who == person and message.id < own

        with self._queues.withdrawing(is_theirs) as dropped:
            erased = await self._erasure.forget(person, before=own)
        for key in keys:
            await self._memory.forget(key)
        left = await self._erasure.stored(person, before=own)

        lines = [
            _("Erased:"),
            *_listed(erased),
            *_dropped(dropped),
            _("Looked again, and found: {number}.").format(number=sum(left.values())),
            *_named(await self._erasure.listed(person)),
            _("This command is erased as soon as you have its answer."),
        ]
        return Said(_joined(lines), is_private=True, afterwards=self._drop(own))

    async def forget_channel(self, caller: Caller, arguments: Mapping[str, str]) -> Said:
        """Erase a channel with its threads."""
        where = caller.conversation
        own, key = caller.message_id, _channel_key(where)

        def is_here(message: StoredMessage) -> bool:
            return _channel_key(message.event.conversation) == key and message.id < own

        with self._queues.withdrawing(is_here) as dropped:
            erased = await self._erasure.forget_channel(where, before=own)
        await self._memory.forget(key)
        left = await self._erasure.stored_in(where, before=own)

        lines = [
            _("Erased of this channel and its threads:"),
            *_listed(erased),
            *_dropped(dropped),
            _("Looked again, and found: {number}.").format(number=sum(left.values())),
            _("This command is erased as soon as it is answered."),
        ]
        return Said(_joined(lines), afterwards=self._drop(own))

    def _drop(self, message_id: int) -> Callable[[], Awaitable[None]]:
        """Lets the command itself go, and nothing that came after it."""

        async def drop() -> None:
            await self._erasure.drop(message_id)

        return drop


def _joined(lines: Sequence[str]) -> str:
    """The lines as CommonMark: right under a list a line would belong to its last item."""
    parts: list[str] = []
    for line in lines:
        if parts and parts[-1].startswith("- ") and not line.startswith("- "):
            parts.append("")
        parts.append(line)
    return "\n".join(parts)


def _person(caller: Caller) -> Person:
    return Person(caller.conversation.platform, caller.author.id)


def _channel_key(conversation: ConversationRef) -> str:
    """What the cache keys of a channel and of its threads begin with."""
    return conversation_key(conversation).rsplit("/", 1)[0]


def _named(number: int) -> list[str]:
    """Where a place's own rules name the person."""
    text = _(
        "Your id stands in {number} entries of access lists and their trail: rules of places, "
        "which who manages them can take back. They are not counted, and stay."
    )
    return [text.format(number=number)] if number else []


def contacted(hosts: Sequence[str]) -> list[str]:
    """The names one by one; the many addresses behind them in a line."""
    if not hosts:
        return [_("- nowhere: this process has contacted no other host")]
    addresses = [host for host in hosts if is_address(host)]
    lines = [f"- `{host}`" for host in hosts if not is_address(host)]
    if addresses:
        shown = ", ".join(f"`{one}`" for one in addresses[:MAX_ADDRESSES])
        more = len(addresses) - MAX_ADDRESSES
        rest = _(" and {number} more").format(number=more) if more > 0 else ""
        lines.append(_("- connected to {addresses}").format(addresses=shown + rest))
    text = _(
        "(These are all the hosts that this process has contacted: chat platforms, places where "
        "models were downloaded, servers of models that run elsewhere, or a proxy before them.)"
    )
    return [*lines, text]


def _dropped(number: int) -> list[str]:
    """Questions that get no answer any more; their places would else stay empty without a word."""
    text = _("Questions among them that were not answered yet, and are not any more: {number}.")
    return [text.format(number=number)] if number else []


def _listed(counts: Mapping[str, int]) -> list[str]:
    """The counts in words; nothing is said as such."""
    nouns = {
        "message": _("messages and commands"),
        "reply": _("answers to them"),
        "rating": _("ratings"),
        "vote": _("votes"),
        "feedback": _("questions and answers kept with a rating"),
        "setting": _("settings"),
        "setting_change": _("entries in the trail of settings"),
        "conversation": _("marks of a fresh start"),
    }
    told = {name: number for name, number in counts.items() if name not in DETAILS}
    lines = [f"- {nouns.get(name, name)}: {number}" for name, number in told.items()]
    return lines or [_("- nothing")]
