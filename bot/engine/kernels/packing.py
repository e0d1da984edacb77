"""Kernels: linear layers in the form that this machine multiplies fastest.

In fp32 that is our own compiled product. In bf16 it is our own too, or oneDNN's prepacked weights
where those are faster: matrix instructions take about the same time for sixteen rows as for one.
oneDNN's packing is a private call of torch's: whatever packs is tested on every shape when a model
is loaded, and what fails stays as it was.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Protocol, Self, cast

import torch
from torch import nn
from torch.nn import functional
from typing_extensions import override

from bot.engine.machine.kernel_switch import are_kernels_off
from bot.engine.machine.memory import trim

logger = logging.getLogger(__name__)

TOLERANCE = {torch.bfloat16: 0.02, torch.float32: 1e-4}
"""Largest difference to the plain product, as a share of its largest value: bf16 has 8 bits."""

NO_KERNEL = (RuntimeError, NotImplementedError, AttributeError)
"""What is raised where this machine or version has no such product."""

PROBE_SHAPE = (1536, 576)
"""Rows and columns of the matrix that is timed once in each process."""

PROBE_ROWS = (1, 16, 64)
PROBE_REPEATS = 15

LEEWAY = 1.1
"""So much longer may our own product take where oneDNN's is measured beside it: most of what it
gains, memory that is read ahead and a shorter way to it, a small probe does not show."""

HALF_LEEWAY = 1.2
"""So much longer may bf16 take than fp32 in the probe, which lies in a cache: whole models do not,
and half the bytes come twice as fast."""

SHARED_INPUT = {
    "self_attn": ("q_proj", "k_proj", "v_proj"),
    "SelfAttention": ("q", "k", "v"),
    "encoder_attn": ("k_proj", "v_proj"),
    "EncDecAttention": ("k", "v"),
    "mlp": ("gate_proj", "up_proj"),
    "DenseReluDense": ("wi_0", "wi_1"),
}
"""Layers of one module, by its name, that are given the same: they are one product."""

Product = Callable[[torch.Tensor], torch.Tensor]
"""States [..., in features] to [..., out features]."""


class PackedProduct(Protocol):
    """A product that can say what it multiplies by."""

    def __call__(self, states: torch.Tensor, /) -> torch.Tensor:
        """States [..., in features] to [..., out features]."""
        ...

    @property
    def bias(self) -> torch.Tensor | None:
        """The bias [out features]."""
        ...

    def weights(self) -> Iterator[torch.Tensor]:
        """The weights [rows, in features], some rows at a time."""
        ...


Pack = Callable[[torch.Tensor, torch.Tensor | None], PackedProduct]
"""Lays out weights [out features, in features], and a bias."""


Group = tuple[nn.Module, tuple[str, ...]]
"""A module and the names of those of its layers that are packed together."""


class PackedLinear(nn.Module):
    """Linear layers whose weights are laid out one behind the other. It only infers."""

    def __init__(self, pack: Pack, *linears: nn.Linear) -> None:
        super().__init__()
        self.in_features = linears[0].in_features
        self.out_features = sum(linear.out_features for linear in linears)
        with torch.inference_mode():
            biases = [bias for bias in map(_bias, linears) if bias is not None]
            weight = _joined([linear.weight for linear in linears])
            self._product = pack(weight, _joined(biases) if biases else None)
        self.weight = torch.empty(0, dtype=linears[0].weight.dtype)
        """Empty: some modules look at their layers' precision."""
        self._last: tuple[torch.Tensor, torch.Tensor] | None = None

    @classmethod
    def of(
        cls, product: PackedProduct, in_features: int, out_features: int, dtype: torch.dtype
    ) -> Self:
        """Layers that are laid out already."""
        made = cls.__new__(cls)
        nn.Module.__init__(made)
        made.in_features, made.out_features = in_features, out_features
        made._product = product
        made.weight = torch.empty(0, dtype=dtype)
        made._last = None
        return made

    @override
    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """States [..., in features] to [..., out features]."""
        return _multiply(self._product, states)

    @property
    def product(self) -> PackedProduct:
        """How it multiplies."""
        return self._product

    def multiply_by(self, product: PackedProduct) -> None:
        """Multiply another way from now on."""
        self._product = product

    @property
    def bias(self) -> torch.Tensor | None:
        """The bias of all layers."""
        return self._product.bias

    def weights(self) -> Iterator[torch.Tensor]:
        """The weights of all layers [rows, in features], some rows at a time."""
        return self._product.weights()

    def between(self, first: int, last: int, states: torch.Tensor) -> torch.Tensor:
        """The outputs from `first` to `last`. They are computed together, until the last is asked
        for: whoever asks for one after another pays once.
        """
        if self._last is None or self._last[0] is not states:
            self._last = states, self(states)
        part = self._last[1][..., first:last]
        if last == self.out_features:
            self._last = None
        return part


