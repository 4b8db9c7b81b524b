"""Vectors in pgvector's binary form, which costs no parsing on either side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["vectors_as_binary"]


def vectors_as_binary(vectors: NDArray[np.float32]) -> list[bytes]:
    """Each row as int16 dimension, int16 zero and big-endian float32 numbers.

    Args:
        vectors: Shape (count, dimension).

    Source: pgvector, ``vector_send``.
    """
    count, dimension = vectors.shape
    rows = np.empty((count, 4 + 4 * dimension), np.uint8)
    rows[:, :4] = np.frombuffer(np.array([dimension, 0], ">i2").tobytes(), np.uint8)
    rows[:, 4:] = vectors.astype(">f4").view(np.uint8).reshape(count, 4 * dimension)
    width, blob = rows.shape[1], rows.tobytes()
    return [blob[start : start + width] for start in range(0, len(blob), width)]
