"""Layers whose weights stay in the blocks of a GGUF file: nothing is unpacked but what is looked at.

Only the engine's worker thread imports this module: it imports torch and numba.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# torch's modules are untyped; what leaves this module is typed.

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel
from typing_extensions import override

from bot.engine.checkpoint.files import DamagedCheckpoint
from bot.engine.checkpoint.gguf_weights import GgufWeights, LazyWeight, StoredBlocks, unpacked
from bot.engine.kernels.block_format import BY_NUMBER, GROUP, BlockFormat
from bot.engine.kernels.block_matmul import BlockProduct
from bot.engine.kernels.block_reading import Bytes
from bot.engine.kernels.packing import Group, PackedLinear, grouped, install
from bot.engine.machine.memory import trim

CHECKED_ROWS = 4
"""Rows of each matrix that are compared with what GGML says they are."""

_MOST = 127


class BlockEmbedding(nn.Module):
    """Rows of a matrix in blocks, looked up by their numbers."""

    def __init__(self, product: BlockProduct, dtype: torch.dtype) -> None:
        super().__init__()
        self.product = product
        self.num_embeddings, self.embedding_dim = product.outputs, product.inputs
        self.weight = torch.empty(0, dtype=dtype)
        """Empty: some modules look at their layers' precision."""

    @override
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Token ids [...] to states [..., size]."""
        return self.product.rows(ids).to(self.weight.dtype)


class BlockMatrices:
    """The matrices of a file that stay in blocks, and the model that they belong in."""

    def __init__(self, weights: GgufWeights, state: Mapping[str, LazyWeight]) -> None:
        self._weights = weights
        self._blocks = {name: each.blocks for name, each in state.items() if each.blocks}
        for name in self._blocks:
            state[name].stay_in_blocks(weights.dtype)

    def put_into(self, model: PreTrainedModel, on_piece: Callable[[float], None]) -> None:
        """Replace the layers of a model that was made without these matrices. `on_piece` hears the
        share done. Raises `DamagedCheckpoint`.
        """
        self._put_vocabulary(model)
        paths = {module: path for path, module in model.named_modules()}

        def of(parent: nn.Module, name: str) -> str:
            return f"{paths[parent]}.{name}.weight".lstrip(".")

        layers = {
            layer for path, layer in model.named_modules() if f"{path}.weight" in self._blocks
        }
        groups = [
            (parent, some)
            for parent, names in grouped(model, lambda layer: layer in layers)
            for some in self._alike(parent, names, of)
        ]
        for index, (parent, names) in enumerate(groups):
            self._put(parent, names, [self._blocks[of(parent, name)] for name in names])
            trim()
            on_piece((index + 1) / len(groups))

    def _alike(
        self, parent: nn.Module, names: Sequence[str], of: Callable[[nn.Module, str], str]
    ) -> Sequence[tuple[str, ...]]:
        """Layers that share their input are one product where they are of the same kind."""
        kinds = {self._blocks[of(parent, name)].tensor.kind for name in names}
        return [tuple(names)] if len(kinds) == 1 else [(name,) for name in names]

    def _put(
        self, parent: nn.Module, names: Sequence[str], blocks: Sequence[StoredBlocks]
    ) -> None:
        layers = [cast("nn.Linear", getattr(parent, name)) for name in names]
        biases = [layer.bias for layer in layers if layer.bias is not None]
        product = self._product(blocks, torch.cat(biases) if biases else None)
        whole = PackedLinear.of(
            product, product.inputs, product.outputs, layers[0].weight.dtype
        )
        install(whole, parent, names)

    def _put_vocabulary(self, model: PreTrainedModel) -> None:
        """Looking up tokens, and choosing them where that shares the matrix."""
        found = cast("nn.Module", model.get_input_embeddings())
        paths = {module: path for path, module in model.named_modules()}
        blocks = self._blocks.pop(f"{paths[found]}.weight", None)
        if blocks is None:
            return
        product = self._product([blocks], None)
        dtype = cast("nn.Embedding", found).weight.dtype
        output = cast("nn.Linear | None", model.get_output_embeddings())
        if output is not None and output.weight is cast("nn.Embedding", found).weight:
            whole = PackedLinear.of(product, product.inputs, product.outputs, dtype)
            model.set_output_embeddings(whole)
        model.set_input_embeddings(BlockEmbedding(product, dtype))

    def _product(
        self, blocks: Sequence[StoredBlocks], bias: torch.Tensor | None
    ) -> BlockProduct:
        rows = [self._weights.raw_rows(each.tensor)[each.order] for each in blocks]
        raw = rows[0] if len(rows) == 1 else np.concatenate(rows)
        rows.clear()
        kind = BY_NUMBER[blocks[0].tensor.kind]
        product = BlockProduct(raw, kind, bias)
        check(product, raw, kind, blocks[0].tensor.name)
        return product


def check(product: BlockProduct, raw: Bytes, kind: BlockFormat, name: str) -> None:
    """Compare some rows of a matrix with what GGML says they are, and what they multiply. Raises
    `DamagedCheckpoint`.

    The states are whole numbers with 127 among each 32: as bytes they are what they were, so that
    only the sums in fp32 round, each by at most a unit in the last place of what is summed so far
    (N. Higham, Accuracy and Stability of Numerical Algorithms, chapter 3). On the way that can be
    more than weights times states: a code before its offset or minimum is added. Codes reach from
    one end of a matrix's weights to the other, so four times the largest weight is more than any.
    """
    outputs, inputs = product.outputs, product.inputs
    some = torch.linspace(0, outputs - 1, min(CHECKED_ROWS, outputs)).long()
    flat = torch.from_numpy(np.ascontiguousarray(raw[some.numpy()]).reshape(-1))
    weights = unpacked(flat, kind.number).float().view(len(some), inputs)
    if not bool(torch.isfinite(weights).all()):
        raise DamagedCheckpoint(f"{name} holds what is not a number")
    if not torch.equal(product.rows(some), weights):
        raise DamagedCheckpoint(f"{name} is not read as GGML reads it")
    states = (torch.arange(inputs) * 37 % 255 - _MOST).float()
    states[::GROUP] = _MOST
    found = product(states[None])[0, some].double()
    expected = weights.double() @ states.double()
    if product.bias is not None:
        expected = expected + product.bias[some].double()
    summed = 4 * weights.double().abs().max() * states.double().abs().sum()
    bound = inputs * torch.finfo(torch.float32).eps * summed
    if bool(((found - expected).abs() > bound).any()):
        raise DamagedCheckpoint(f"{name} is multiplied wrongly here")
