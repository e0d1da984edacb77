"""Reading GGML's blocks into our order, and our order back into numbers.

GGML keeps a row of a matrix [outputs, inputs] as blocks of 32 or 256 inputs. `lay_out` takes whole
rows of them, as they are in a file, into the order that `block_format` describes; `unpacked` gives
single rows of that as fp32, to the bit what `gguf.quants.dequantize` gives. Sources of the layouts:
`ggml-common.h` and `ggml-quants.c` of llama.cpp.
"""
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false, reportMissingParameterType=false, reportUntypedFunctionDecorator=false, reportMissingTypeStubs=false
# numba infers types; what is in a kernel is not Python's.

from functools import cache
from typing import Any

import numba
import numpy as np

from bot.engine.kernels.block_format import GROUP, PARTS, Q4_0, Q4_1, Q4_K, Q6_K, Q8_0, BlockFormat
from bot.engine.kernels.elementwise import IS_KEPT, VERSION

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]

_NOT_FINITE = np.uint16(0x7C00)
"""The exponent of an fp16 number that is infinite or none."""

_exact = numba.njit(nogil=True, cache=IS_KEPT, error_model="numpy")
"""Sums and products in the order that they are written in, so that they are GGML's to the bit."""

_inlined = numba.njit(error_model="numpy", forceinline=True)


@_inlined
def _word(raw, at):
    return np.uint16(raw[at]) | np.uint16(raw[at + 1]) << np.uint16(8)


@_inlined
def _read_q4(raw, begin, codes):
    for i in range(16):
        codes[i] = raw[begin + i] & 15
        codes[i + 16] = raw[begin + i] >> 4


@_inlined
def _read_q4_0(raw, codes, heads, _scales, _minima):
    heads[0] = _word(raw, 0)
    _read_q4(raw, 2, codes)


@_inlined
def _read_q4_1(raw, codes, heads, _scales, _minima):
    heads[0], heads[1] = _word(raw, 0), _word(raw, 2)
    _read_q4(raw, 4, codes)


@_inlined
def _read_q8_0(raw, codes, heads, _scales, _minima):
    heads[0] = _word(raw, 0)
    for i in range(32):
        codes[i] = raw[2 + i]


@_inlined
def _read_q4_k(raw, codes, heads, scales, minima):
    """Scales and minima have 6 bits each. Minima are taken away: their scale changes its sign."""
    heads[0], heads[1] = _word(raw, 0), _word(raw, 2) ^ np.uint16(0x8000)
    for i in range(4):
        first, second, third = raw[4 + i], raw[8 + i], raw[12 + i]
        scales[i], minima[i] = first & 63, second & 63
        scales[i + 4] = (third & 15) | (first >> 6 << 4)
        minima[i + 4] = (third >> 4) | (second >> 6 << 4)
    for pair in range(4):
        for i in range(32):
            byte = raw[16 + 32 * pair + i]
            codes[64 * pair + i] = byte & 15
            codes[64 * pair + 32 + i] = byte >> 4


@_inlined
def _read_q6_k(raw, codes, heads, scales, _minima):
    heads[0] = _word(raw, 208)
    for i in range(16):
        scales[i] = raw[192 + i]
    for half in range(2):
        for i in range(32):
            first, second = raw[64 * half + i], raw[64 * half + 32 + i]
            high = raw[128 + 32 * half + i]
            begin = 128 * half + i
            codes[begin] = (first & 15) | ((high & 3) << 4)
            codes[begin + 32] = (second & 15) | ((high >> 2 & 3) << 4)
            codes[begin + 64] = (first >> 4) | ((high >> 4 & 3) << 4)
            codes[begin + 96] = (second >> 4) | ((high >> 6 & 3) << 4)


_NUMBERS = tuple(kind.number for kind in (Q4_0, Q4_1, Q8_0, Q4_K, Q6_K))


@_inlined
def _read(number, raw, codes, heads, scales, minima):
    """Read a block: its codes, its fp16 scale and minimum, and a K format's bytes of scales."""
    if number == _NUMBERS[0]:
        _read_q4_0(raw, codes, heads, scales, minima)
    elif number == _NUMBERS[1]:
        _read_q4_1(raw, codes, heads, scales, minima)
    elif number == _NUMBERS[2]:
        _read_q8_0(raw, codes, heads, scales, minima)
    elif number == _NUMBERS[3]:
        _read_q4_k(raw, codes, heads, scales, minima)
    else:
        _read_q6_k(raw, codes, heads, scales, minima)


