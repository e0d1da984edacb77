"""Compiled kernels: what stands between a model's matrix products, for passes of few tokens.

Each takes the place of a dozen small operations and of Python's way between them. States are stored
in fp32, or in bf16, which numpy sees as uint16, and are computed with in fp32. What a product gave
is named by its address, which costs a tenth of the time that an array for it would.

Only the engine's worker thread imports this module: it brings numba. A kernel is compiled when it
is first called with a type, and kept on disk for the next process where the disk can be written to.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportUnknownLambdaType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false, reportMissingTypeStubs=false, reportCallIssue=false, reportPrivateImportUsage=false
# numba infers types; what stands in a kernel is not Python's.

import hashlib
import math
from pathlib import Path

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

FASTMATH = {"contract", "reassoc", "nsz", "arcp"}
"""Sums in any order and fused products; infinity and what is no number keep their meaning."""


def _is_kept() -> bool:
    """Whether there is a folder to keep compiled kernels in: beside this file or in the home."""
    try:
        numba.njit(cache=True)(_is_kept)
    except RuntimeError:
        return False
    return True


IS_KEPT = _is_kept()


def source_version(folder: Path) -> int:
    """A number that changes with any of a folder's modules."""
    files = sorted(folder.glob("*.py"))
    return int.from_bytes(
        hashlib.sha256(b"".join(file.read_bytes() for file in files)).digest()[:7]
    )


VERSION = source_version(Path(__file__).parent)
"""Changes with any file of this room. A kept kernel is compiled again when the file that it is in
changed; one that is made of other files' parts as well names this too."""

compiled = numba.njit(fastmath=FASTMATH, nogil=True, cache=IS_KEPT, error_model="numpy")
part = numba.njit(fastmath=FASTMATH, error_model="numpy", forceinline=True)

_I16, _I32, _F32 = ir.IntType(16), ir.IntType(32), ir.FloatType()


@intrinsic
def number(_context, stored):
    """What is stored, as fp32."""

    def widen(_ctx, builder, _signature, args):
        return builder.bitcast(builder.shl(builder.zext(args[0], _I32), _I32(16)), _F32)

    if stored == types.uint16:
        return types.float32(stored), widen
    return types.float32(types.float32), lambda _ctx, _builder, _signature, args: args[0]


@intrinsic
def stored_in(_context, array, value):
    """An fp32 number as an array stores it; bf16 rounds to the nearest, of two to the even one."""
    signature = array.dtype(array, types.float32)

    def narrow(_ctx, builder, _signature, args):
        bits = builder.bitcast(args[1], _I32)
        is_odd = builder.and_(builder.lshr(bits, _I32(16)), _I32(1))
        rounded = builder.add(bits, builder.add(is_odd, _I32(0x7FFF)))
        return builder.trunc(builder.lshr(rounded, _I32(16)), _I16)

    if array.dtype == types.uint16:
        return signature, narrow
    return signature, lambda _ctx, _builder, _signature, args: args[1]


@intrinsic
def pointer(_context, address, like):
    """An address as a pointer to what an array consists of."""
    signature = types.CPointer(like.dtype)(types.intp, like)

    def point(ctx, builder, sig, args):
        return builder.inttoptr(args[0], ctx.get_value_type(sig.return_type))

    return signature, point


@part
def at(address, like, shape):
    """The array of a shape at an address, of elements like those of another."""
    return numba.carray(pointer(address, like), shape)


_FLAGS = ("contract", "reassoc", "nsz")


def _pieces(size):
    """The vectors that so many numbers consist of: where each begins, and its lanes."""
    begin = 0
    for lanes in (16, 8, 4, 2, 1):
        while size - begin >= lanes:
            yield begin, lanes
            begin += lanes


