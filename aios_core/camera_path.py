"""Where a moving film camera was: a path given as a file. numpy only.

`.npz` with `camera_to_world`, or `.json` with a list of matrices or {"camera_to_world": [...]}: one rigid 4x4 matrix
for every frame of the Mocap, from camera space (x right, y down, z forward) to a world with z up, metres.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from aios_core.errors import AiosError
from aios_core.mocap import Mocap
from aios_core.output import whole_file

RIGID_TOLERANCE = 1e-3


def load_camera_path(path: str | os.PathLike) -> np.ndarray:
    """(T, 4, 4) float64 camera to world.

    Raises:
        AiosError: no such file, not a camera path, or its matrices are not rigid.
    """
    path = Path(path)
    try:
        if path.suffix.lower() == ".json":
            stored = json.loads(path.read_text())
            matrices = stored["camera_to_world"] if isinstance(stored, dict) else stored
        else:
            with np.load(path, allow_pickle=False) as arrays:
                matrices = arrays["camera_to_world"]
        matrices = np.asarray(matrices, np.float64)
    except FileNotFoundError as error:
        raise AiosError(f"No such camera path: {path}.") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise AiosError(f"{path} is not a camera path (camera_to_world in .npz or .json): {error}.") from error
    if matrices.ndim != 3 or matrices.shape[1:] != (4, 4) or not len(matrices) or not np.isfinite(matrices).all():
        raise AiosError(f"{path}: camera_to_world has shape {matrices.shape}, not (frames, 4, 4).")
    turns = matrices[:, :3, :3]
    off = np.abs(turns @ np.swapaxes(turns, 1, 2) - np.eye(3)).max()
    if off > RIGID_TOLERANCE or (np.linalg.det(turns) < 0).any():
        raise AiosError(f"{path}: the matrices must only turn and move, without scale or mirroring.")
    return matrices


def save_camera_path(matrices: np.ndarray, path: str | os.PathLike) -> Path:
    """Write matrices (T, 4, 4) as .npz, whole or not at all."""
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, camera_to_world=np.asarray(matrices, np.float64))
    return Path(path)


def with_camera_path(mocap: Mocap, matrices: np.ndarray) -> Mocap:
    """The Mocap under a camera that moved so; refine it afterwards.

    Raises:
        AiosError: the path has another number of frames than the Mocap.
    """
    if len(matrices) != mocap.frame_count:
        raise AiosError(f"The camera path has {len(matrices)} frames and the Mocap {mocap.frame_count}.")
    return replace(mocap, camera_to_world=matrices)
