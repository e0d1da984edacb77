"""Block formats: how block-quantised weights are laid out in memory.

A weight is `scale * (code - offset) + minimum`: a group of 16 or 32 inputs of an output shares its
scale, and its minimum where there is one. The formats are GGML's, and the numbers the same to the
bit; only their order differs from the file's, so that a vector of outputs is multiplied at a time.

A matrix [outputs, inputs] is cut into blocks of `PARTS * lanes` outputs, in which lie, for each 256
or 32 inputs, one *super-block*:

    header        fp16 [1 or 2][PARTS][lanes]    scales of the scales, and of the minima (K formats)
    for each group of 32 inputs:
      codes       [PARTS][vectors][lanes][4]     four inputs (a quad) of each output lie together
      scales      [scales in group][PARTS][lanes]    fp16, or bytes (K formats)
      minima      [PARTS][lanes]                 the same, where there are any

Codes of 4 bits: vector v of four holds quad v in its low and quad v + 4 in its high halves. Codes
of 6 bits: the same with their low 4 bits, and two more vectors, of which vector v has the high bits
of quad 4 * v + i at bit 2 * i. Codes of 8 bits: a vector a quad, with signs.

A new format is an entry in `FORMATS` and a reader in `block_reading`.
"""

from dataclasses import dataclass

GROUP = 32
"""Inputs whose codes lie together, and of a row's states that share a scale."""

QUAD = 4
"""Inputs of an output that lie together: what a lane of 32 bits holds."""

PARTS = 2
"""Vectors of outputs that lie together: a spread state serves both."""


@dataclass(frozen=True, slots=True)
class BlockFormat:
    """One of GGML's kinds: `number` is GGML's own for it; a file's block takes `raw_bytes`."""

    name: str
    number: int
    raw_bytes: int
    bits: int
    offset: int = 0
    has_minimum: bool = False
    groups: int = 1
    """Groups of a super-block; where there are several, scales are bytes times fp16."""
    scales_in_group: int = 1

    @property
    def is_super(self) -> bool:
        """Whether scales are numbers of a byte with a scale of their own."""
        return self.groups > 1

    @property
    def most_code(self) -> int:
        """The largest code, its sign left out."""
        return 128 if self.bits == 8 else (1 << self.bits) - 1

    @property
    def inputs(self) -> int:
        """Inputs of a super-block."""
        return GROUP * self.groups

    @property
    def bytes_each(self) -> float:
        """Bytes of a weight, its share of the scales with it."""
        return self.raw_bytes / self.inputs

    def code_bytes(self, lanes: int) -> int:
        """Bytes of a group's codes for a vector of outputs."""
        return GROUP * self.bits // 8 * lanes

    def header_bytes(self, lanes: int) -> int:
        """Bytes before a super-block's groups."""
        return (1 + self.has_minimum) * PARTS * 2 * lanes if self.is_super else 0

    def group_bytes(self, lanes: int) -> int:
        """Bytes of a group's record."""
        scale_bytes = 1 if self.is_super else 2
        scales = (self.scales_in_group + self.has_minimum) * scale_bytes
        return PARTS * (self.code_bytes(lanes) + scales * lanes)

    def super_bytes(self, lanes: int) -> int:
        """Bytes of a super-block."""
        return self.header_bytes(lanes) + self.groups * self.group_bytes(lanes)


Q4_0 = BlockFormat("Q4_0", 2, 18, 4, offset=8)
Q4_1 = BlockFormat("Q4_1", 3, 20, 4, has_minimum=True)
Q8_0 = BlockFormat("Q8_0", 8, 34, 8)
Q4_K = BlockFormat("Q4_K", 12, 144, 4, has_minimum=True, groups=8)
Q6_K = BlockFormat("Q6_K", 14, 210, 6, offset=32, groups=8, scales_in_group=2)

FORMATS = (Q4_0, Q4_1, Q8_0, Q4_K, Q6_K)
"""Those that stay as they are in memory; others are unpacked."""

BY_NUMBER = {each.number: each for each in FORMATS}
