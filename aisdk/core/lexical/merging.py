"""Which segments to merge next, so that a query reads few of them and none is rewritten often.

Segments of about the same size are merged eight at a time. A store of ``n`` chunks then has at most
seven segments of each order of magnitude (base eight), and every chunk is rewritten once an order.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["choose_merge"]

_TOGETHER = 8
_LARGEST = 2**18


def choose_merge(live: Sequence[int], dead: Sequence[int]) -> list[int]:
    """The positions of the segments to merge into one now; empty when all is well.

    A segment with more dead chunks than live ones is rewritten by itself. One merge may call for
    the next: ask again afterwards.

    Args:
        live: Chunks of each segment that are alive.
        dead: Chunks of each segment that were deleted since it was written.
    """
    tiers: dict[int, list[int]] = {}
    for position, (alive, gone) in enumerate(zip(live, dead, strict=True)):
        if gone > alive:
            return [position]
        if alive < _LARGEST:
            tiers.setdefault(_tier(alive), []).append(position)
    full = (tiers[tier] for tier in sorted(tiers) if len(tiers[tier]) >= _TOGETHER)
    return next(full, [])


def _tier(chunks: int) -> int:
    """0 below eight chunks, 1 below 64, 2 below 512 and so on."""
    return (max(chunks.bit_length(), 1) - 1) // 3
