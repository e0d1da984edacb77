"""What fewer bits a weight cost: within what the issue of quality allows."""

import json
from pathlib import Path

from training.__main__ import BUILTIN
from training.fewer_bits import fewer_bits

TALK = [
    {"id": str(number), "turns": ["hello", "Hi! How are you?", "fine", "Good."], "origin": "corpus"}
    for number in range(3)
]


def test_eight_bits_cost_less_than_one_percent_and_four_less_than_ten(tmp_path: Path) -> None:
    (tmp_path / "training.jsonl").write_text("")
    (tmp_path / "held_out.jsonl").write_text("\n".join(map(json.dumps, TALK)))
    found = fewer_bits(tmp_path, BUILTIN)
    whole = found["float32"]
    assert 0 < whole < 5
    assert abs(found["float32, 8 bits"] / whole - 1) < 0.01
    assert abs(found["bfloat16, 8 bits"] / whole - 1) < 0.02
    for dtype in ("float32", "bfloat16"):
        assert abs(found[f"{dtype}, 8 bits and states of 8 bits"] / whole - 1) < 0.02
        assert found[f"{dtype}, 8 bits and states of 8 bits"] != found[f"{dtype}, 8 bits"]
        assert abs(found[f"{dtype}, 4 bits and states of 8 bits"] / whole - 1) < 0.1
    assert found["float32, 4 bits"] != found["float32, 8 bits"]
    assert abs(found["float32, 4 bits"] / whole - 1) < 0.1
