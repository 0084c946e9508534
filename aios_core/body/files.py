"""Body model files in SMPL-X's layout: .npz and .pkl, read without running anything that is in them."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Mapping
from importlib.resources import files as package_files
from pathlib import Path

import numpy as np

from aios_core.body.body_model import EXPRESSION_COUNT, SHAPE_COUNT, BodyModel
from aios_core.body.joints import EXTRA_JOINT_VERTICES, JOINT_NAMES, PARENTS
from aios_core.errors import BodyFileError

GENDERS = ("neutral", "male", "female")
_REQUIRED = ("v_template", "f", "shapedirs", "weights", "J_regressor", "kintree_table")
_EXPRESSION_START = 300  # SMPL-X's full files hold 300 shape and then 100 expression directions


def open_body(gender: str = "neutral") -> BodyModel:
    """The open body shipped with this package.

    Raises:
        BodyFileError: there is none of this gender.
    """
    asset = package_files("aios_core") / "assets" / f"OPEN_{gender.upper()}.npz"
    return load_body(Path(str(asset)))


def load_body(path: str | os.PathLike) -> BodyModel:
    """The body stored at `path`: SMPL-X's .npz or .pkl (400 or 20 directions), or the open body's .npz.

    Raises:
        BodyFileError: no such file, not a body, another body's layout, or a pickle with anything but arrays in it.
    """
    path = Path(path)
    if not path.is_file():
        raise BodyFileError(f"No such body file: {path}.")
    if path.suffix.lower() == ".npz":
        arrays = _read_npz(path)
    elif path.suffix.lower() == ".pkl":
        arrays = _read_pickle(path)
    else:
        raise BodyFileError(f"{path} is not a body file: give SMPL-X's .npz or .pkl.")
    missing = [name for name in _REQUIRED if name not in arrays]
    if missing:
        raise BodyFileError(f"{path} is not an SMPL-X body: it lacks {', '.join(missing)}.")
    try:
        return _body_from_arrays(path, arrays)
    except (ValueError, TypeError, IndexError) as error:
        raise BodyFileError(f"{path} is damaged: {error}.") from error


def _body_from_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> BodyModel:
    weights = np.asarray(arrays["weights"], np.float32)
    joints = weights.shape[-1]
    if joints != len(JOINT_NAMES):
        kind = {24: "SMPL", 52: "SMPL-H"}.get(joints, "another body")
        raise BodyFileError(f"{path} has {joints} joints ({kind}): an SMPL-X file with {len(JOINT_NAMES)} is needed.")
    template = np.asarray(arrays["v_template"], np.float32)
    shapedirs, exprdirs = _directions(path, np.asarray(arrays["shapedirs"]))
    regressor = np.asarray(arrays["J_regressor"], np.float32)
    count = len(template)
    if regressor.shape != (joints, count) or weights.shape != (count, joints) or shapedirs.shape[:2] != (count, 3):
        raise BodyFileError(f"{path} is damaged: the sizes of v_template, shapedirs, weights and J_regressor differ.")
    parents = np.asarray(arrays["kintree_table"])[0].astype(np.int64)
    parents[0] = -1
    if not np.array_equal(parents, PARENTS):
        raise BodyFileError(f"{path} has another joint tree than SMPL-X.")
    is_open = "base_mesh_vertex" in arrays
    landmarks = _landmarks(arrays)
    return BodyModel(
        family="open" if is_open else "smplx",
        gender=_gender(path, arrays),
        v_template=template,
        faces=np.asarray(arrays["f"]).astype(np.int32),
        shapedirs=shapedirs,
        exprdirs=exprdirs,
        posedirs=_posedirs(arrays, count),
        lbs_weights=weights,
        J_regressor=regressor,
        joint_template=regressor @ template,
        joint_shapedirs=np.einsum("jv,vck->jck", regressor, shapedirs),
        joint_exprdirs=np.einsum("jv,vck->jck", regressor, exprdirs),
        parents=parents,
        extra_joint_vertices=EXTRA_JOINT_VERTICES,
        **landmarks,
        hands_mean_left=_hand_mean(arrays, "hands_meanl"),
        hands_mean_right=_hand_mean(arrays, "hands_meanr"),
        uv=np.asarray(arrays["vt"], np.float32) if "vt" in arrays else None,
        uv_faces=np.asarray(arrays["ft"]).astype(np.int32) if "ft" in arrays else None,
        expression_names=tuple(str(name) for name in arrays["expression_names"]) if is_open else (),
        base_mesh_vertex=np.asarray(arrays["base_mesh_vertex"]).astype(np.int32) if is_open else None,
    )


def _directions(path: Path, shapedirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape and expression directions (V, 3, 10) out of the 400- or the 20-column layout."""
    columns = shapedirs.shape[-1]
    start = _EXPRESSION_START if columns >= _EXPRESSION_START + EXPRESSION_COUNT else SHAPE_COUNT
    if columns < start + EXPRESSION_COUNT:
        raise BodyFileError(f"{path} has {columns} shape directions: SMPL-X files have 400, or 20.")
    shape = np.ascontiguousarray(shapedirs[..., :SHAPE_COUNT], np.float32)
    return shape, np.ascontiguousarray(shapedirs[..., start : start + EXPRESSION_COUNT], np.float32)


