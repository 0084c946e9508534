"""HumanData's .npz files, read member by member without running anything that is in them.

Arrays of numbers are streamed in blocks of rows, so that of a file of many gigabytes only the chosen rows are ever in
memory. Dicts (parameters, meta) lie in such files as pickles: these are read by an unpickler that knows numpy's arrays
and plain containers and refuses everything else by its name.
"""

from __future__ import annotations

import math
import os
import pickle
import zipfile
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from aios_core.errors import DataSetError

BLOCK_BYTES = 16 << 20
_DAMAGE = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
_PLAIN = (set, frozenset, slice, range, complex, bytearray, list, dict, str, int, float, bool, tuple, bytes)
# How numpy puts arrays together again, whatever its version calls these three.
_NUMPY = {
    "multiarray": {"_reconstruct": np.zeros(1).__reduce__()[0], "scalar": np.float64(0).__reduce__()[0]},
    "numeric": {"_frombuffer": np.zeros(1).__reduce_ex__(5)[0]},
}


def _latin1(text: str, _encoding: str = "latin1") -> bytes:
    """How pickles of protocol 2 spell bytes."""
    return text.encode("latin1")


ALLOWED = {
    **{("numpy", kind.__name__): kind for kind in (np.ndarray, np.dtype)},
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, functions in _NUMPY.items()
        for name, function in functions.items()
    },
    **{(module, kind.__name__): kind for module in ("builtins", "__builtin__") for kind in _PLAIN},
    **{("collections", kind.__name__): kind for kind in (OrderedDict, defaultdict)},
    ("_codecs", "encode"): _latin1,
}
"""What may be named in a pickle, and what it stands for: nothing here does more than hold values."""


class ForbiddenClassError(pickle.UnpicklingError):
    """A pickle names a class or function that no data set needs."""


class PlainUnpickler(pickle.Unpickler):
    """Unpickles numpy arrays and plain containers; anything else is a ForbiddenClassError with its name."""

    def find_class(self, module: str, name: str) -> object:
        # Looked up, never imported.
        if (module, name) not in ALLOWED:
            raise ForbiddenClassError(f"{module}.{name}")
        return ALLOWED[module, name]


class Archive:
    """An open .npz; a context manager.

    Raises:
        DataSetError: there is no such file, or it is no .npz.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        if not self.path.is_file():
            raise DataSetError(f"No such data set file: {self.path}.")
        try:
            self._zip = zipfile.ZipFile(self.path)
        except _DAMAGE as error:
            raise DataSetError(f"{self.path} cannot be read: it is not an .npz file, or it is cut off.") from error
        self.names = tuple(name[:-4] for name in self._zip.namelist() if name.endswith(".npy"))

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def header(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and type of a member, without reading it.

        Raises:
            DataSetError: it is damaged.
        """
        try:
            with self._zip.open(f"{name}.npy") as file:
                shape, _, dtype = _header(file)
        except _DAMAGE as error:
            raise self._damaged(name, error) from error
        return shape, dtype

    def read(self, name: str) -> object:
        """A member: an array of numbers or strings, or what was pickled (a dict, a list).

        Raises:
            DataSetError: it is damaged, or its pickle names something that is no data.
        """
        try:
            with self._zip.open(f"{name}.npy") as file:
                shape, fortran, dtype = _header(file)
                if dtype.hasobject:
                    value = PlainUnpickler(file).load()
                    return value.tolist() if isinstance(value, np.ndarray) else value
                values = np.frombuffer(_exactly(file, math.prod(shape) * dtype.itemsize), dtype)
                return values.reshape(shape, order="F" if fortran else "C")
        except ForbiddenClassError as error:
            raise DataSetError(
                f"{self.path} is refused: '{name}' holds a pickle that names {error}, and data sets need none but "
                "arrays, numbers and strings. Do not load this file with other programs either."
            ) from error
        except (*_DAMAGE, pickle.UnpicklingError, TypeError, AttributeError, IndexError, MemoryError) as error:
            raise self._damaged(name, error) from error

    def read_rows(self, name: str, rows: np.ndarray, pick: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """pick(block) of the given rows (ascending) of a member, a block at a time.

        pick takes rows (n, ...) and returns (n, ...).

        Raises:
            DataSetError: the member is damaged or shorter than the rows asked for.
        """
        shape, dtype = self.header(name)
        if dtype.hasobject or not len(shape):
            value = np.asarray(self.read(name))
            if value.dtype == object or len(value) <= (rows[-1] if len(rows) else -1):
                raise DataSetError(f"{self.path}: '{name}' is not an array with a row for every person.")
            return pick(value[rows])
        if len(rows) and rows[-1] >= shape[0]:
            raise DataSetError(f"{self.path}: '{name}' has {shape[0]} rows where {rows[-1] + 1} are needed.")
        try:
            with self._zip.open(f"{name}.npy") as file:
                _, fortran, _ = _header(file)
                if fortran:
                    return pick(np.asarray(self.read(name))[rows])
                return self._blocks(file, shape, dtype, rows, pick)
        except _DAMAGE as error:
            raise self._damaged(name, error) from error

    def _blocks(self, file: IO[bytes], shape: tuple, dtype: np.dtype, rows: np.ndarray, pick: Callable) -> np.ndarray:
        row_bytes = dtype.itemsize * math.prod(shape[1:])
        size = max(BLOCK_BYTES // max(row_bytes, 1), 1)
        picked = [pick(np.empty((0, *shape[1:]), dtype))]
        last = int(rows[-1]) + 1 if len(rows) else 0
        for start in range(0, last, size):
            stop = min(start + size, last)
            block = np.frombuffer(_exactly(file, (stop - start) * row_bytes), dtype).reshape(-1, *shape[1:])
            first, end = np.searchsorted(rows, [start, stop])
            picked.append(pick(block[rows[first:end] - start]))
        return np.concatenate(picked)

    def _damaged(self, name: str, error: Exception) -> DataSetError:
        return DataSetError(f"{self.path} is damaged: '{name}' cannot be read ({error}).")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    return read(file)


def _exactly(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise EOFError("it is cut off")
    return data
