"""BLAKE2b's compression function (RFC 7693) in Python, for where blake2b-py has no wheel: Linux on arm64.

The sixteen words of the working state are four integers, one per row, of four 64-bit lanes each. Lanes lie 128 bits
apart, so that sums and shifts of all four at once stay within their own; a mask then cuts them back. A round takes
about 2 microseconds, a twentieth of what word by word takes.
"""

from __future__ import annotations

from collections.abc import Sequence

_LANE = 128
_MASK = sum(((1 << 64) - 1) << (_LANE * lane) for lane in range(4))
_ALL = (1 << (4 * _LANE)) - 1

_IV = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)
# fmt: off
_SIGMA = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
# fmt: on


def _to_row(words: Sequence[int]) -> int:
    return words[0] | words[1] << _LANE | words[2] << 2 * _LANE | words[3] << 3 * _LANE


def _from_row(row: int) -> list[int]:
    return [row >> (_LANE * lane) & 0xFFFFFFFFFFFFFFFF for lane in range(4)]


def _mix(a: int, b: int, c: int, d: int, x: int, y: int) -> tuple[int, int, int, int]:
    """Four applications of G, one per lane."""
    a = (a + b + x) & _MASK
    d ^= a
    d = (d >> 32 | d << 32) & _MASK
    c = (c + d) & _MASK
    b ^= c
    b = (b >> 24 | b << 40) & _MASK
    a = (a + b + y) & _MASK
    d ^= a
    d = (d >> 16 | d << 48) & _MASK
    c = (c + d) & _MASK
    b ^= c
    return a, (b >> 63 | b << 1) & _MASK, c, d


def compress(rounds: int, state: Sequence[int], block: Sequence[int], offsets: Sequence[int], is_final: bool) -> bytes:
    """Return 64 bytes, as blake2b-py's function of this name: 8 words of state, 16 of message, 2 of offset."""
    messages = [
        [_to_row([block[sigma[at]] for at in range(start, start + 8, 2)]) for start in (0, 1, 8, 9)] for sigma in _SIGMA
    ]
    a, b = _to_row(state[:4]), _to_row(state[4:])
    c = _to_row(_IV[:4])
    d = _to_row(_IV[4:]) ^ offsets[0] ^ offsets[1] << _LANE
    if is_final:
        d ^= 0xFFFFFFFFFFFFFFFF << 2 * _LANE
    for number in range(rounds):
        columns_x, columns_y, diagonals_x, diagonals_y = messages[number % 10]
        a, b, c, d = _mix(a, b, c, d, columns_x, columns_y)
        # turn the rows so that diagonals become columns, and back
        b = b >> _LANE | b << 3 * _LANE & _ALL
        c = c >> 2 * _LANE | c << 2 * _LANE & _ALL
        d = d >> 3 * _LANE | d << _LANE & _ALL
        a, b, c, d = _mix(a, b, c, d, diagonals_x, diagonals_y)
        b = b >> 3 * _LANE | b << _LANE & _ALL
        c = c >> 2 * _LANE | c << 2 * _LANE & _ALL
        d = d >> _LANE | d << 3 * _LANE & _ALL
    mixed = _from_row(a ^ c) + _from_row(b ^ d)
    return b"".join([(old ^ new).to_bytes(8, "little") for old, new in zip(state, mixed, strict=True)])
