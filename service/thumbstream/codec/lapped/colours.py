"""Colour axes: rotations of a picture's colours that turn the line along which they vary into grey.

The transform expects most of a picture to be grey. An encoder rotates the colours by one of 32
matrices before it, and writes which one; a decoder rotates them back after the inverse transform.
Normative text: docs/bitstream.md, "Colour axis". What is not normative is the choice of the axis.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thumbstream.codec.lapped.linear import Real
from thumbstream.codec.matmul import matmul_single_threaded

CANDIDATES = 4
"""Axes of differences that an encoder tries in addition to axis 0, which is grey."""
FLAT = 1e-4
"""Mean squared difference of the samples of neighbouring pixels, from -1 to 1, of flat pictures."""
FLAT_GAIN = 16
"""Bits that an axis must save in a flat picture, whose first bytes it may tint."""


class ColourAxes:
    """The axes of one published model. Thread-safe: nothing changes later."""

    def __init__(self, axes: NDArray[np.int8]) -> None:
        """``axes`` ``(n, 3)``: vectors of any length, not opposite to grey."""
        vectors = axes.astype(np.float64)
        self._units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self.rotations = np.stack([_rotation(unit) for unit in self._units])
        """``(n, 3, 3)``, float64: each rotates the colours of its axis to grey."""

    def choose(self, x: NDArray[np.float64], terms: NDArray[np.float64]) -> int:
        """Return the axis whose latents promise the fewest bits.

        ``x`` ``(3, H, W)``: pixels of a picture. ``terms`` ``(3, 3, n)``: its latents are the sum
        of ``R[i, j]`` times ``terms[j, i]``, if its colours are multiplied by ``R``.
        """
        moments = _moments(x)
        flat = np.trace(moments) < FLAT * x.size
        candidates = [0, self._nearest_to_mean(x)] if flat else self._along(moments)
        matrices = self.rotations[candidates].swapaxes(1, 2).reshape(len(candidates), -1)
        latents = matmul_single_threaded(matrices, terms.reshape(matrices.shape[1], -1))
        bits = np.log2(1 + 2 * np.abs(latents)).sum(1)
        bits[0] -= FLAT_GAIN * flat
        return candidates[int(bits.argmin())]

    def _along(self, moments: NDArray[np.float64]) -> list[int]:
        """Return axis 0 and those along which neighbouring pixels differ most."""
        energies = ((self._units @ moments) * self._units).sum(1)
        order = 1 + np.argsort(-energies[1:], kind="stable")
        return [0, *order[:CANDIDATES].tolist()]

    def _nearest_to_mean(self, x: NDArray[np.float64]) -> int:
        """Return the axis other than 0 that is nearest to the mean colour of ``x``."""
        return 1 + int(np.abs(self._units[1:] @ x.mean((1, 2))).argmax())


def _moments(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the second moments ``(3, 3)`` of the differences between neighbouring pixels."""
    moments = np.zeros((3, 3))
    for differences in (np.diff(x, axis=1), np.diff(x, axis=2)):
        moments += np.einsum("iyx,jyx->ij", differences, differences)
    return moments


def rotate(rotations: NDArray[np.float64], x: NDArray[Real]) -> NDArray[Real]:
    """Multiply the colours of each of ``n`` pictures, or of their cells, by one of ``(n, 3, 3)``.

    ``x``: ``(n, 3, H, W)``, or ``(n, 192, h, w)``.
    """
    rotated = [
        matmul_single_threaded(rotation, layer)
        for rotation, layer in zip(rotations.astype(x.dtype), x.reshape(len(x), 3, -1), strict=True)
    ]
    return np.stack(rotated).reshape(x.shape)


def _rotation(axis: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix ``(3, 3)`` of the shortest rotation of the unit vector ``axis`` to grey."""
    grey = np.full(3, 1 / np.sqrt(3))
    a, b, c = np.cross(axis, grey)
    turn = np.array([[0, -c, b], [c, 0, -a], [-b, a, 0]])
    matrix: NDArray[np.float64] = np.eye(3) + turn + turn @ turn / (1 + axis @ grey)
    return matrix
