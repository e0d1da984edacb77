"""The inner loop of a matmul by block-quantised weights: some rows of int8 states times a block.

Weights stay as they are in memory: codes of 4, 6 or 8 bits in groups, each group with a scale of
its own and maybe a minimum. A group's codes are multiplied by the states' bytes and summed as whole
numbers; only the group's sum becomes fp32. The states' scales are per row and 32 inputs. How the
record of a group is laid out is told in `blocks`; which instruction multiplies is the processor's
choice: `ByteArithmetic`.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportUnknownLambdaType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false, reportMissingTypeStubs=false, reportCallIssue=false, reportPrivateImportUsage=false
# numba infers types; what is in a kernel is not Python's.

from dataclasses import dataclass

from llvmlite import binding, ir
from numba.core import config, types
from numba.extending import intrinsic

from bot.engine.kernels.block_format import FORMATS, GROUP, PARTS, QUAD, BlockFormat
from bot.engine.kernels.tile import OTHER

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_F32, _HALF = ir.FloatType(), ir.HalfType()

_LINE = 64
"""Bytes that come from memory together."""

_QUADS = GROUP // QUAD

_MOST_SUM = 32767
"""The largest number of 16 bits."""

_MOST_STATE = 127

_HALF_TO_FLOAT = 2.0**112
"""The bits of an fp16 number, moved to where fp32 has them, are the number divided by this."""


@dataclass(frozen=True, slots=True)
class ByteArithmetic:
    """One way to multiply unsigned or signed codes by the bytes of states.

    A vector has so many `lanes`, an output each. `tiles` are the numbers of rows that the registers
    have room for. `features` are what the processor must have, in LLVM's terms.
    """

    name: str
    lanes: int
    tiles: tuple[int, ...]
    features: frozenset[str]

    @property
    def block(self) -> int:
        """Outputs that lie together."""
        return PARTS * self.lanes

    @property
    def is_here(self) -> bool:
        """Whether this processor has them, and kernels are compiled for no other."""
        if not self.features:
            return True
        if not getattr(config, "ENABLE_AVX", True) or any(getattr(config, each) for each in OTHER):
            return False
        found = binding.get_host_cpu_features()
        return all(found.get(feature, False) for feature in self.features)


VNNI = ByteArithmetic("avx512 vnni", 16, (1, 2, 4, 8), frozenset({"avx512vnni", "f16c"}))
"""VPDPBUSD: sixteen sums of four products of a byte without a sign and one with it."""

SHORT_VNNI = ByteArithmetic("avx vnni", 8, (1, 2, 4), frozenset({"avxvnni", "f16c", "fma"}))
"""The same in vectors of eight, for processors without AVX-512."""

PAIRS = ByteArithmetic("avx2", 8, (1, 2, 4), frozenset({"avx2", "f16c", "fma"}))
"""VPMADDUBSW: sums of two products in 16 bits, added to one another as long as they fit."""

PORTABLE = ByteArithmetic("portable", 8, (1, 2, 4), frozenset())
"""Whole numbers of 32 bits, which every processor multiplies; the compiler finds its vectors."""

BYTE_ARITHMETICS = (VNNI, SHORT_VNNI, PAIRS, PORTABLE)
"""All of them, the fastest first."""


_FUSES = binding.get_host_cpu_features().get("fma", "x86" not in binding.get_process_triple())
"""Whether this processor multiplies and adds in one: all do but old ones of x86."""


def byte_arithmetic() -> ByteArithmetic:
    """The fastest way that this processor has."""
    return next(each for each in BYTE_ARITHMETICS if each.is_here)


@intrinsic(prefer_literal=True)
def block_tile(_context, states, scales, totals, last, weights, supers, ahead, pace, sums, way,
               kind, rows):  # fmt: skip
    """The loop for so many rows, in `BYTE_ARITHMETICS[way]`, by weights of `FORMATS[kind]`.

    `states`, `scales` and `totals` are the addresses of the first row's bytes [inputs], of its fp32
    scales [inputs / 32] and of its fp32 sums of scaled states [inputs / format.group]; rows lie one
    behind the other. A row behind `last` is the last one again, and its sums mean nothing.
    `weights` is where the block lies, with `supers` super-blocks; meanwhile `pace` bytes for each
    byte read, times 2**-16, are fetched from memory, beginning at `ahead`. The result, fp32
    [rows, block], is written to the address `sums`.
    """
    made = _Loop(
        BYTE_ARITHMETICS[way.literal_value], FORMATS[kind.literal_value], rows.literal_value
    )

    def generate(ctx, builder, _signature, args):
        made.write(builder, args[:9])
        return ctx.get_dummy_value()

    return types.void(*(types.intp,) * 9, way, kind, rows), generate


class _Loop:
    """Writes the loop for some rows."""

    def __init__(self, way: ByteArithmetic, kind: BlockFormat, rows: int) -> None:
        self._way, self._kind, self._rows = way, kind, rows
        self._floats = ir.VectorType(_F32, way.lanes)
        self._whole = ir.VectorType(_I32, way.lanes)
        self._bytes = ir.VectorType(_I8, 4 * way.lanes)
        self._pairs = ir.VectorType(_I16, 2 * way.lanes)
        self._places = [(row, part) for row in range(rows) for part in range(PARTS)]

    def write(self, builder, args) -> None:
        """The whole loop."""
        states, scales, totals, last, weights, supers, ahead, pace, sums = args
        self._b = builder
        groups = builder.mul(supers, _I64(self._kind.groups))
        row_numbers = [self._row(row, last) for row in range(self._rows)]
        self._states = self._begins(states, row_numbers, builder.mul(groups, _I64(GROUP)))
        self._scales = self._begins(scales, row_numbers, builder.mul(groups, _I64(4)))
        per_group = 4 * self._kind.scales_in_group
        self._totals = self._begins(totals, row_numbers, builder.mul(groups, _I64(per_group)))
        self._ahead, self._pace = ahead, pace
        zeros = [ir.Constant(self._floats, None)] * len(self._places)
        found = self._counted(
            supers, zeros, lambda index, so_far: self._super(weights, index, so_far)
        )
        for (row, part), total in zip(self._places, found, strict=True):
            self._store(total, builder.add(sums, _I64((row * PARTS + part) * self._way.lanes * 4)))

    def _row(self, row: int, last):
        is_there = self._b.icmp_signed("<", _I64(row), last)
        return self._b.select(is_there, _I64(row), last)

    def _begins(self, first, rows, stride):
        return [self._b.add(first, self._b.mul(row, stride)) for row in rows]

    def _counted(self, count, values, body):
        """Do `body(index, values)`, which gives the next values, `count` times."""
        builder = self._b
        entry, loop, done = (builder.block, *(builder.append_basic_block() for _ in range(2)))
        builder.branch(loop)
        builder.position_at_end(loop)
        index = builder.phi(_I64)
        index.add_incoming(_I64(0), entry)
        carried = [builder.phi(value.type) for value in values]
        for each, value in zip(carried, values, strict=True):
            each.add_incoming(value, entry)
        results = body(index, carried)
        following = builder.add(index, _I64(1))
        index.add_incoming(following, builder.block)
        for each, value in zip(carried, results, strict=True):
            each.add_incoming(value, builder.block)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
        builder.position_at_end(done)
        return results

    def _super(self, weights, index, so_far):
        """A super-block: its own scales, and its groups."""
        kind, lanes, builder = self._kind, self._way.lanes, self._b
        offset = builder.mul(index, _I64(kind.super_bytes(lanes)))
        begin = builder.add(weights, offset)
        first = builder.mul(index, _I64(kind.groups))
        if not kind.is_super:
            return self._group(begin, offset, first, so_far, None)
        heads = [
            [self._halves(begin, (head * PARTS + part) * 2 * lanes) for part in range(PARTS)]
            for head in range(1 + kind.has_minimum)
        ]
        header = kind.header_bytes(lanes)

        def group(own, inner):
            within = builder.add(_I64(header), builder.mul(own, _I64(kind.group_bytes(lanes))))
            return self._group(
                builder.add(begin, within),
                builder.add(offset, within),
                builder.add(first, own),
                inner,
                heads,
            )

        return self._counted(_I64(kind.groups), so_far, group)

    def _group(self, record, offset, group, so_far, heads):
        """A group of 32 inputs: its record, how far that is from the block's begin, its number."""
        kind, builder = self._kind, self._b
        self._fetch(offset)
        given = [builder.add(each, builder.mul(group, _I64(GROUP))) for each in self._states]
        each = kind.scales_in_group
        quads = _QUADS // each
        # Scales come behind the products, which need the registers.
        whole = [
            self._dots(record, range(own * quads, (own + 1) * quads), given) for own in range(each)
        ]
        scales, minima = self._group_scales(record, heads)
        row_scales = [self._spread_float(begin, group, 0, 1) for begin in self._scales]
        totals = so_far
        for own in range(each):
            row_totals = [self._spread_float(begin, group, own, each) for begin in self._totals]
            next_totals = []
            for (row, part), before in zip(self._places, totals, strict=True):
                value = builder.sitofp(whole[own][row, part], self._floats)
                value = builder.fmul(value, row_scales[row])
                total = self._fma(value, scales[own][part], before)
                if minima is not None:
                    total = self._fma(minima[own][part], row_totals[row], total)
                next_totals.append(total)
            totals = next_totals
        return totals

    def _group_scales(self, record, heads):
        """A group's scales and minima: for each part of the group, for each vector of outputs."""
        kind, lanes, builder = self._kind, self._way.lanes, self._b
        at = PARTS * kind.code_bytes(lanes)
        scales, minima = [], []
        if heads is None:
            scales = [[self._halves(record, at + part * 2 * lanes) for part in range(PARTS)]]
            at += PARTS * 2 * lanes
            if kind.has_minimum:
                minima = [[self._halves(record, at + part * 2 * lanes) for part in range(PARTS)]]
        else:
            for own in range(kind.scales_in_group):
                begin = at + own * PARTS * lanes
                scales.append(
                    [
                        builder.fmul(
                            self._small(
                                record, begin + part * lanes, is_signed=not kind.has_minimum
                            ),
                            heads[0][part],
                        )
                        for part in range(PARTS)
                    ]
                )
            if kind.has_minimum:
                begin = at + kind.scales_in_group * PARTS * lanes
                minima = [
                    [
                        builder.fmul(
                            self._small(record, begin + part * lanes, is_signed=False),
                            heads[1][part],
                        )
                        for part in range(PARTS)
                    ]
                ]
        offset = self._offset
        if offset:
            less = ir.Constant(self._floats, [-float(offset)] * lanes)
            minima = [[builder.fmul(each, less) for each in parts] for parts in scales]
        return scales, minima or None

    @property
    def _offset(self) -> int:
        """What the codes, as they are multiplied, are more than the weights in units of scale."""
        if self._kind.bits == 8:
            return 128 if self._is_vnni else 0
        return self._kind.offset

    @property
    def _is_vnni(self) -> bool:
        return self._way in (VNNI, SHORT_VNNI)

    def _dots(self, record, quads, given):
        """For each row and vector of outputs the sums, int32, of some quads' products."""
        builder = self._b
        short, whole = {}, {}
        per_pair = 2 * _MOST_STATE * self._kind.most_code
        held = 0
        for quad in quads:
            codes = [self._codes(record, part, quad) for part in range(PARTS)]
            if self._way is PAIRS and (held + 1) * per_pair > _MOST_SUM:
                self._widen(short, whole)
                held = 0
            held += 1
            for row, states in enumerate(given):
                spread = self._spread_bytes(builder.add(states, _I64(quad * QUAD)))
                for part in range(PARTS):
                    self._add_products(short, whole, (row, part), codes[part], spread)
        self._widen(short, whole)
        return whole

    def _add_products(self, short, whole, place, codes, states) -> None:
        builder = self._b
        if self._is_vnni:
            before = whole.get(place, ir.Constant(self._whole, None))
            name = f"llvm.x86.avx512.vpdpbusd.{32 * self._way.lanes}"
            whole[place] = self._call(name, self._whole, before, codes, states)
        elif self._way is PAIRS:
            if self._kind.bits == 8:
                states = self._call("llvm.x86.avx2.psign.b", self._bytes, states, codes)
                codes = self._absolute(codes)
            pairs = self._call("llvm.x86.avx2.pmadd.ub.sw", self._pairs, codes, states)
            before = short.get(place)
            short[place] = pairs if before is None else builder.add(before, pairs)
        else:
            total = whole.get(place, ir.Constant(self._whole, None))
            is_signed = self._kind.bits == 8
            for byte in range(4):
                own = builder.mul(
                    self._byte(codes, byte, is_signed), self._byte(states, byte, True)
                )
                total = builder.add(total, own)
            whole[place] = total

    def _byte(self, words, index: int, is_signed: bool):
        """One byte of each lane as int32."""
        builder = self._b
        words = builder.bitcast(words, self._whole)

        def by(bits: int):
            return ir.Constant(self._whole, [bits] * self._way.lanes)

        high = builder.shl(words, by(24 - 8 * index))
        return builder.ashr(high, by(24)) if is_signed else builder.lshr(high, by(24))

    def _absolute(self, codes):
        """Bytes without their signs; -128 becomes 128, as a byte that has none."""
        zeros = ir.Constant(self._bytes, None)
        negative = self._b.sub(zeros, codes)
        return self._b.select(self._b.icmp_signed("<", codes, zeros), negative, codes)

    def _widen(self, short, whole) -> None:
        """Add what is summed in 16 bits to what is summed in 32."""
        builder = self._b
        ones = ir.Constant(self._pairs, [1] * (2 * self._way.lanes))
        for place, pairs in short.items():
            wide = self._call("llvm.x86.avx2.pmadd.wd", self._whole, pairs, ones)
            whole[place] = builder.add(whole[place], wide) if place in whole else wide
        short.clear()

    def _codes(self, record, part: int, quad: int):
        """The codes of four inputs of a vector of outputs, a byte each."""
        kind, builder, width = self._kind, self._b, 4 * self._way.lanes
        begin = part * kind.code_bytes(self._way.lanes)
        if kind.bits == 8:
            loaded = self._vector(record, begin + quad * width)
            return builder.xor(loaded, self._all(0x80)) if self._is_vnni else loaded
        loaded = self._vector(record, begin + quad % 4 * width)
        low = builder.and_(self._shifted(loaded, -4 * (quad // 4)), self._all(15))
        if kind.bits == 4:
            return low
        high = self._vector(record, begin + (4 + quad // 4) * width)
        moved = self._shifted(high, 4 - 2 * (quad % 4))
        return builder.or_(low, builder.and_(moved, self._all(0x30)))

    def _shifted(self, codes, left: int):
        """Bits moved, as lanes of 16: what crosses a byte's edge is masked away by the caller."""
        if not left:
            return codes
        by = ir.Constant(self._pairs, [abs(left)] * (2 * self._way.lanes))
        shift = self._b.shl if left > 0 else self._b.lshr
        return self._b.bitcast(shift(self._b.bitcast(codes, self._pairs), by), self._bytes)

    def _all(self, value: int):
        return ir.Constant(self._bytes, [value] * (4 * self._way.lanes))

    def _vector(self, address, offset: int):
        return self._loaded(address, offset, self._bytes)

    def _loaded(self, address, offset: int, kind):
        place = self._b.add(address, _I64(offset))
        return self._b.load(self._b.inttoptr(place, kind.as_pointer()), align=1)

    def _halves(self, address, offset: int):
        """A vector of fp16 as fp32. There are none that are infinite or no number."""
        builder, lanes = self._b, self._way.lanes
        if self._way is not PORTABLE:
            return builder.fpext(
                self._loaded(address, offset, ir.VectorType(_HALF, lanes)), self._floats
            )
        # Not every processor converts them, and a compiler would call a function for each.
        stored = self._loaded(address, offset, ir.VectorType(_I16, lanes))
        bits = builder.sext(stored, self._whole)
        mask = ir.Constant(self._whole, [0x8FFFE000 - (1 << 32)] * lanes)
        moved = builder.and_(builder.shl(bits, ir.Constant(self._whole, [13] * lanes)), mask)
        most = ir.Constant(self._floats, [_HALF_TO_FLOAT] * lanes)
        return builder.fmul(builder.bitcast(moved, self._floats), most)

    def _small(self, address, offset: int, *, is_signed: bool):
        """A vector of bytes as fp32."""
        stored = self._loaded(address, offset, ir.VectorType(_I8, self._way.lanes))
        extend = self._b.sext if is_signed else self._b.zext
        return self._b.sitofp(extend(stored, self._whole), self._floats)

    def _spread_bytes(self, address):
        """Four states of a row, in every lane."""
        value = self._b.load(self._b.inttoptr(address, _I32.as_pointer()), align=1)
        return self._b.bitcast(self._in_all(value), self._bytes)

    def _spread_float(self, address, group, own: int, each: int):
        """A row's number for a group, in every lane; `each` lie there for one."""
        index = self._b.add(self._b.mul(group, _I64(each)), _I64(own))
        place = self._b.add(address, self._b.mul(index, _I64(4)))
        return self._in_all(self._b.load(self._b.inttoptr(place, _F32.as_pointer()), align=4))

    def _in_all(self, value):
        lanes = self._way.lanes
        empty = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        first = self._b.insert_element(empty, value, _I32(0))
        zeros = ir.Constant(ir.VectorType(_I32, lanes), [0] * lanes)
        return self._b.shuffle_vector(first, first, zeros)

    def _fma(self, first, second, added):
        """In this order, so that a row's sums are the same whichever rows are beside it."""
        if not _FUSES:
            return self._b.fadd(self._b.fmul(first, second), added)
        name = f"llvm.fma.v{self._way.lanes}f32"
        return self._call(name, self._floats, first, second, added)

    def _fetch(self, offset) -> None:
        """Have what is needed later in the second cache when it is."""
        builder, pointer = self._b, _I8.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32])
        function = self._function("llvm.prefetch.p0", kind)
        moved = builder.lshr(builder.mul(offset, self._pace), _I64(16))
        begin = builder.add(self._ahead, moved)
        for line in range(0, self._kind.group_bytes(self._way.lanes), _LINE):
            place = builder.inttoptr(builder.add(begin, _I64(line)), pointer)
            builder.call(function, [place, _I32(0), _I32(2), _I32(1)])

    def _store(self, value, address) -> None:
        self._b.store(value, self._b.inttoptr(address, self._floats.as_pointer()), align=4)

    def _call(self, name: str, result, *args):
        function = self._function(name, ir.FunctionType(result, [each.type for each in args]))
        return self._b.call(function, args)

    def _function(self, name: str, kind):
        module = self._b.module
        return module.globals.get(name) or ir.Function(module, kind, name)
