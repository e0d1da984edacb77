"""A remote model: its servers, which of them are well, and what they say of it."""

from collections.abc import Awaitable, Callable

from bot.engine.remote.client import ChatServer
from bot.engine.remote.discovery import ServedModel, ask_served_model
from bot.engine.remote.endpoints import Endpoint, EndpointPool
from bot.engine.remote.faults import Fault, ServerFault
from bot.errors import EngineUnavailable, UserFacingError
from bot.translations import gettext as _
from config.catalogue import ModelEntry

DEFAULT_REST_S = {Fault.BUSY: 2.0, Fault.LOADING: 6.0}
"""How long a server that is busy is left alone when it does not say."""


class RemoteModel:
    """One catalogue entry and the servers behind it."""

    def __init__(
        self,
        entry: ModelEntry,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self.entry = entry
        self.sleep = sleep
        self.last_fault = Fault.UNREACHABLE
        self.name_at_server = entry.remote_model or entry.name
        self.pool = EndpointPool(entry.endpoints, monotonic)
        key = entry.api_key.get_secret_value() if entry.api_key else None
        self._servers = {
            endpoint: ChatServer(
                endpoint.url,
                key,
                connect_timeout_s=entry.connect_timeout_s,
                read_timeout_s=entry.read_timeout_s,
            )
            for endpoint in self.pool.endpoints
        }
        self._served: dict[Endpoint, ServedModel] = {}
        self.refused: dict[Endpoint, set[str]] = {one: set() for one in self.pool.endpoints}
        """Parameters that a server does not take: they are not sent to it again."""

    @property
    def is_known(self) -> bool:
        """Whether a server has said that it serves the model."""
        return any(not served.others for served in self._served.values())

    @property
    def served_others(self) -> tuple[str, ...] | None:
        """What is served instead, where no server serves it; None where one does."""
        if self.is_known or not self._served:
            return None
        return next(iter(self._served.values())).others

    def server(self, endpoint: Endpoint) -> ChatServer:
        """The client of a server."""
        return self._servers[endpoint]

    async def served(self, endpoint: Endpoint) -> ServedModel:
        """What a server says of the model, asked once while it is well, and
        again while what it says is a guess. Raises `ServerFault`."""
        found = self._served.get(endpoint)
        if found is None or found.is_guess:
            found = await ask_served_model(self._servers[endpoint], self.name_at_server)
            self._served[endpoint] = found
        return found

    async def check(self, endpoint: Endpoint) -> ServedModel | ServerFault:
        """Ask a server anew, and hold what comes of it for or against it."""
        self._served.pop(endpoint, None)
        try:
            served = await self.served(endpoint)
        except ServerFault as fault:
            self.failed(endpoint, fault)
            return fault
        self.pool.succeeded(endpoint)
        return served

    async def try_again(self) -> None:
        """Check the servers whose pause is over: requests go to those that are well meanwhile."""
        for endpoint in self.pool.endpoints:
            if len(self.pool.endpoints) > 1 and self.pool.is_due(endpoint):
                await self.check(endpoint)

    def failed(self, endpoint: Endpoint, fault: ServerFault) -> None:
        """Hold a fault against a server."""
        self.last_fault = fault.fault
        match fault.fault:
            case Fault.BUSY | Fault.LOADING:
                default_s = DEFAULT_REST_S[fault.fault]
                rest_s = default_s if fault.rest_s is None else fault.rest_s
                self.pool.rest(endpoint, rest_s)
            case Fault.REQUEST_REFUSED:
                pass
            case Fault.UNREACHABLE | Fault.KEY_REFUSED:
                self._served.pop(endpoint, None)
                self.pool.failed(endpoint, is_down=True)
            case Fault.SILENT | Fault.BROKEN | Fault.FAILED | Fault.NO_MODEL:
                self._served.pop(endpoint, None)
                self.pool.failed(endpoint)

    def told(self, fault: Fault) -> UserFacingError:
        """A fault in words for members: what happened, and what to do."""
        name = self.entry.name
        match fault:
            case Fault.UNREACHABLE:
                text = _("The server that runs {name} cannot be reached now. Ask again in a "
                         "minute, or choose another model.")  # fmt: skip
            case Fault.SILENT:
                text = _("The server that runs {name} did not answer in time. Ask again later, or "
                         "choose another model.")  # fmt: skip
            case Fault.BUSY:
                text = _("The server that runs {name} is busy. Ask again in a minute.")
            case Fault.LOADING:
                text = _("The server that runs {name} is still loading it. Ask again in a minute, "
                         "or choose another model.")  # fmt: skip
            case Fault.BROKEN | Fault.FAILED:
                text = _("The server that runs {name} failed. Ask again; if it happens again, "
                         "choose another model.")  # fmt: skip
            case Fault.KEY_REFUSED:
                text = _("The server that runs {name} refuses this bot's key. Tell the bot's "
                         "owner, who finds it under [models.{name}] in fireside.toml.")  # fmt: skip
            case Fault.NO_MODEL:
                text = _("The server does not know {name} by the name that it is asked for. "
                         "Tell the bot's owner: it is `remote_model` there.")  # fmt: skip
            case Fault.REQUEST_REFUSED:
                text = _("The server that runs {name} refuses this question. Put it another way, "
                         "or choose another model.")  # fmt: skip
        return EngineUnavailable(text.format(name=name))

    async def close(self) -> None:
        """Close all connections."""
        for server in self._servers.values():
            await server.close()
