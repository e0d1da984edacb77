"""Loads that wait until a test lets them go on."""

import threading
from collections.abc import Callable

from bot.engine.checkpoint.blueprint import Blueprint
from bot.engine.checkpoint.loading import Checkpoint, load_checkpoint


class HeldLoads:
    """Holds every load until `may_go` is set, and notes the pieces that were loaded."""

    def __init__(self) -> None:
        self.may_go = threading.Event()
        self.pieces: list[float] = []

    def load(self, blueprint: Blueprint, on_piece: Callable[[float], None]) -> Checkpoint:
        def noted(fraction: float) -> None:
            self.pieces.append(fraction)
            on_piece(fraction)

        assert self.may_go.wait(60)
        return load_checkpoint(blueprint, noted)
