"""What is raised when a configuration value is wrong."""


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
