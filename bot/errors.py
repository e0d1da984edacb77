"""The one tree of errors.

    FiresideError
    ├── UserFacingError            its text may be shown: what happened, and what to do
    │   ├── UsageError             a command or its parameters were wrong
    │   ├── NotPermitted           the caller may not do that here
    │   ├── Busy                   a bounded queue is full
    │   ├── QuotaSpent             a rate or a budget is used up until a told time
    │   ├── ModelError             a model cannot answer
    │   │   ├── UnknownModel       not in the catalogue
    │   │   ├── ModelNotInstalled  in the catalogue, not on this machine
    │   │   ├── ModelTooLarge      does not fit into the memory that is free
    │   │   ├── BrokenModel        its files are damaged or not what they should be
    │   │   └── DownloadFailed     its source could not be reached or refused
    │   ├── EngineUnavailable      the engine died or is shutting down
    │   └── StoreUnavailable       the database cannot be opened, read or written
    ├── LeaseLost                  another process answers this message now
    ├── PlatformError              a chat platform refused or failed
    │   ├── TargetExpired          the reply target is no longer valid
    │   ├── MessageGone            somebody deleted the message, or there was none
    │   └── PlatformUnavailable    a passing failure
    └── Signal                     raised and caught within one room, and never seen outside it

Errors of configuration are `config.errors.ConfigurationError`: configuration imports nothing.
"""

import traceback
from pathlib import Path

from bot.translations import gettext as _


class FiresideError(Exception):
    """Anything that Fireside raises on purpose."""


class Signal(FiresideError):
    """What one part of a room tells another. The room turns it into another error, or into an
    ordinary result, before anything leaves it.
    """


class UserFacingError(FiresideError):
    """An error whose text may be shown to a member: what happened, and what to do about it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class UsageError(UserFacingError):
    """A command does not exist, or a parameter is missing or wrong."""


class NotPermitted(UserFacingError):
    """The caller may not do that in this place."""


class Busy(UserFacingError):
    """A bounded queue is full: try again later."""


class QuotaSpent(UserFacingError):
    """A rate or a token budget is used up; the text gives the limit and when there is more."""


class ModelError(UserFacingError):
    """A model cannot answer."""


class UnknownModel(ModelError):
    """The name is not in the catalogue."""


class ModelNotInstalled(ModelError):
    """The model is in the catalogue but not on this machine; the text names the command."""


class ModelTooLarge(ModelError):
    """Weights and cache do not fit; the text gives the sizes and a smaller alternative."""


class BrokenModel(ModelError):
    """A checkpoint is damaged, incomplete or of another kind than the catalogue says."""


class DownloadFailed(ModelError):
    """A model could not be fetched from where it comes from."""


class EngineUnavailable(UserFacingError):
    """The engine died, is being restarted, or is shutting down."""


class StoreUnavailable(UserFacingError):
    """The database cannot be opened, read or written; events stay unacknowledged.

    The text is for the owner: it names the file. People in a channel read `for_members`.
    """

    @property
    def for_members(self) -> str:
        """What to say where everybody reads it."""
        return _("I cannot reach my database just now. Please try again in a few minutes.")


class LeaseLost(FiresideError):
    """Another process claimed the message since: stop working on it and write nothing."""


class PlatformError(FiresideError):
    """A chat platform refused or failed."""


class TargetExpired(PlatformError):
    """The reply target is no longer valid and has no fallback."""


class MessageGone(PlatformError):
    """The message is not there: somebody deleted it, or an id is no message's."""


class PlatformUnavailable(PlatformError):
    """The platform cannot be reached now; the same call may go through later."""


def without_text(error: BaseException) -> str:
    """An error's type and place, not its message, which may quote people."""
    places = traceback.extract_tb(error.__traceback__)[-4:]
    path = " < ".join(f"{Path(at.filename).name}:{at.lineno} {at.name}" for at in reversed(places))
    return f"{type(error).__name__} at {path}"
