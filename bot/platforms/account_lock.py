"""One process serves an account: a lock that dies with its holder."""

import hashlib
import re
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from bot.errors import UserFacingError
from bot.translations import gettext as _

LOCKS = "locks"
"""Where in the data folder the locks are."""

LOOK_S = 0.2
"""Longer than `is_any_account_served` holds a lock."""


def is_any_account_served(folder: Path) -> bool:
    """Whether a living process on this machine holds an account."""
    return any(_is_held(file) for file in folder.glob("*.lock"))


def _is_held(file: Path) -> bool:
    lock = FileLock(file, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return True
    lock.release()
    return False


@contextmanager
def account_lock(folder: Path, account: str) -> Generator[None]:
    """Hold an account for as long as the block lasts.

    Raises `UserFacingError` when a living process on this machine holds it already. The lock is
    the operating system's: a killed process leaves it free.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    readable = re.sub(r"[^A-Za-z0-9-]+", "-", account)[:40]
    digest = hashlib.sha256(account.encode()).hexdigest()[:12]
    file = folder / f"{readable}-{digest}.lock"
    # Whoever asks whether a bot runs holds it for a moment.
    lock = FileLock(file, timeout=LOOK_S)
    try:
        lock.acquire()
    except Timeout:
        raise UserFacingError(
            _("Another Fireside process already serves {account}. Stop it first.").format(
                account=account
            )
        ) from None
    try:
        yield
    finally:
        # While it is held, so that the file is surely ours; Windows refuses, and it stays there.
        # Nobody waits for it, and who opened it before this sees that it has no name any more.
        with suppress(OSError):
            file.unlink(missing_ok=True)
        lock.release()
