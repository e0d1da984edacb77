"""The inner loop of a matrix product: some rows of states times a block of outputs.

What is summed stays in vector registers from the first input to the last; weights are read once, as
they lie, and each step's states are spread over a vector's lanes. Which instruction multiplies is
the processor's choice: `Arithmetic`.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportUnknownLambdaType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false, reportMissingTypeStubs=false, reportCallIssue=false, reportPrivateImportUsage=false
# numba infers types; what stands in a kernel is not Python's.

from dataclasses import dataclass
from enum import Enum

from llvmlite import binding, ir
from numba.core import config, types
from numba.extending import intrinsic
from typing_extensions import override

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_F32 = ir.FloatType()
_FUSED = ("contract",)
"""Products may be fused with sums. These stay in order, so that a row's sums are the same whichever
rows are beside it."""

OTHER = ("CPU_NAME", "CPU_FEATURES")
"""Settings that have numba compile for another processor than this one."""

_LINE = 64
"""Bytes that come from memory together."""

VECTORS = 2
"""Vectors of outputs that lie together: enough sums for a row that none waits for another."""


class Numbers(Enum):
    """What weights are kept as."""

    FP32 = "fp32"
    BF16 = "bf16"


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """One way to multiply.

    A vector has so many `lanes`, an output each; a step takes `inputs` of each output, as they lie
    together. `tiles` are the numbers of rows that the registers have room for. `features` are what
    the processor must have, in LLVM's terms.
    """

    name: str
    numbers: Numbers
    lanes: int
    inputs: int
    tiles: tuple[int, ...]
    features: frozenset[str]

    @property
    def block(self) -> int:
        """Outputs that lie together."""
        return VECTORS * self.lanes

    @property
    def step_bytes(self) -> int:
        """What a vector's weights take for a step."""
        return self.lanes * self.inputs * _BYTES[self.numbers]

    @property
    def takes_fp32(self) -> bool:
        """Whether states are given in fp32: one of them is what is spread for a step."""
        return self.inputs == 1

    @property
    def is_here(self) -> bool:
        """Whether this processor has them, and kernels are compiled for no other."""
        if not getattr(config, "ENABLE_AVX", True) or any(getattr(config, each) for each in OTHER):
            return False
        found = binding.get_host_cpu_features()
        return all(found.get(feature, False) for feature in self.features)


PAIRS = Arithmetic("pairs", Numbers.BF16, 16, 2, (1, 2, 4, 8), frozenset({"avx512bf16"}))
"""VDPBF16PS: sixteen sums of two products."""

WIDENED = Arithmetic("widened", Numbers.BF16, 8, 1, (1, 2, 4), frozenset({"avx2", "fma"}))
"""Weights become fp32 in a register, for processors without bf16: half the memory is read."""

WHOLE = Arithmetic("whole", Numbers.FP32, 16, 1, (1, 2, 4, 8), frozenset({"avx512f"}))
SHORT_WHOLE = Arithmetic("short whole", Numbers.FP32, 8, 1, (1, 2, 4), frozenset({"avx2", "fma"}))
"""Fused products and sums of fp32, sixteen or eight at a time."""

ARITHMETICS = (PAIRS, WIDENED, WHOLE, SHORT_WHOLE)
"""All of them; of those for the same numbers the faster one first."""

_BYTES = {Numbers.FP32: 4, Numbers.BF16: 2}

_STATE_BYTES = 4
"""What a row's states take for a step."""


class _BFloat(ir.Type):
    """LLVM's own name for bf16, which llvmlite has not."""

    intrinsic_name = "bf16"

    @override
    def _to_string(self) -> str:
        return "bfloat"

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    @override
    def __hash__(self) -> int:
        return hash(_BFloat)


def arithmetic_for(numbers: Numbers) -> Arithmetic:
    """The fastest way to multiply that this processor has. Raises `NotImplementedError`."""
    for arithmetic in ARITHMETICS:
        if arithmetic.numbers is numbers and arithmetic.is_here:
            return arithmetic
    raise NotImplementedError(f"no way to multiply {numbers.value} here")


@intrinsic(prefer_literal=True)
def tile(_context, states, stride, last, weights, steps, ahead, pace, sums, number, rows):
    """The loop for so many rows in `ARITHMETICS[number]`; what it is given stands at `_loop`."""
    arithmetic, count = ARITHMETICS[number.literal_value], rows.literal_value

    def generate(ctx, builder, _signature, args):
        _loop(builder, arithmetic, count, args[:8])
        return ctx.get_dummy_value()

    return types.void(*(types.intp,) * 8, number, rows), generate


