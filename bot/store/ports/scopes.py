"""The places that a setting can hold for."""

from dataclasses import dataclass

PERSONAL_SCOPE = "me"
"""The kind of scope that belongs to a member and to no installation."""


def scope_id(*parts: str) -> str:
    """The id of a scope: the ids that lead to it, the platform first, between slashes."""
    return "/".join(part.replace("/", "%2F") for part in parts)


@dataclass(frozen=True, slots=True)
class ScopeKey:
    """One place that a setting can hold for: a kind ("channel") and which one."""

    kind: str
    id: str


def scope_parts(scope: ScopeKey) -> tuple[str, ...]:
    """The ids that lead to a scope; none for the one that is everywhere."""
    return tuple(part.replace("%2F", "/") for part in scope.id.split("/")) if scope.id else ()