class PackedPart(nn.Module):
    """One of several layers that were packed together, in its own place in the model."""

    def __init__(self, whole: PackedLinear, linear: nn.Linear, first: int) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.whole, self.first = whole, first
        self.weight = whole.weight

    @override
    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """States [..., in features] to [..., out features]."""
        return self.whole.between(self.first, self.first + self.out_features, states)


def pack(model: nn.Module, dtype: torch.dtype, on_piece: Callable[[float], None]) -> bool:
    """Replace a model's linear layers of a precision by packed ones; whether it was done.

    All or none: every shape is compared with the plain product first.
    """
    pack_one = fastest(dtype)
    found = grouped(model, lambda layer: layer.weight.dtype is dtype)
    shapes = by_shape(found)
    if pack_one is None or not found or not all(_agrees(pack_one, layers) for layers in shapes):
        return False
    shapes.clear()
    for index, (parent, names) in enumerate(found):
        replace(pack_one, parent, names)
        # Nothing holds what it was any more, so that no layer is there twice.
        trim()
        on_piece((index + 1) / len(found))
    return True


def joined(layers: Sequence[nn.Module]) -> Product:
    """What gives several layers' outputs for the same states one behind the other."""
    first = layers[0]
    if len(layers) == 1:
        return first.forward
    if isinstance(first, PackedPart) and first.first == 0:
        parts = [each for each in layers if isinstance(each, PackedPart)]
        is_whole = sum(part.out_features for part in parts) == first.whole.out_features
        if is_whole and all(part.whole is first.whole for part in parts):
            return first.whole.forward
    return lambda states: torch.cat([layer.forward(states) for layer in layers], dim=-1)


def is_packed_faster(dtype: torch.dtype) -> bool:
    """Whether weights of a precision are packed here rather than multiplied as plain fp32."""
    return not are_kernels_off() and fastest(dtype) is not None


