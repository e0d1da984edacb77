"""How the core is put together: the message flow over a store, an engine and what the owner chose.

The program and the tests build it with the same `compose`; which store and which engines there are
is decided in `app.py`.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from bot.clock import utc_now
from bot.commands.build import CommandServices, build_registry
from bot.engine.base import Engine
from bot.flow.conversation_memory import ConversationMemory
from bot.flow.inspection import Inspections
from bot.flow.orchestrator import Orchestrator
from bot.flow.queues import Limits, Queues
from bot.flow.reports import Reports
from bot.flow.request import PromptBuilder
from bot.flow.services import AnswerServices
from bot.models.available import Models
from bot.pictures.worker import Pictures
from bot.platforms.services import AdapterServices
from bot.policy.metered_engine import MeteredEngine
from bot.policy.quotas import Quotas
from bot.policy.word_list import WordList
from bot.settings.scoped import ScopedSettings
from bot.settings.specs import SettingName
from bot.store.ports.store import Store


@dataclass(frozen=True, slots=True)
class OwnersRules:
    """What the owner of the bot decided.

    `defaults` are the settings where nobody in a chat chose one, `given` those from the command
    line; `owners` are accounts such as "slack:U1"; `report_channels` names a channel by platform.
    """

    defaults: Mapping[SettingName, str]
    given: Mapping[SettingName, str] = field(default_factory=dict[SettingName, str])
    owners: Sequence[str] = ()
    answer_timeout_s: float = 300.0
    max_tokens: int | None = None
    words: WordList = field(default_factory=WordList)
    report_channels: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Core:
    """What all adapters of a process share; `services_for` makes those of one platform."""

    scoped: ScopedSettings
    orchestrator: Orchestrator
    services_for: Callable[[str], AdapterServices]


def compose(
    store: Store,
    engine: Engine,
    models: Models,
    pictures: Pictures,
    rules: OwnersRules,
    hosts: Callable[[], Sequence[str]],
    clock: Callable[[], datetime] = utc_now,
) -> Core:
    """The core over these parts, each of which the caller closes; `hosts` were contacted so far."""
    scoped = ScopedSettings(store.settings, rules.defaults, clock, rules.given)
    prompts = PromptBuilder(
        store.history,
        store.exchanges,
        scoped,
        models,
        clock,
        rules.answer_timeout_s,
        rules.max_tokens,
    )
    metered = MeteredEngine(engine, Quotas(store.usages, rules.owners, clock))
    inspections, reports = Inspections(clock()), Reports(rules.report_channels)
    queues = Queues(rules.limits)
    memory = ConversationMemory(metered, inspections, queues)
    commands = build_registry(
        CommandServices(
            store,
            scoped,
            models,
            metered,
            prompts,
            pictures,
            clock,
            queues,
            memory,
            hosts,
            inspections,
            reports,
        )
    )
    services = AnswerServices(
        metered,
        store.inbox,
        prompts,
        commands,
        rules.owners,
        clock,
        rules.words,
        reports,
        inspections,
    )
    orchestrator = Orchestrator(store, services, queues, memory, uuid.uuid4().hex)

    def services_for(platform: str) -> AdapterServices:
        return AdapterServices(platform, store, orchestrator, commands, models, scoped)

    return Core(scoped, orchestrator, services_for)