def _place(builder, address, begin, element, lanes):
    """Where a vector begins, some elements behind an address."""
    lane = _F32 if element == types.float32 else _I16
    place = builder.add(address, ir.IntType(64)(begin * element.bitwidth // 8))
    return builder.inttoptr(place, ir.VectorType(lane, lanes).as_pointer())


def _loaded(builder, address, begin, element, lanes):
    """A vector of what is stored, as fp32."""
    place = _place(builder, address, begin, element, lanes)
    vector = builder.load(place, align=element.bitwidth // 8)
    if element == types.float32:
        return vector
    wide = ir.VectorType(_I32, lanes)
    shifted = builder.shl(builder.zext(vector, wide), ir.Constant(wide, [16] * lanes))
    return builder.bitcast(shifted, ir.VectorType(_F32, lanes))


def _halves_added(builder, vector):
    lanes = vector.type.count // 2
    indices = ir.VectorType(_I32, lanes)
    low, high = (
        builder.shuffle_vector(vector, vector, ir.Constant(indices, [*half]))
        for half in (range(lanes), range(lanes, 2 * lanes))
    )
    return builder.fadd(low, high, flags=_FLAGS)


@intrinsic(prefer_literal=True)
def dot(_context, numbers, states, like, size):
    """The product of so many fp32 numbers and states, each at an address; the states are stored as
    in an array. In vectors written out, because compilers leave what is no power of two to loops.
    """

    def generate(_ctx, builder, _signature, args):
        sums = {lanes: ir.Constant(ir.VectorType(_F32, lanes), [0.0] * lanes)
                for lanes in (16, 8, 4, 2, 1)}  # fmt: skip
        for begin, lanes in _pieces(size.literal_value):
            number = _loaded(builder, args[0], begin, types.float32, lanes)
            state = _loaded(builder, args[1], begin, like.dtype, lanes)
            product = builder.fmul(number, state, flags=_FLAGS)
            sums[lanes] = builder.fadd(product, sums[lanes], flags=_FLAGS)
        for lanes in (16, 8, 4, 2):
            half = _halves_added(builder, sums[lanes])
            sums[lanes // 2] = builder.fadd(half, sums[lanes // 2], flags=_FLAGS)
        return builder.extract_element(sums[1], _I32(0))

    return types.float32(types.intp, types.intp, like, size), generate


@intrinsic(prefer_literal=True)
def add_scaled(_context, numbers, weight, states, like, size):
    """Add to so many fp32 numbers the states times a weight; written like `dot`."""

    def generate(ctx, builder, _signature, args):
        for begin, lanes in _pieces(size.literal_value):
            number = _loaded(builder, args[0], begin, types.float32, lanes)
            state = _loaded(builder, args[2], begin, like.dtype, lanes)
            scale = ir.Constant(ir.VectorType(_F32, lanes), ir.Undefined)
            for lane in range(lanes):
                scale = builder.insert_element(scale, args[1], _I32(lane))
            product = builder.fmul(state, scale, flags=_FLAGS)
            place = _place(builder, args[0], begin, types.float32, lanes)
            builder.store(builder.fadd(product, number, flags=_FLAGS), place, align=4)
        return ctx.get_dummy_value()

    return types.void(types.intp, types.float32, types.intp, like, size), generate


@intrinsic
def float_of_bits(_context, bits):
    """The fp32 number whose bits an integer has."""

    def cast(_ctx, builder, _signature, args):
        return builder.bitcast(args[0], _F32)

    return types.float32(types.int32), cast


_LOG2_E = np.float32(1 / math.log(2))
_C1, _C2, _C3, _C4, _C5, _C6, _C7 = (
    np.float32(math.log(2) ** power / math.factorial(power)) for power in range(1, 8)
)
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


@part
def exponential(x):
    """e^x to the precision of fp32, in operations that exist for whole vectors: a power of two
    times the series of 2^f, |f| at most a half.
    """
    z = min(max(x * _LOG2_E, np.float32(-126)), np.float32(127))
    whole = np.int32(z + (_HALF if z > 0 else -_HALF))
    f = z - np.float32(whole)
    series = _ONE + f * (_C1 + f * (_C2 + f * (_C3 + f * (_C4 + f * (_C5 + f * (_C6 + f * _C7))))))
    return series * float_of_bits(np.int32((whole + np.int32(127)) << np.int32(23)))


@compiled
def add_norm(hidden, added, weight, bias, epsilon, out):
    """Add to hidden states [tokens, size], fp32, what is at `added`; normed they go to `out`.

    Where there is a bias it is layer norm (Ba et al. 2016), else RMS norm (Zhang, Sennrich 2019).
    """
    tokens, size = hidden.shape
    states = at(added, out, (tokens, size))
    for token in range(tokens):
        total, squares = _ZERO, _ZERO
        for i in range(size):
            value = hidden[token, i] + number(states[token, i])
            hidden[token, i] = value
            total += value
        mean = total / np.float32(size) if bias.size else _ZERO
        for i in range(size):
            difference = hidden[token, i] - mean
            squares += difference * difference
        scale = _ONE / np.float32(math.sqrt(squares / np.float32(size) + epsilon))
        for i in range(size):
            value = (hidden[token, i] - mean) * scale * weight[i]
            out[token, i] = stored_in(out, value + bias[i] if bias.size else value)


SILU = (1.0, 0.0)
"""Elfwing et al. 2018: x * sigmoid(x)."""

GELU = (2 * math.sqrt(2 / math.pi), 0.044715)
"""The approximation by tanh of Hendrycks and Gimpel 2016, tanh written as a sigmoid."""


@compiled
def multiply_gated(given, slope, cubic, out):
    """Gates that were activated times what they let through.

    Both stand at `given` [tokens, 2 size], the gates first: x * sigmoid(slope * (x + cubic * x^3)).
    """
    tokens, size = out.shape
    states = at(given, out, (tokens, 2 * size))
    for token in range(tokens):
        for i in range(size):
            x = number(states[token, i])
            opened = x / (_ONE + exponential(-slope * (x + cubic * x * x * x)))
            out[token, i] = stored_in(out, opened * number(states[token, size + i]))


@part
def _place_head(states, norm, epsilon, cosine, sine, own):
    """Norm one head's states [size], if there is a norm, and turn them by their position."""
    half = states.size // 2
    squares = _ZERO
    for i in range(states.size):
        own[i] = number(states[i])
        squares += own[i] * own[i]
    if norm.size:
        scale = _ONE / np.float32(math.sqrt(squares / np.float32(states.size) + epsilon))
        for i in range(states.size):
            own[i] = own[i] * scale * norm[i]
    for i in range(half):
        low, high = own[i], own[i + half]
        states[i] = stored_in(states, low * cosine[i] - high * sine[i])
        states[i + half] = stored_in(states, high * cosine[i] + low * sine[i])


@compiled
def rotate(given, heads, query_norm, key_norm, epsilon, turns, positions, keys):
    """Norm and turn queries and keys by their positions, in place.

    They stand at `given` [tokens, heads + 2 key heads, size]: queries, keys, values. `keys` are a
    layer's cache [slots, capacity, key heads, size]. `turns` [positions, 2, size / 2] hold cosines
    and sines (Su et al. 2021; the halves of a head are paired). Without a norm it is empty.
    """
    tokens, key_heads, size = positions.size, keys.shape[2], keys.shape[3]
    states = at(given, keys, (tokens, heads + 2 * key_heads, size))
    own = np.empty(size, np.float32)
    for token in range(tokens):
        cosine, sine = turns[positions[token], 0], turns[positions[token], 1]
        for head in range(heads):
            _place_head(states[token, head], query_norm, epsilon, cosine, sine, own)
        for head in range(heads, heads + key_heads):
            _place_head(states[token, head], key_norm, epsilon, cosine, sine, own)


@compiled
def store(given, heads, slots, positions, keys, values):
    """Write keys and values to their slots' positions in a layer's cache.

    They stand at `given` [tokens, heads + 2 key heads, size] behind the queries; `keys` and
    `values` are [slots, capacity, key heads, size].
    """
    tokens, key_heads, size = positions.size, keys.shape[2], keys.shape[3]
    states = at(given, keys, (tokens, heads + 2 * key_heads, size))
    for token in range(tokens):
        slot, position = slots[token], positions[token]
        for head in range(key_heads):
            for i in range(size):
                keys[slot, position, head, i] = states[token, heads + head, i]
                values[slot, position, head, i] = states[token, heads + key_heads + head, i]
