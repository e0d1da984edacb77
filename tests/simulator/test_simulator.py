"""Simulations find nothing in the bot, find what is planted, and are the same for the same seed."""

import os
import subprocess
import sys

import pytest

SEEDS = 12
LIMIT_S = 300


def simulated(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run simulations in a process of their own, whose clocks they replace."""
    command = [sys.executable, "-m", "tests.simulator", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT_S, check=False, env=environment
    )


@pytest.mark.timeout(LIMIT_S)
def test_simulations_find_nothing() -> None:
    done = simulated("--seed", "0", "--count", str(SEEDS))

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_same_seeds_give_the_same_traces_byte_for_byte() -> None:
    """One seed for Discord and one for Slack."""
    first, second = (simulated("--seed", "2", "--count", "2", "--trace").stdout for _ in range(2))

    assert "posted" in first
    assert first == second


def test_a_planted_fault_is_found_with_its_name() -> None:
    plant = "an answer is posted twice"
    done = simulated("--platform", "discord", "--count", "40", "--plant", plant)

    assert done.returncode == 0
    assert done.stdout.startswith(f"{plant}: seed ")
    assert "duplicated" in done.stdout
