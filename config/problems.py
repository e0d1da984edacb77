"""What is wrong with a value, in words, from a validation error. Never the value itself."""

import re
from collections.abc import Mapping
from typing import Any

PHRASES = (
    (re.compile(r"^bool_"), "must be true or false"),
    (re.compile(r"^int_"), "must be a whole number"),
    (re.compile(r"^(float|decimal)_"), "must be a number"),
    (re.compile(r"^(string|bytes)_type$"), "must be text"),
    (re.compile(r"^string_pattern_mismatch$"), "does not have the right form"),
    (re.compile(r"^path_type$"), "must be a path"),
    (re.compile(r"^(list|tuple|set)_type$"), "must be a list"),
    (re.compile(r"^(dict|model)_"), "must be a table"),
    (re.compile(r"^url_"), "must be a web address that begins with https:// or http://"),
    (re.compile(r"^missing$"), "is missing"),
    (re.compile(r"^extra_forbidden$"), "is not a setting"),
)


def problem_of(error: Mapping[str, Any]) -> str:
    """One of pydantic's errors, as the predicate of a sentence about the key."""
    kind, message = str(error["type"]), str(error["msg"])
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    for pattern, phrase in PHRASES:
        if pattern.match(kind):
            return phrase
    return message.replace("Input should be", "must be").replace("String should", "must")
