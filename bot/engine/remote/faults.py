"""What goes wrong with a server, by what can be done about it."""

import re
from enum import Enum, auto

from bot.errors import Signal


class Fault(Enum):
    """What went wrong with a server, by what can be done about it."""

    UNREACHABLE = auto()
    SILENT = auto()
    BROKEN = auto()
    """The connection broke, or what came is no answer."""
    BUSY = auto()
    LOADING = auto()
    """Busy with loading the model."""
    FAILED = auto()
    """An error of its own: 5xx, or one told within the stream."""
    KEY_REFUSED = auto()
    NO_MODEL = auto()
    REQUEST_REFUSED = auto()


class ServerFault(Signal):
    """A request failed. Its text holds no word of the request or of the server.

    `status` is that of the response, where there was one; `rest_s` is how long the server asks to
    be left alone; `complaint` is what it said of the request, to be searched and never shown: it
    may quote people.
    """

    def __init__(
        self,
        fault: Fault,
        detail: str,
        *,
        status: int | None = None,
        rest_s: float | None = None,
        complaint: str = "",
    ) -> None:
        super().__init__(detail)
        self.fault = fault
        self.status = status
        self.rest_s = rest_s
        self.complaint = complaint


LOADING = re.compile(r"loading.{0,10}model|model.{0,10}loading", re.IGNORECASE)
"""What llama.cpp and others say until the model is loaded."""

STATUS_FAULTS = {
    401: Fault.KEY_REFUSED,
    403: Fault.KEY_REFUSED,
    404: Fault.NO_MODEL,
    408: Fault.SILENT,
    429: Fault.BUSY,
    503: Fault.BUSY,
}


def fault_of(status: int, complaint: str) -> Fault:
    """The fault that a status of HTTP stands for, in a response or within a stream."""
    other = Fault.FAILED if status >= 500 or status < 400 else Fault.REQUEST_REFUSED
    fault = STATUS_FAULTS.get(status, other)
    return Fault.LOADING if fault is Fault.BUSY and LOADING.search(complaint) else fault
