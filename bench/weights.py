"""`python -m bench.weights`: what fewer bits a weight cost and gain, in layers of one size.

There are more layers than caches hold, as in a model: each is read from memory. The formats take
turns, so that all of them see the same machine. The fastest of many short rounds
is shown, because on a busy machine the others measure its neighbours, and beside it the ratio to
our own product in bf16. The error is the difference of the
outputs to those of 32 bits, as a share of their norm, with normally distributed weights.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from bot.engine.checkpoint.block_quantization import in_blocks
from bot.engine.kernels.block_format import FORMATS
from bot.engine.kernels.block_matmul import BlockProduct
from bot.engine.kernels.packing import by_compiled, by_onednn, working

ROWS = (1, 4, 16, 64, 256)
BASE = "bf16, our own"
ROUNDS = 20
LAYERS = 16

Multiply = Callable[[torch.Tensor], torch.Tensor]


def formats(layer: nn.Linear) -> Mapping[str, tuple[Multiply, torch.dtype]]:
    """Ways to multiply with a layer's weights, and the format of what they are given."""
    whole = nn.Linear(layer.in_features, layer.out_features, bias=False, dtype=torch.bfloat16)
    with torch.no_grad():
        whole.weight.copy_(layer.weight)
    weight = whole.weight.detach()
    has_onednn = working(by_onednn, weight) is not None
    return {
        "fp32": (layer, torch.float32),
        "bf16, plain": (whole, torch.bfloat16),
        **({"bf16, oneDNN": (by_onednn(weight, None), torch.bfloat16)} if has_onednn else {}),
        BASE: (by_compiled(weight, None), torch.bfloat16),
        **{
            f"{kind.name} blocks": (
                BlockProduct.of(in_blocks(weight.float().numpy(), kind), kind),
                torch.bfloat16,
            )
            for kind in FORMATS
            if not kind.is_super  # gguf rounds to no K formats
        },
    }


def error(multiply: Multiply, dtype: torch.dtype, layer: nn.Linear) -> float:
    """The share of the output's norm that is lost."""
    rows = torch.randn(64, layer.in_features)
    expected = layer(rows)
    found = multiply(rows.to(dtype)).float()
    return float((found - expected).square().sum() / expected.square().sum()) ** 0.5


def times_us(
    layers: Sequence[Mapping[str, tuple[Multiply, torch.dtype]]], inputs: int, count: int
) -> Mapping[str, float]:
    """Microseconds a layer for so many rows: the fastest round, the formats in turn."""
    taken: dict[str, list[float]] = {name: [] for name in layers[0]}
    for _round in range(ROUNDS):
        for name, times in taken.items():
            _multiply, dtype = layers[0][name]
            rows = torch.randn(count, inputs).to(dtype)
            began_s = time.perf_counter()
            for ways in layers:
                ways[name][0](rows)
            times.append((time.perf_counter() - began_s) * 1e6 / len(layers))
    return {name: min(values) for name, values in taken.items()}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.weights", description=__doc__)
    parser.add_argument("--outputs", type=int, default=3072)
    parser.add_argument("--inputs", type=int, default=1024)
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with torch.inference_mode():
        layers: list[nn.Linear] = []
        for _ in range(arguments.layers):
            layers.append(nn.Linear(arguments.inputs, arguments.outputs, bias=False))
            layers[-1].weight.copy_(torch.randn_like(layers[-1].weight) * arguments.inputs**-0.5)
        ways = list(map(formats, layers))
        columns = [times_us(ways, arguments.inputs, count) for count in ROWS]
        print(f"| weights | {' | '.join(f'{count} rows' for count in ROWS)} | error |")
        print("|---" * (len(ROWS) + 2) + "|")
        for name, (multiply, dtype) in ways[0].items():
            cells = [
                f"{column[name]:.0f} µs ({column[name] / column[BASE]:.2f})" for column in columns
            ]
            print(f"| {name} | {' | '.join(cells)} | {error(multiply, dtype, layers[0]):.4f} |")


if __name__ == "__main__":
    main()
