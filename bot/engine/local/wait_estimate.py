"""How long those who wait will, from how long answers took of late (pure)."""

SHARE_OF_NEWEST = 0.2
"""How much the newest answer counts in the mean; older ones fade."""


class WaitEstimate:
    """A moving mean of how long an answer keeps its rows, in seconds."""

    def __init__(self) -> None:
        self._answer_s: float | None = None

    def note(self, took_s: float) -> None:
        """An answer ended by itself after so long."""
        if self._answer_s is None:
            self._answer_s = took_s
        else:
            self._answer_s += SHARE_OF_NEWEST * (took_s - self._answer_s)

    def expected_s(self, position: int, generating: int) -> float | None:
        """The wait of whoever is the `position`-th to begin (the next is 1) while so many answers
        are generated at once; None before any answer was measured.

        With n answers under way one ends every n-th part of an answer's time.
        """
        if self._answer_s is None:
            return None
        return self._answer_s * position / max(generating, 1)
