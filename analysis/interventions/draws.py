"""How an initialiser is redrawn: a description, replayed with a seed; never the values themselves.

All random draws of one initialiser and seed come from the same N(0, 1) numbers, scaled, mapped to a uniform law or made
orthogonal, so that two initialisations can be compared in pairs.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from math import erf
from threading import Lock
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from analysis.model.weights import Array

Floats = npt.NDArray[np.float32]
MOST_KEPT: Final = 128 << 20
"""Bytes of noise that are kept."""


class Draw(Protocol):
    """A way to renew a tensor."""

    @property
    def random(self) -> bool:
        """Whether a seed matters."""

    def realize(self, name: str, present: Array, seed: int) -> Floats:
        """New values in the shape of the present ones."""


def noise(name: str, shape: tuple[int, ...], seed: int) -> Floats:
    """N(0, 1), the same for every draw of this initialiser and seed; read-only.

    Every initialisation asks for it again, in every structure: what was asked for last is kept.
    """
    return _KEPT.noise(name, shape, seed)


class _Kept:
    """The noise that was asked for last, at most so many bytes of it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._drawn: dict[tuple[str, tuple[int, ...], int], Floats] = {}
        self._alone = Lock()

    def noise(self, name: str, shape: tuple[int, ...], seed: int) -> Floats:
        """As it was drawn, or drawn now."""
        key = (name, shape, seed)
        with self._alone:
            values = self._drawn.pop(key, None)
            if values is None:
                values = _noise(name, shape, seed)
                self._bytes += values.nbytes
            self._drawn[key] = values
            while self._bytes > self._most:
                self._bytes -= self._drawn.pop(next(iter(self._drawn))).nbytes
            return values


_KEPT: Final = _Kept(MOST_KEPT)


def _noise(name: str, shape: tuple[int, ...], seed: int) -> Floats:
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    values = np.random.default_rng((seed, key)).standard_normal(shape, dtype=np.float32)
    values.flags.writeable = False
    return values


@dataclass(frozen=True, slots=True)
class Normal:
    """N(0, std^2)."""

    std: float
    random: bool = True

    def realize(self, name: str, present: Array, seed: int) -> Floats:
        """Scaled noise."""
        return np.float32(self.std) * noise(name, present.shape, seed)


@dataclass(frozen=True, slots=True)
class Uniform:
    """U(-bound, bound)."""

    bound: float
    random: bool = True

    def realize(self, name: str, present: Array, seed: int) -> Floats:
        """The noise through its own distribution function: 2 Phi(z) - 1 is uniform on (-1, 1)."""
        ranks = np.vectorize(erf, otypes=[np.float32])(noise(name, present.shape, seed) / np.sqrt(2))
        return np.asarray(self.bound * ranks, np.float32)


@dataclass(frozen=True, slots=True)
class Constant:
    """The same everywhere."""

    value: float
    random: bool = False

    def realize(self, name: str, present: Array, seed: int) -> Floats:
        """No noise."""
        return np.full(present.shape, self.value, np.float32)


@dataclass(frozen=True, slots=True)
class Scaled:
    """What is there, or what another draw puts there, times a factor."""

    factor: float
    drawn: Draw | None = None

    @property
    def random(self) -> bool:
        """As the other draw is."""
        return self.drawn is not None and self.drawn.random

    def realize(self, name: str, present: Array, seed: int) -> Floats:
        """The other draw's noise, if any."""
        values = present if self.drawn is None else self.drawn.realize(name, present, seed)
        return np.asarray(values, np.float32) * np.float32(self.factor)


def in_turn(first: Draw | None, second: Draw) -> Draw:
    """One draw after another: a factor applies to what the first one draws, everything else replaces it."""
    return Scaled(second.factor, first) if isinstance(second, Scaled) and first is not None else second


class Layout(StrEnum):
    """Where the units of a weight lie."""

    ROWS = "rows"
    """[units, inputs ..]: kernels and weights that are transposed when used."""
    COLUMNS = "columns"
    """[inputs, units]."""
    GATES = "gates"
    """[directions, gates times units, inputs]."""


@dataclass(frozen=True, slots=True)
class Orthogonal:
    """Units, or inputs where there are fewer, orthonormal times a gain (Saxe 2014); of recurrent weights each gate."""

    gain: float = 1.0
    layout: Layout = Layout.ROWS
    gates: int = 1
    random: bool = True

    def realize(self, name: str, present: Array, seed: int) -> Floats:
        """The Q of a QR decomposition of the noise, signs made unique by R's diagonal."""
        rows = noise(name, present.shape, seed)
        if self.layout is Layout.GATES:
            whole = np.concatenate([_orthonormal(gate) for gate in np.split(rows, self.gates, axis=1)], axis=1)
        elif self.layout is Layout.COLUMNS:
            whole = _orthonormal(rows.T).T
        else:
            whole = _orthonormal(rows.reshape(len(rows), -1)).reshape(present.shape)
        return np.asarray(self.gain * whole, np.float32)


def _orthonormal(matrix: Floats) -> npt.NDArray[np.float64]:
    """[.., m, n] with orthonormal rows, or columns where there are more rows."""
    tall = matrix.shape[-2] >= matrix.shape[-1]
    wide = matrix.astype(np.float64) if tall else matrix.astype(np.float64).swapaxes(-1, -2)
    q, r = np.linalg.qr(wide)
    signed: npt.NDArray[np.float64] = q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
    return signed if tall else signed.swapaxes(-1, -2)


@dataclass(frozen=True, slots=True)
class Identity:
    """Each direction of a recurrent weight [D, H, H] a multiple of the identity (Le, Jaitly and Hinton 2015)."""

    scale: float = 1.0
    random: bool = False

    def realize(self, name: str, present: Array, seed: int) -> Floats:
        """No noise."""
        eye = self.scale * np.eye(present.shape[-2], present.shape[-1], dtype=np.float32)
        return np.broadcast_to(eye, present.shape).copy()


@dataclass(frozen=True, slots=True)
class GateBias:
    """Biases [D, 2 G H] of a recurrent operator: zero, but `value` for one gate of the input's half."""

    gates: int
    gate: int
    value: float
    random: bool = False

    def realize(self, name: str, present: Array, seed: int) -> Floats:
        """No noise."""
        biases = np.zeros(present.shape, np.float32)
        width = present.shape[-1] // (2 * self.gates)
        biases[..., self.gate * width : (self.gate + 1) * width] = self.value
        return biases
