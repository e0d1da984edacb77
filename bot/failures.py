"""Failures for the log: where they rose, and no word of what anybody wrote."""

import traceback
from pathlib import Path


def without_text(error: BaseException) -> str:
    """An error's type and place, not its message, which may quote people."""
    places = traceback.extract_tb(error.__traceback__)[-4:]
    path = " < ".join(f"{Path(at.filename).name}:{at.lineno} {at.name}" for at in reversed(places))
    return f"{type(error).__name__} at {path}"
