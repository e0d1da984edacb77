"""Logging: lines on standard error for people or machines, secrets masked.

Message text is never given to a logger; this module cannot see to that, its callers do.
"""

import json
import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TextIO

from typing_extensions import override

OURS = ("bot", "adapters", "config", "bench")
QUIET = ("httpx2", "httpcore2", "sqlalchemy", "filelock", "asyncio")
"""Libraries whose INFO lines hold addresses, statements or noise."""

MASK = "********"
SHORTEST_SECRET = 4
"""Shorter ones would mask ordinary words."""

_CONTROL = {code: repr(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0))}


def configure(
    level: str,
    *,
    is_json: bool = False,
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Log to standard error from now on: our own loggers from `level` on.

    Libraries stay at INFO or above even where ours are at DEBUG: their debug lines hold what
    people wrote. Every occurrence of a secret in a line is masked, tracebacks included.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    formatter = JsonFormatter() if is_json else TextFormatter()
    handler.setFormatter(MaskingFormatter(formatter, secrets))
    threshold = logging.getLevelNamesMapping()[level]
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(threshold, logging.INFO))
    for name in OURS:
        logging.getLogger(name).setLevel(threshold)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    logging.captureWarnings(True)


class TextFormatter(logging.Formatter):
    """A line for people; what could break out of the line is escaped."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%d %H:%M:%S")

    @override
    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = record.message.translate(_CONTROL)
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and the exception if any."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class MaskingFormatter(logging.Formatter):
    """Another formatter's lines with every secret in them masked."""

    def __init__(self, formatter: logging.Formatter, secrets: Iterable[str]) -> None:
        super().__init__()
        self._formatter = formatter
        long_enough = (secret for secret in secrets if len(secret) >= SHORTEST_SECRET)
        self._secrets = sorted(long_enough, key=len, reverse=True)

    @override
    def format(self, record: logging.LogRecord) -> str:
        line = self._formatter.format(record)
        for secret in self._secrets:
            line = line.replace(secret, MASK).replace(json.dumps(secret)[1:-1], MASK)
        return line
