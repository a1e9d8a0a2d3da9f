"""Prices of the BLS12-381 precompiles whose input varies in length (EIP-2537), apart so that no curve is loaded."""

from __future__ import annotations

from dmchain.marketplace_vm.crypto import InvalidInput

_G1_TERM_SIZE = 160
_G2_TERM_SIZE = 288
_PAIR_SIZE = 384
_G1_MULTIPLY_GAS = 12_000
_G2_MULTIPLY_GAS = 22_500
_PAIRING_BASE_GAS = 37_700
_PAIRING_GAS = 32_600

# EIP-2537: thousandths of the price of separate multiplications, for 1 to 128 terms; the last holds for more
# fmt: off
_G1_DISCOUNTS = (
    1000, 949, 848, 797, 764, 750, 738, 728, 719, 712, 705, 698, 692, 687, 682, 677, 673, 669, 665, 661,
    658, 654, 651, 648, 645, 642, 640, 637, 635, 632, 630, 627, 625, 623, 621, 619, 617, 615, 613, 611,
    609, 608, 606, 604, 603, 601, 599, 598, 596, 595, 593, 592, 591, 589, 588, 586, 585, 584, 582, 581,
    580, 579, 577, 576, 575, 574, 573, 572, 570, 569, 568, 567, 566, 565, 564, 563, 562, 561, 560, 559,
    558, 557, 556, 555, 554, 553, 552, 551, 550, 549, 548, 547, 547, 546, 545, 544, 543, 542, 541, 540,
    540, 539, 538, 537, 536, 536, 535, 534, 533, 532, 532, 531, 530, 529, 528, 528, 527, 526, 525, 525,
    524, 523, 522, 522, 521, 520, 520, 519,
)
_G2_DISCOUNTS = (
    1000, 1000, 923, 884, 855, 832, 812, 796, 782, 770, 759, 749, 740, 732, 724, 717, 711, 704, 699, 693,
    688, 683, 679, 674, 670, 666, 663, 659, 655, 652, 649, 646, 643, 640, 637, 634, 632, 629, 627, 624,
    622, 620, 618, 615, 613, 611, 609, 607, 606, 604, 602, 600, 598, 597, 595, 593, 592, 590, 589, 587,
    586, 584, 583, 582, 580, 579, 578, 576, 575, 574, 573, 571, 570, 569, 568, 567, 566, 565, 563, 562,
    561, 560, 559, 558, 557, 556, 555, 554, 553, 552, 552, 551, 550, 549, 548, 547, 546, 545, 545, 544,
    543, 542, 541, 541, 540, 539, 538, 537, 537, 536, 535, 535, 534, 533, 532, 532, 531, 530, 530, 529,
    528, 528, 527, 526, 526, 525, 524, 524,
)
# fmt: on


def count_terms(what: str, data: bytes, size: int) -> int:
    """Return how many terms of `size` bytes `data` holds, at least one. Raises InvalidInput."""
    count, rest = divmod(len(data), size)
    if rest or not count:
        raise InvalidInput(f"{what}: expected a positive multiple of {size} bytes, got {len(data)}")
    return count


def _multiply_sum(count: int, price: int, discounts: tuple[int, ...]) -> int:
    return count * price * discounts[min(count, len(discounts)) - 1] // 1000


def g1_multiply_sum(data: bytes) -> int:
    return _multiply_sum(count_terms("G1 terms", data, _G1_TERM_SIZE), _G1_MULTIPLY_GAS, _G1_DISCOUNTS)


def g2_multiply_sum(data: bytes) -> int:
    return _multiply_sum(count_terms("G2 terms", data, _G2_TERM_SIZE), _G2_MULTIPLY_GAS, _G2_DISCOUNTS)


def pairing_check(data: bytes) -> int:
    return _PAIRING_BASE_GAS + _PAIRING_GAS * count_terms("pairs", data, _PAIR_SIZE)
