"""What is raised when a configuration value, or the name of a model, is wrong."""

from collections.abc import Sequence


class ConfigurationError(Exception):
    """A wrong configuration: which key, what is wrong with it, and an example that works.

    Printed as one line; it never contains the value, which may be a secret.
    """

    def __init__(self, key: str, problem: str, example: str | None = None) -> None:
        self.key = key
        self.problem = problem
        self.example = example
        hint = f" For example: {example}" if example else ""
        end = "" if problem.endswith("?") else "."
        super().__init__(f"{key}: {problem}{end}{hint}")


class UnknownModelName(KeyError):  # noqa: N818 - named after what happened
    """A name that is not in the catalogue; `near` are the names most like it."""

    def __init__(self, name: str, near: Sequence[str]) -> None:
        super().__init__(name)
        self.name = name
        self.near = tuple(near)
