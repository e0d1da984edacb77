"""Machines of a test's choice in the place of this one."""

import pytest

from bot.models.proposals import Machine


def run_on(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the commands that propose models see this machine."""

    def here(_settings: object) -> Machine:
        return machine

    for module in ("init", "first_model"):
        monkeypatch.setattr(f"bot.cli.{module}.this_machine", here)