@cache
def fastest(dtype: torch.dtype) -> Pack | None:
    """How this machine multiplies in a precision; None where nothing is better than plain fp32.

    In fp32 that is our own product wherever it works, so that sums are the same in each process.
    In bf16 it is measured once a process: with one thread, in turn, and the best of many, so that
    it holds on a busy machine too.
    """
    weight = torch.randn(PROBE_SHAPE, generator=torch.Generator().manual_seed(1))
    is_half = dtype is torch.bfloat16
    ways = (by_compiled, by_onednn) if is_half else (by_compiled,)
    tried = {pack: working(pack, weight.to(dtype)) for pack in ways}
    products = {pack: product for pack, product in tried.items() if product is not None}
    if not products:
        logger.warning("packed %s does not work here", str(dtype).removeprefix("torch."))
    if not is_half:
        return next(iter(products), None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            plain, *taken = _shares(weight, dtype, [*products.values()])
    finally:
        torch.set_num_threads(threads)
    most = HALF_LEEWAY * plain
    shares = {pack: share for pack, share in zip(products, taken, strict=True) if share < most}
    if len(shares) == 2 and shares[by_compiled] > LEEWAY * shares[by_onednn]:
        return by_onednn
    return next(iter(shares), None)


class OneDnnProduct:
    """Weights as oneDNN wants them. Raises what torch's private calls raise where it cannot be."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        if not torch.backends.mkldnn.is_available():
            raise NotImplementedError("oneDNN")
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous())
        self.bias = bias

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """States [..., in features] to [..., out features]."""
        multiply = torch.ops.mkldnn._linear_pointwise.default
        return cast("torch.Tensor", multiply(states, self._packed, self.bias, "none", [], ""))

    def weights(self) -> Iterator[torch.Tensor]:
        """The weights, all at a time."""
        yield self._packed.to_dense()


def by_onednn(weight: torch.Tensor, bias: torch.Tensor | None) -> PackedProduct:
    """Weights as oneDNN wants them."""
    return OneDnnProduct(weight, bias)


def by_compiled(weight: torch.Tensor, bias: torch.Tensor | None) -> PackedProduct:
    """Weights as our own kernel wants them. Raises `NotImplementedError`."""
    # Imported here: it brings numba.
    from bot.engine.kernels.matmul import FloatProduct

    return FloatProduct(weight, bias)


def working(pack: Pack, weight: torch.Tensor) -> PackedProduct | None:
    """A product that works here."""
    try:
        with torch.inference_mode():
            product = pack(weight, None)
            product(weight.new_zeros((1, weight.shape[1])))
    except MemoryError:
        raise
    except Exception as error:  # a compiler and its cache on disk may raise anything
        logger.info("%s does not work here: %s: %s", pack.__name__, type(error).__name__, error)
        return None
    return product


def _shares(
    weight: torch.Tensor, dtype: torch.dtype, products: Sequence[Product]
) -> Sequence[float]:
    """What fp32 and each product takes for a few rows and for many, to what fp32 takes, summed."""
    sums = [0.0] * (len(products) + 1)
    for rows in PROBE_ROWS:
        states = torch.randn((rows, weight.shape[1]))
        given = states.to(dtype)
        plain, *others = _shortest_s(
            lambda states=states: functional.linear(states, weight),
            *(partial(product, given) for product in products),
        )
        for index, taken in enumerate((plain, *others)):
            sums[index] += taken / plain
    return sums


def grouped(model: nn.Module, is_taken: Callable[[nn.Linear], bool]) -> list[Group]:
    """A model's linear layers that are to be packed, those together that share their input."""
    return [
        (parent, names)
        for path, parent in model.named_modules()
        for names in _grouped(path.rpartition(".")[2], parent, is_taken)
    ]


def by_shape(groups: Sequence[Group]) -> list[Sequence[nn.Linear]]:
    """One group's layers for each shape that there is."""
    shapes = {_shape(layers): layers for layers in (_layers(*group) for group in groups)}
    return [*shapes.values()]


def _grouped(
    own_name: str, module: nn.Module, is_taken: Callable[[nn.Linear], bool]
) -> Iterator[tuple[str, ...]]:
    names = [
        name
        for name, child in module.named_children()
        if type(child) is nn.Linear and is_taken(child)
    ]
    sharing = SHARED_INPUT.get(own_name, ())
    if (
        set(sharing) <= set(names)
        and len({_bias(x) is None for x in _layers(module, sharing)}) == 1
    ):
        yield sharing
        names = [name for name in names if name not in sharing]
    yield from ((name,) for name in names)


def replace(
    pack_one: Pack, parent: nn.Module, names: Sequence[str], dtype: torch.dtype | None = None
) -> None:
    """Put packed layers in the place of a group's own, as if they were of a precision."""
    whole = PackedLinear(pack_one, *_layers(parent, names))
    whole.weight = whole.weight.to(dtype)
    install(whole, parent, names)


def install(whole: PackedLinear, parent: nn.Module, names: Sequence[str]) -> None:
    """Put layers that were packed together in the place of a group's own."""
    first = 0
    for name, layer in zip(names, _layers(parent, names), strict=True):
        setattr(parent, name, whole if len(names) == 1 else PackedPart(whole, layer, first))
        first += layer.out_features


def _layers(module: nn.Module, names: Sequence[str]) -> list[nn.Linear]:
    return [cast("nn.Linear", getattr(module, name)) for name in names]


def _shape(layers: Sequence[nn.Linear]) -> tuple[object, ...]:
    return (*(layer.weight.shape for layer in layers), _bias(layers[0]) is None)


def _agrees(pack_one: Pack, layers: Sequence[nn.Linear]) -> bool:
    inputs, dtype = layers[0].in_features, layers[0].weight.dtype
    states = torch.linspace(-1, 1, 3 * inputs).to(dtype).view(3, inputs)
    try:
        with torch.inference_mode():
            expected = torch.cat([layer(states) for layer in layers], dim=-1)
            given = PackedLinear(pack_one, *layers)(states)
    except NO_KERNEL as error:
        logger.warning("plain layers instead of packed: %s", type(error).__name__)
        return False
    if is_near(given, expected, TOLERANCE[dtype]):
        return True
    logger.warning("plain layers instead of packed: %s differs", tuple(layers[0].weight.shape))
    return False


def is_near(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> bool:
    """Whether no number is farther from what is expected than a share of the largest of those."""
    found, expected = found.float(), expected.float()
    return float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())


def _bias(linear: nn.Linear) -> torch.Tensor | None:
    return cast("torch.Tensor | None", linear.bias)


def _joined(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    return tensors[0].detach() if len(tensors) == 1 else torch.cat([*tensors]).detach()


def _multiply(product: Product, states: torch.Tensor) -> torch.Tensor:
    return product(states)


def _shortest_s(*calls: Callable[[], object]) -> list[float]:
    """What each call takes at least, measured in turn."""
    shortest = [math.inf] * len(calls)
    for _ in range(PROBE_REPEATS):
        for index, call in enumerate(calls):
            began = time.perf_counter()
            call()
            shortest[index] = min(shortest[index], time.perf_counter() - began)
    return shortest