def _posedirs(arrays: Mapping[str, np.ndarray], count: int) -> np.ndarray | None:
    if "posedirs" not in arrays:
        return None
    posedirs = np.asarray(arrays["posedirs"], np.float32)  # (V, 3, 486)
    return posedirs.reshape(count * 3, -1).T  # not copied into rows: it is the largest array, and loads twice as fast


def _landmarks(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Face landmark tables; zeros (the first triangle) where a file has none."""

    def table(name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        return np.asarray(arrays[name]).astype(dtype).reshape(shape) if name in arrays else np.zeros(shape, dtype)

    return {
        "landmark_faces": table("lmk_faces_idx", (51,), np.int64),
        "landmark_weights": table("lmk_bary_coords", (51, 3), np.float32),
        "contour_faces": table("dynamic_lmk_faces_idx", (79, 17), np.int64),
        "contour_weights": table("dynamic_lmk_bary_coords", (79, 17, 3), np.float32),
    }


def _hand_mean(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return np.asarray(arrays[name], np.float32).reshape(15, 3) if name in arrays else np.zeros((15, 3), np.float32)


def _gender(path: Path, arrays: Mapping[str, np.ndarray]) -> str:
    stated = str(arrays["gender"]).lower() if "gender" in arrays else path.stem.lower()
    # 'female' holds 'male': look for the longer word first.
    return next((gender for gender in ("neutral", "female", "male") if gender in stated), "neutral")


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {}
            for name in stored.files:
                try:
                    arrays[name] = stored[name]
                except ValueError:
                    continue  # a pickled object array, such as SMPL-X's part2num: not needed, not unpickled
            return arrays
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BodyFileError(f"{path} is not a body file or is damaged ({error}).") from error


class _ArrayLike:
    """Stands for a class in a pickle whose state holds an array (chumpy, scipy.sparse) without running its code."""

    def __init__(self, *_arguments: object):
        self.state: dict = {}

    def __setstate__(self, state: object) -> None:
        self.state = state if isinstance(state, dict) else {}


class _ForeignObjectError(pickle.UnpicklingError):
    """The pickle asks for something that is no array."""


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickles arrays, plain containers and the wrappers SMPL-X files use; refuses everything else."""

    _NUMPY = {
        ("numpy", "ndarray"), ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"),
    }  # fmt: skip

    def find_class(self, module: str, name: str) -> object:
        if (module, name) in self._NUMPY:
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return lambda text, _encoding="latin1": text.encode("latin1")
        if module.split(".")[0] == "chumpy" or module.startswith("scipy.sparse"):
            return _ArrayLike
        raise _ForeignObjectError(f"it refers to {module}.{name}")


def _read_pickle(path: Path) -> dict[str, np.ndarray]:
    try:
        stored = _ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except _ForeignObjectError as error:
        raise BodyFileError(f"{path} is refused: a body file holds arrays only, but {error}.") from error
    except Exception as error:  # whatever a damaged pickle makes the unpickler raise
        raise BodyFileError(f"{path} is not a body file or is damaged ({type(error).__name__}).") from error
    if not isinstance(stored, dict):
        raise BodyFileError(f"{path} is not a body file.")
    return {name: array for name, value in stored.items() if (array := _as_array(value)) is not None}


def _as_array(value: object) -> np.ndarray | None:
    """The array inside a pickled value: itself, chumpy's `x`, or a compressed sparse matrix made dense."""
    if isinstance(value, np.ndarray):
        return None if value.dtype == object else value
    if not isinstance(value, _ArrayLike):
        return np.asarray(value) if isinstance(value, (int, float, str)) else None
    state = value.state
    if "x" in state:
        return _as_array(state["x"])
    if {"data", "indices", "indptr"} <= state.keys():
        return _dense(state)
    return None


def _dense(state: dict) -> np.ndarray:
    """A compressed sparse column (SMPL-X's J_regressor) or row matrix as a dense array."""
    rows, columns = state.get("_shape", state.get("shape"))
    pointers, indices = state["indptr"], state["indices"]
    by_column = len(pointers) == columns + 1
    other = np.repeat(np.arange(len(pointers) - 1), np.diff(pointers))
    dense = np.zeros((rows, columns), np.float64)
    dense[(indices, other) if by_column else (other, indices)] = state["data"]
    return dense