def _loop(builder, arithmetic, rows, args):
    """Sums [rows, block] of products, fp32, to the address `sums`.

    `states` is where the rows' states begin, `stride` bytes from one to the next; a row behind
    `last` is the last one again, and its sums mean nothing. `weights` is where the block lies;
    meanwhile `pace` bytes a step are fetched from memory, beginning at `ahead`.
    """
    states, stride, last, weights, steps, ahead, pace, sums = args
    vector = ir.VectorType(_F32, arithmetic.lanes)
    begins = []
    for row in range(rows):
        is_there = builder.icmp_signed("<", _I64(row), last)
        own = builder.select(is_there, _I64(row), last)
        begins.append(builder.add(states, builder.mul(stride, own)))
    entry, loop, done = (builder.block, *(builder.append_basic_block() for _ in range(2)))
    builder.branch(loop)
    builder.position_at_end(loop)
    step = builder.phi(_I64)
    step.add_incoming(_I64(0), entry)
    before = {}
    for place in ((row, part) for row in range(rows) for part in range(VECTORS)):
        before[place] = builder.phi(vector)
        before[place].add_incoming(ir.Constant(vector, None), entry)
    width = arithmetic.step_bytes
    block = builder.add(weights, builder.mul(step, _I64(VECTORS * width)))
    parts = [_weights(builder, arithmetic, block, width * part) for part in range(VECTORS)]
    fetched = builder.add(ahead, builder.mul(step, pace))
    for line in range(0, VECTORS * width, _LINE):
        _fetch(builder, builder.add(fetched, _I64(line)))
    offset = builder.mul(step, _I64(_STATE_BYTES))
    for row in range(rows):
        spread = _spread(builder, arithmetic, builder.add(begins[row], offset))
        for part in range(VECTORS):
            place = before[row, part]
            added = _added(builder, arithmetic, place, parts[part], spread)
            place.add_incoming(added, loop)
            before[row, part] = added
    following = builder.add(step, _I64(1))
    step.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, steps), loop, done)
    builder.position_at_end(done)
    for (row, part), total in before.items():
        offset = _I64((row * VECTORS + part) * arithmetic.lanes * 4)
        place = builder.inttoptr(builder.add(sums, offset), vector.as_pointer())
        builder.store(total, place, align=4)


def _fetch(builder, address):
    """Have a line of memory in the second cache when it is needed."""
    pointer = _I8.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32])
    name = "llvm.prefetch.p0"
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    builder.call(function, [builder.inttoptr(address, pointer), _I32(0), _I32(2), _I32(1)])


def _weights(builder, arithmetic, address, offset):
    """A vector of weights, as what the instruction wants."""
    place = builder.add(address, _I64(offset))
    if arithmetic is not WIDENED:
        number = _F32 if arithmetic.numbers is Numbers.FP32 else _I32
        whole = ir.VectorType(number, arithmetic.lanes)
        return builder.load(builder.inttoptr(place, whole.as_pointer()), align=4)
    halves = ir.VectorType(_I16, arithmetic.lanes)
    loaded = builder.load(builder.inttoptr(place, halves.as_pointer()), align=2)
    whole = ir.VectorType(_I32, arithmetic.lanes)
    shift = ir.Constant(whole, [16] * arithmetic.lanes)
    shifted = builder.shl(builder.zext(loaded, whole), shift)
    return builder.bitcast(shifted, ir.VectorType(_F32, arithmetic.lanes))


def _spread(builder, arithmetic, address):
    """A step's states of one row, in every lane."""
    kind = _F32 if arithmetic.takes_fp32 else _I32
    value = builder.load(builder.inttoptr(address, kind.as_pointer()), align=2)
    return _in_all(builder, value, arithmetic.lanes)


def _in_all(builder, value, lanes):
    empty = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(empty, value, _I32(0))
    return builder.shuffle_vector(
        first, first, ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
    )


def _added(builder, arithmetic, sums, weights, states):
    """The sums with a step's products added."""
    lanes = arithmetic.lanes
    if arithmetic.takes_fp32:
        product = builder.fmul(weights, states, flags=_FUSED)
        return builder.fadd(product, sums, flags=_FUSED)
    given = ir.VectorType(_BFloat(), 2 * lanes)
    name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * lanes}"
    kind = ir.FunctionType(sums.type, [sums.type, given, given])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(
        function, [sums, *(builder.bitcast(each, given) for each in (weights, states))]
    )
