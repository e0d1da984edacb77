"""From an exception to what members are told of it, and what the log may say.

Only the engine's worker thread imports this module.
"""

import logging
import traceback

import torch

from bot.engine import failures
from bot.engine.batching.row import BrokenNumbers
from bot.engine.checkpoint.files import DamagedCheckpoint
from bot.engine.text.tokenizer import TemplateRefused
from bot.errors import ModelError, UserFacingError
from bot.translations import gettext as _
from config.catalogue import ModelEntry

logger = logging.getLogger(__name__)


def told(entry: ModelEntry, error: Exception) -> UserFacingError:
    """What members are told when an answer fails."""
    match error:
        case UserFacingError():
            return error
        case BrokenNumbers():
            return failures.gave_no_numbers(entry)
        case TemplateRefused():
            return failures.broken(entry, _("its chat template refuses this conversation"))
        case _ if is_out_of_memory(error):
            return failures.out_of_memory(entry)
        case _:
            return failures.went_wrong(entry)


def unloadable(entry: ModelEntry, error: Exception) -> ModelError:
    """What members are told when a model cannot be loaded."""
    if is_out_of_memory(error):
        return failures.out_of_memory(entry)
    if isinstance(error, DamagedCheckpoint):
        return failures.broken(entry, str(error))
    return failures.broken(entry, _("its files are damaged or of another kind"))


def is_out_of_memory(error: Exception) -> bool:
    """Whether the memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # On a CPU torch raises a plain RuntimeError that names its allocator.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def log_error(error: Exception, entry: ModelEntry) -> None:
    """Type and place only: an error's own text may quote what somebody wrote. What is wrong with a
    checkpoint is our own text, and its place in the code says nothing.
    """
    if isinstance(error, DamagedCheckpoint):
        logger.error("%s cannot be used: %s", entry.name, error)
        return
    frames = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s: %s\n%s", entry.name, type(error).__name__, frames)
