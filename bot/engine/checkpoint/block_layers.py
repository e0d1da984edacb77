"""Layers whose weights stay in the blocks of a GGUF file: only rows that are looked up unpack.

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
from bot.engine.kernels.block_format import BY_NUMBER, GROUP
from bot.engine.kernels.block_matmul import BlockProduct
from bot.engine.kernels.block_reading import Bytes, Numbers
from bot.engine.kernels.packing import PackedLinear, grouped, install
from bot.engine.machine.memory import trim

CHECKED_ROWS = 4
"""Rows of each matrix that are compared with what GGML says they are."""

PIECE = 1 << 24
"""So many weights are read at a time."""

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

    def __init__(
        self, weights: GgufWeights, state: Mapping[str, LazyWeight], empty: PreTrainedModel
    ) -> None:
        """`empty` is the model without weights. From now on `state` gives zeros for them."""
        self._weights = weights
        taken = _replaceable(empty)
        self._blocks = {
            name: each.blocks for name, each in state.items() if each.blocks and name in taken
        }
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

    def _put(self, parent: nn.Module, names: Sequence[str], blocks: Sequence[StoredBlocks]) -> None:
        layers = [cast("nn.Linear", getattr(parent, name)) for name in names]
        biases: list[torch.Tensor] = [
            layer.bias for layer in layers if cast("torch.Tensor | None", layer.bias) is not None
        ]
        product = self._product(blocks, torch.cat(biases) if biases else None)
        whole = PackedLinear.of(product, product.inputs, product.outputs, layers[0].weight.dtype)
        install(whole, parent, names)

    def _put_vocabulary(self, model: PreTrainedModel) -> None:
        """Looking up tokens, and choosing them where that shares the matrix."""
        found = cast("nn.Embedding", model.get_input_embeddings())
        paths = {module: path for path, module in model.named_modules()}
        blocks = self._blocks.pop(f"{paths[found]}.weight", None)
        if blocks is None:
            return
        product = self._product([blocks], None)
        dtype = found.weight.dtype
        output = cast("nn.Linear | None", model.get_output_embeddings())
        if output is not None and output.weight is found.weight:
            whole = PackedLinear.of(product, product.inputs, product.outputs, dtype)
            model.set_output_embeddings(whole)
        model.set_input_embeddings(BlockEmbedding(product, dtype))

    def _product(self, blocks: Sequence[StoredBlocks], bias: torch.Tensor | None) -> BlockProduct:
        kind = BY_NUMBER[blocks[0].tensor.kind]
        outputs = sum(each.tensor.shape[0] for each in blocks)
        product = BlockProduct(kind, outputs, blocks[0].tensor.shape[1], bias)
        first = 0
        for each in blocks:
            self._fill(product, first, each)
            first += each.tensor.shape[0]
        return product

    def _fill(self, product: BlockProduct, first: int, blocks: StoredBlocks) -> None:
        """Read one of a product's matrices; where its rows keep their order, some at a time."""
        tensor, rows = blocks.tensor, blocks.tensor.shape[0]
        few = rows if blocks.order is not None else max(1, PIECE // product.inputs)
        try:
            for begin in range(0, rows, few):
                raw = self._weights.raw_rows(tensor, begin, min(few, rows - begin))
                product.fill(first + begin, raw, blocks.order)
                if begin == 0:
                    check(product, first, raw, blocks.order)
        except ValueError as error:
            raise DamagedCheckpoint(f"{tensor.name} cannot be used: {error}") from error


def _replaceable(model: PreTrainedModel) -> set[str]:
    """The weights of plain linear layers and of the vocabulary. A layer that does more than torch's
    own, as those that scale what they look up, keeps its weights.
    """
    vocabulary = model.get_input_embeddings()
    return {
        f"{path}.weight"
        for path, module in model.named_modules()
        if type(module) is nn.Linear or (type(module) is nn.Embedding and module is vocabulary)
    }


def check(product: BlockProduct, first: int, raw: Bytes, order: Numbers | None = None) -> None:
    """Compare some of the outputs from `first` with what GGML says of the rows that they were
    filled with: the weights themselves, and what they multiply. Raises `ValueError`.

    The states are whole numbers with 127 among each 32: as bytes they are what they were, so that
    only the sums in fp32 round, each by at most a unit in the last place of what is summed so far
    (N. Higham, Accuracy and Stability of Numerical Algorithms, chapter 3). On the way that can be
    more than weights times states: a code before its offset or minimum is added. Codes reach from
    one end of a matrix's weights to the other, so four times the largest weight is more than any.
    """
    some = np.linspace(0, len(raw) - 1, min(CHECKED_ROWS, len(raw))).astype(np.int64)
    stored = raw[some if order is None else order[some]].reshape(-1)
    weights = unpacked(torch.from_numpy(stored), product.kind.number).float()
    weights = weights.view(len(some), product.inputs)
    outputs = torch.from_numpy(some) + first
    if not torch.equal(product.rows(outputs), weights):
        raise ValueError("its weights are not read as GGML reads them")
    states = (torch.arange(product.inputs) * 37 % 255 - _MOST).float()
    states[::GROUP] = _MOST
    found = product(states[None])[0, outputs].double()
    expected = weights.double() @ states.double()
    if product.bias is not None:
        expected = expected + product.bias[outputs].double()
    summed = 4 * weights.double().abs().max() * states.double().abs().sum()
    bound = product.inputs * torch.finfo(torch.float32).eps * summed
    if bool(((found - expected).abs() > bound).any()):
        raise ValueError("this processor multiplies it wrongly")
