"""Pictures: upright RGB in 8 bits, whatever is in the file."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np

from aios_core.errors import FootageError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".jp2", ".ppm", ".pgm"})

_FOCAL_LENGTH_35MM = 0xA405
_EXIF_POINTER = 0x8769


def read_image(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB, turned upright by its EXIF orientation; 16-bit, grey and transparent pictures included.

    Raises:
        FootageError: the file is missing or not a picture.
    """
    data = _bytes(path)
    # IMREAD_COLOR honours EXIF, drops alpha, and scales 16 bits to 8.
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if bgr is None:
        raise FootageError(f"{path} is not a picture that can be read.")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of the upright picture."""
    height, width = read_image(path).shape[:2]
    return width, height


def resized(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    """The picture (H, W, 3) at another size: areas are averaged where it shrinks, else pixels interpolated."""
    shrinks = width < rgb.shape[1]
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def focal_length_35mm(path: Path) -> float | None:
    """The 35 mm equivalent focal length in a JPEG's EXIF data, millimetres, or None."""
    try:
        return _find_focal(_exif(_bytes(path)))
    except (FootageError, struct.error, IndexError):
        return None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FootageError(f"No such footage: {path}.") from error
    except OSError as error:
        raise FootageError(f"Cannot read {path}: {error.strerror}.") from error


def _exif(data: bytes) -> bytes:
    """The TIFF block of a JPEG's EXIF segment, or nothing."""
    if data[:2] != b"\xff\xd8":
        return b""
    at = 2
    while at + 4 < len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        length = struct.unpack(">H", data[at + 2 : at + 4])[0]
        if data[at + 1] == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return data[at + 10 : at + 2 + length]
        at += 2 + length
    return b""


def _find_focal(tiff: bytes) -> float | None:
    if not tiff:
        return None
    order = "<" if tiff[:2] == b"II" else ">"
    first = struct.unpack(order + "I", tiff[4:8])[0]
    pointer = _entry(tiff, order, first, _EXIF_POINTER)
    focal = _entry(tiff, order, pointer, _FOCAL_LENGTH_35MM) if pointer else None
    return float(focal) if focal else None


def _entry(tiff: bytes, order: str, directory: int, wanted: int) -> int | None:
    """The value of a SHORT or LONG entry in a TIFF directory."""
    count = struct.unpack(order + "H", tiff[directory : directory + 2])[0]
    for i in range(count):
        at = directory + 2 + 12 * i
        tag, kind = struct.unpack(order + "HH", tiff[at : at + 4])
        if tag == wanted:
            return struct.unpack(order + ("H" if kind == 3 else "I"), tiff[at + 8 : at + (10 if kind == 3 else 12)])[0]
    return None
