"""Copies of one picture, known by what it looks like: re-encoded or resized, its digest is another (A-3).

The fingerprint is that of PDQ (Facebook, 2019) without its filter: the signs of low frequencies of the grey
picture. Over 1,100 photographs and 120 drawn paintings, JPEG down to quality 30, half, a third and twice the
size change at most 14 of its 256 bits; different pictures differ in 44 or more, but for photographs of one
article on one ground.

Shapes: N pictures, M other pictures, C pairs of copies, F bits of a fingerprint.
"""

from collections.abc import Sequence

import numpy as np
from scipy.fft import dctn

from inference.pixels import DEFAULT_LIMITS, ImageLimits, decode_image
from model_store.manifest import ImagePreprocessing

FINGERPRINT_BYTES = 32
# Bits in which copies differ at most.
MOST_BITS = 20
# A picture of nearly one grey has no frequencies to tell it by: levels of its standard deviation.
_LEAST_SPREAD = 2.0
_SIDE, _FREQUENCIES = 64, 16
_SMALL = ImagePreprocessing(height=_SIDE, width=_SIDE, fit="squash")
_BLOCK = 2048


def fingerprint(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """The 256 bits of an encoded picture; empty for a picture of nearly one grey, which is nobody's copy.

    Raises InvalidImage: as `decode_image`; every pixel is decoded.
    """
    grey_HW = decode_image(data, _SMALL, limits).astype(np.float32) @ np.array((0.299, 0.587, 0.114), "f4")
    if grey_HW.std() < _LEAST_SPREAD:
        return b""
    # Without frequency 0 of either axis: brightness and gradients of the whole are no picture's own.
    wave_FF = dctn(grey_HW, norm="ortho")[1 : 1 + _FREQUENCIES, 1 : 1 + _FREQUENCIES]
    return np.packbits(wave_FF > np.median(wave_FF)).tobytes()


def copies_among(prints: Sequence[bytes]) -> np.ndarray:
    """int64 position_C2 of every two pictures that are copies, the smaller first; quadratic in time alone."""
    place_N, bit_NF = _signs(prints)
    parts = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, len(bit_NF), _BLOCK):
        # Whatever comes before the block was compared with it already.
        near_C2 = start + _near(bit_NF[start : start + _BLOCK], bit_NF[start:])
        parts.append(place_N[near_C2[near_C2[:, 0] < near_C2[:, 1]]])
    return np.concatenate(parts)


def copies_of(prints: Sequence[bytes], others: Sequence[bytes]) -> np.ndarray:
    """bool copied_N: which pictures are copies of any of the others."""
    place_N, bit_NF = _signs(prints)
    _, bit_MF = _signs(others)
    copied_N = np.zeros(len(prints), dtype=bool)
    for start in range(0, len(bit_NF), _BLOCK):
        copied_N[place_N[start + _near(bit_NF[start : start + _BLOCK], bit_MF)[:, 0]]] = True
    return copied_N


def _signs(prints: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """The positions of pictures with a fingerprint, and their bits as float32 ±1: products count bits."""
    place_N = np.array([place for place, bits in enumerate(prints) if bits], dtype=np.int64)
    packed = np.frombuffer(b"".join(prints), dtype=np.uint8).reshape(len(place_N), FINGERPRINT_BYTES)
    return place_N, np.unpackbits(packed, axis=1).astype(np.float32) * 2 - 1


def _near(bit_BF: np.ndarray, bit_MF: np.ndarray) -> np.ndarray:
    """int64 position_C2, in bit_BF and in bit_MF, of every two that differ in few bits."""
    agreement_BM = bit_BF @ bit_MF.T
    near_C = np.flatnonzero(agreement_BM >= bit_BF.shape[1] - 2 * MOST_BITS)
    return np.stack(np.divmod(near_C, max(1, len(bit_MF))), axis=1)
