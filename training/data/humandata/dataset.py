"""DataSet: one HumanData file as pictures with everybody in them annotated.

Its columns are in memory or, with a cache folder, in memory-mapped files that all workers and all later runs share.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aios_core.errors import DataSetError, OutputError
from training.data.humandata.columns import COLUMNS, Columns, read_columns
from training.data.humandata.kinds import Kind

FORMAT = 1
"""Of cached columns."""


@dataclass(frozen=True)
class Annotations:
    """One picture's P people, in pixels of the picture as it is stored."""

    image_path: Path
    labelled_size: tuple[int, int] | None
    """(width, height) of the picture the pixels refer to, if the file says so."""
    has_3d: bool
    boxes: np.ndarray
    """(P, 4, 5) as in Columns, and so are the others."""
    joints_2d: np.ndarray
    joints_3d: np.ndarray
    pose: np.ndarray
    pose_valid: np.ndarray
    betas: np.ndarray
    expression: np.ndarray
    transl: np.ndarray
    shape_valid: np.ndarray


class DataSet:
    """The pictures of one HumanData file.

    Args:
        kind: the rules of the data set.
        path: the .npz.
        images: folder that the file's picture paths start from.
        every: use every so many pictures.
        cache: folder for memory-mapped columns; None keeps them in memory.

    Raises:
        DataSetError: the file is missing, unsafe, damaged, or lacks what is needed.
        OutputError: the cache cannot be written.
    """

    def __init__(self, kind: Kind, path: Path, images: Path, every: int = 1, cache: Path | None = None):
        self.kind, self.images = kind, Path(images)
        self.folder = None if cache is None else _cached(kind, path, every, cache)
        self.columns = read_columns(kind, path, every) if self.folder is None else _mapped(self.folder)

    def __getstate__(self) -> dict[str, object]:
        """Without the columns where they are on disk: a copy in another process maps the same files."""
        return {**self.__dict__, "columns": None if self.folder else self.columns}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if self.folder is not None:
            self.columns = _mapped(self.folder)

    def __len__(self) -> int:
        return len(self.columns.image_paths)

    def annotations(self, i: int) -> Annotations:
        """Everybody in the i-th picture."""
        c = self.columns
        rows = slice(int(c.starts[i]), int(c.starts[i + 1]))
        width, height = (int(side) for side in c.sizes[i])
        return Annotations(
            image_path=self.images / os.fsdecode(bytes(c.image_paths[i])),
            labelled_size=(width, height) if width else None,
            has_3d=self.kind.has_3d,
            boxes=np.array(c.boxes[rows]), joints_2d=np.array(c.joints_2d[rows]),
            joints_3d=np.array(c.joints_3d[rows]), pose=np.array(c.pose[rows]), pose_valid=np.array(c.pose_valid[rows]),
            betas=np.array(c.shape[rows]), expression=np.array(c.expression[rows]), transl=np.array(c.transl[rows]),
            shape_valid=np.array(c.shape_valid[rows]),
        )  # fmt: skip


def _cached(kind: Kind, path: Path, every: int, cache: Path) -> Path:
    """The folder of the cache that holds the columns, made if it is not there."""
    try:
        stat = Path(path).stat()
    except OSError as error:
        raise DataSetError(f"No such data set file: {path}.") from error
    stated = f"{FORMAT} {kind} {every} {Path(path).resolve()} {stat.st_size} {stat.st_mtime_ns}"
    folder = Path(cache) / f"{kind.name}-{Path(path).stem}-{hashlib.sha256(stated.encode()).hexdigest()[:12]}"
    if not folder.is_dir():
        _write_cache(read_columns(kind, path, every), folder)
    return folder


def _mapped(folder: Path) -> Columns:
    try:
        return Columns(**{name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in COLUMNS})
    except (OSError, ValueError) as error:
        raise DataSetError(f"The cache {folder} is damaged ({error}): delete it.") from error


def _write_cache(columns: Columns, folder: Path) -> None:
    """Write all columns, then let the folder appear under its name: another process may have been quicker."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".columns-"))
        try:
            for name in COLUMNS:
                np.save(temporary / f"{name}.npy", getattr(columns, name))
            if not folder.is_dir():
                temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        if not folder.is_dir():
            raise OutputError(f"Cannot write the cache {folder}: {error.strerror or error}.") from error