def empty(outputs: int, inputs: int, kind: BlockFormat, lanes: int) -> Bytes:
    """Room for a matrix [blocks, bytes of a block]; outputs without rows have scales of 0."""
    blocks = -(-outputs // (PARTS * lanes))
    return np.zeros((blocks, inputs // kind.inputs * kind.super_bytes(lanes)), np.uint8)


def lay_out(
    raw: Bytes, order: Numbers, first: int, laid: Bytes, kind: BlockFormat, lanes: int
) -> bool:
    """Write rows as in a file, [rows, bytes of a row], to the outputs from `first`, in the order of
    their numbers. Whether all scales and minima are finite numbers.
    """
    return bool(_writer(kind, lanes)(raw, order, first, laid))


def unpacked(laid: Bytes, rows: Any, kind: BlockFormat, lanes: int, out: Any) -> None:
    """Rows by their numbers, int64 [rows], as fp32 [rows, inputs]."""
    _unpacker(kind, lanes)(laid, rows, _half_numbers(), out)


@cache
def _half_numbers() -> Any:
    """All numbers of fp16, as fp32, by their bits: numba has no fp16."""
    return np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)


@cache
def _writer(kind: BlockFormat, lanes: int) -> Any:
    number, raw_bytes, inputs = kind.number, kind.raw_bytes, kind.inputs
    groups, per_group, is_super = kind.groups, kind.scales_in_group, kind.is_super
    header, group_bytes = kind.header_bytes(lanes), kind.group_bytes(lanes)
    super_bytes, code_bytes = kind.super_bytes(lanes), kind.code_bytes(lanes)
    bits, heads_count, version = kind.bits, 1 + kind.has_minimum, VERSION
    width = 4 * lanes

    @_exact
    def write(raw, order, first, out):
        is_finite = version != 0  # named, so that it tells kept kernels apart
        codes = np.empty(inputs, np.uint8)
        heads = np.zeros(2, np.uint16)
        scales, minima = np.zeros(16, np.uint8), np.zeros(8, np.uint8)
        for row in range(order.shape[0]):
            output = first + row
            block, within = output // (PARTS * lanes), output % (PARTS * lanes)
            part, lane = within // lanes, within % lanes
            for own in range(raw.shape[1] // raw_bytes):
                stored = raw[order[row], own * raw_bytes : (own + 1) * raw_bytes]
                _read(number, stored, codes, heads, scales, minima)
                begin = own * super_bytes
                place = out[block, begin : begin + super_bytes]
                for head in range(heads_count):
                    at = 2 * ((head * PARTS + part) * lanes + lane)
                    if not is_super:
                        at += PARTS * code_bytes
                    place[at], place[at + 1] = heads[head] & 255, heads[head] >> 8
                    is_finite &= heads[head] & _NOT_FINITE != _NOT_FINITE
                for group in range(groups):
                    record = place[
                        header + group * group_bytes : header + (group + 1) * group_bytes
                    ]
                    for i in range(GROUP):
                        code, quad = codes[group * GROUP + i], i // 4
                        at = part * code_bytes + lane * 4 + i % 4
                        if bits == 8:
                            record[at + quad * width] = code
                            continue
                        record[at + quad % 4 * width] |= (code & 15) << (quad // 4 * 4)
                        if bits == 6:
                            high = at + (4 + quad // 4) * width
                            record[high] |= (code >> 4) << (quad % 4 * 2)
                    if is_super:
                        at = PARTS * code_bytes + part * lanes + lane
                        for i in range(per_group):
                            record[at + i * PARTS * lanes] = scales[group * per_group + i]
                        if heads_count == 2:
                            record[at + per_group * PARTS * lanes] = minima[group]
        return is_finite

    return write


@cache
def _unpacker(kind: BlockFormat, lanes: int) -> Any:
    groups, per_group, is_super = kind.groups, kind.scales_in_group, kind.is_super
    header, group_bytes = kind.header_bytes(lanes), kind.group_bytes(lanes)
    super_bytes, code_bytes = kind.super_bytes(lanes), kind.code_bytes(lanes)
    bits, has_minimum, offset, version = kind.bits, kind.has_minimum, kind.offset, VERSION
    width, shared = 4 * lanes, GROUP // kind.scales_in_group

    @_exact
    def unpack(laid, rows, halves, out):
        if version == 0:  # named, so that it tells kept kernels apart
            return
        for row in range(rows.shape[0]):
            block, within = rows[row] // (PARTS * lanes), rows[row] % (PARTS * lanes)
            part, lane = within // lanes, within % lanes
            for own in range(laid.shape[1] // super_bytes):
                place = laid[block, own * super_bytes : (own + 1) * super_bytes]
                heads_at = 2 * (part * lanes + lane) + (0 if is_super else PARTS * code_bytes)
                scale_of, minimum = halves[_word(place, heads_at)], np.float32(0)
                minimum_of = np.float32(0)
                if has_minimum:
                    minimum_of = halves[_word(place, heads_at + 2 * PARTS * lanes)]
                for group in range(groups):
                    record = place[
                        header + group * group_bytes : header + (group + 1) * group_bytes
                    ]
                    scale, minimum = scale_of, minimum_of
                    scales_at = PARTS * code_bytes + part * lanes + lane
                    if is_super and has_minimum:
                        at = scales_at + per_group * PARTS * lanes
                        minimum = minimum_of * np.float32(record[at])
                    for i in range(GROUP):
                        if is_super and i % shared == 0:
                            stored = record[scales_at + i // shared * PARTS * lanes]
                            if has_minimum:
                                scale = scale_of * np.float32(stored)
                            else:
                                scale = scale_of * np.float32(np.int8(stored))
                        at, quad = part * code_bytes + lane * 4 + i % 4, i // 4
                        if bits == 8:
                            code = np.int32(np.int8(record[at + quad * width]))
                        else:
                            code = np.int32(record[at + quad % 4 * width] >> (quad // 4 * 4) & 15)
                            if bits == 6:
                                high = record[at + (4 + quad // 4) * width]
                                code |= np.int32(high >> (quad % 4 * 2) & 3) << 4
                        value = scale * np.float32(code - offset)
                        if has_minimum:
                            value += minimum
                        out[row, (own * groups + group) * GROUP + i] = value

    return unpack
