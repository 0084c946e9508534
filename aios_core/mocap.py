"""Mocap: the people found in one piece of footage, and the one contract between the network and Blender.

A `Mocap` holds the footage's clock and camera and one `Track` per person. It is saved as a `.npz` without
pickles, carries a version, and needs nothing but numpy, so that it can be imported, re-timed and re-smoothed
without running the network again.

Camera frame: x right, y down, z forward, metres. Rotations are axis-angle in radians with SMPL-X's names;
hands are absolute (flat hand = zero). A frame in which a person is not seen is absent from the track: a gap,
never a zero pose. `Track` holds the clean motion; `Track.measured` what the network saw, from which the clean
motion can be made again (`aios refine`).
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path

import numpy as np

from aios_core.errors import MocapFileError
from aios_core.output import whole_file

FORMAT = "aios-mocap"
VERSION = 2

MEASURED, INTERPOLATED, IMPUTED = 0, 1, 2
"""How a key came to be (`Track.key_kinds`)."""

AUTOMATIC, AS_MEASURED, MIRRORED = 0, 1, 2
"""Which way round somebody is (`Measured.facing`): found out, or stated by the user."""

PARTS = ("body", "left hand", "right hand", "face")
"""Columns of `Track.confidence`."""
CONTACT_POINTS = ("left heel", "left toe", "right heel", "right toe")
"""Columns of `Track.contacts`."""
FOCAL_SOURCES = ("user", "exif", "people", "diagonal")
"""Where `Camera.focal_px` comes from: it was given, it is a photograph's own, it was estimated from how people walk, or
it is nothing but the picture's diagonal."""
LEVEL = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])
"""`Mocap.camera_to_world` of a level camera in the world's origin: x stays, z forward becomes y, y down becomes -z."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera without distortion, fixed for the whole clip."""

    focal_px: float
    """Focal length, pixels of the (upright) footage, the same for both axes."""
    center_px: tuple[float, float]
    """Principal point (x, y), pixels from the footage's top left corner."""
    focal_from: str = "user"
    """One of FOCAL_SOURCES: who says what the focal length is."""

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of points (..., 3) in camera space."""
        return points[..., :2] / points[..., 2:] * self.focal_px + np.asarray(self.center_px)


@dataclass(frozen=True)
class Measured:
    """One person as the network saw it, before any cleaning: M frames, float32 unless noted."""

    frames: np.ndarray
    """(M,) int32, strictly increasing indices into the Mocap's frames."""
    scores: np.ndarray
    """(M,) the network's confidence in this person, 0..1."""
    boxes_xyxy_px: np.ndarray
    """(M, 4) pixels of the footage."""
    keypoints_px: np.ndarray
    """(M, 17, 2) COCO keypoints, pixels of the footage."""
    left_hand_keypoints_px: np.ndarray
    """(M, 6, 2): wrist and the tips of thumb, index, middle, ring, pinky."""
    right_hand_keypoints_px: np.ndarray
    """(M, 6, 2) as the left."""
    face_keypoints_px: np.ndarray
    """(M, 6, 2): nose, upper mouth, jaw, right contour, chin, left contour."""
    joints_px: np.ndarray
    """(M, 22, 2) SMPL-X joints 0..21 as the network's own camera projects its own body, pixels of the footage."""
    global_orient: np.ndarray
    """(M, 3) and the poses below as in Track."""
    body_pose: np.ndarray
    """(M, 21, 3)"""
    left_hand_pose: np.ndarray
    """(M, 15, 3)"""
    right_hand_pose: np.ndarray
    """(M, 15, 3)"""
    jaw_pose: np.ndarray
    """(M, 3)"""
    expression: np.ndarray
    """(M, 10)"""
    betas: np.ndarray
    """(M, 10) the shape frame by frame."""
    facing: np.ndarray | None = None
    """(M,) uint8, what the user has stated: AUTOMATIC (nothing, as at first), AS_MEASURED, or MIRRORED, which is the
    other figure that the same picture may show."""

    def __post_init__(self) -> None:
        if self.facing is None:
            object.__setattr__(self, "facing", np.full(len(self.frames), AUTOMATIC, np.uint8))

    def __len__(self) -> int:
        return len(self.frames)

    def select(self, which: np.ndarray) -> Measured:
        """Some of the frames, by index or mask."""
        return Measured(**{f.name: getattr(self, f.name)[which] for f in fields(self)})


@dataclass(frozen=True)
class Track:
    """One person over time, cleaned: N keys, one for each frame in which the person is there.

    Track arrays are float32 unless noted; N = len(frames).
    """

    id: int
    name: str
    frames: np.ndarray
    """(N,) int32, strictly increasing indices into the Mocap's frames; a missing index is a gap."""
    global_orient: np.ndarray
    """(N, 3) axis-angle of the pelvis, camera frame."""
    body_pose: np.ndarray
    """(N, 21, 3) axis-angle, SMPL-X joints 1..21 relative to their parents."""
    left_hand_pose: np.ndarray
    """(N, 15, 3) axis-angle, absolute; SMPL-X order index, middle, pinky, ring, thumb."""
    right_hand_pose: np.ndarray
    """(N, 15, 3) as the left."""
    jaw_pose: np.ndarray
    """(N, 3) axis-angle."""
    expression: np.ndarray
    """(N, 10) coefficients of the body family in `Mocap.body_family`."""
    betas: np.ndarray
    """(10,) shape coefficients of the body family, one shape for the whole track."""
    transl: np.ndarray
    """(N, 3) metres, camera frame: added to the body as it comes out of the body model."""
    scores: np.ndarray
    """(N,) the network's confidence in this person in this frame, 0..1."""
    boxes_xyxy_px: np.ndarray
    """(N, 4) pixels of the footage."""
    keypoints_px: np.ndarray
    """(N, 17, 2) COCO keypoints found by the network, pixels of the footage."""
    key_kinds: np.ndarray
    """(N,) uint8: MEASURED, INTERPOLATED (a short gap was closed) or IMPUTED (an outlier was replaced)."""
    confidence: np.ndarray
    """(N, 4) 0..1, how far each of PARTS can be trusted."""
    contacts: np.ndarray
    """(N, 4) bool: which of CONTACT_POINTS stand on the ground."""
    measured: Measured | None = None
    """What the network saw; None where that is not known, as in a ground truth."""

    def __len__(self) -> int:
        return len(self.frames)

    def gaps(self) -> list[tuple[int, int]]:
        """Frame ranges [start, stop) inside the track's span in which the person is missing."""
        jumps = np.flatnonzero(np.diff(self.frames) > 1)
        return [(int(self.frames[i]) + 1, int(self.frames[i + 1])) for i in jumps]


@dataclass(frozen=True)
class Mocap:
    """Everything found in one piece of footage. See the module's docstring for frames and units."""

    source: str
    """Path of the footage as it was given."""
    source_kind: str
    """'image', 'sequence' or 'video'."""
    width: int
    height: int
    """Size of the upright footage (after EXIF or container rotation), pixels."""
    fps: Fraction
    """Frames per second of the footage as an exact fraction (30000/1001 for 29.97)."""
    timestamps: np.ndarray
    """(T,) float64, seconds from the footage's first frame; more than 1 / fps apart where frames were left out."""
    camera: Camera
    camera_to_world: np.ndarray
    """(1, 4, 4) for a camera that stands still, else (T, 4, 4), float64: rigid, from camera space to the upright world
    (z up, the ground at z = 0, metres)."""
    weights: str
    """Name of the weights that made it: 'open', 'aios' or a file's name."""
    body_family: str
    """'open' or 'smplx': whose betas and expression coefficients these are."""
    gender: str = "neutral"
    tracks: tuple[Track, ...] = ()
    version: int = field(default=VERSION)

    @property
    def frame_count(self) -> int:
        """Number of frames T of the footage that were looked at."""
        return len(self.timestamps)


_MEASURED_SHAPES = {
    "frames": (-1,), "scores": (-1,), "boxes_xyxy_px": (-1, 4), "keypoints_px": (-1, 17, 2),
    "left_hand_keypoints_px": (-1, 6, 2), "right_hand_keypoints_px": (-1, 6, 2), "face_keypoints_px": (-1, 6, 2),
    "joints_px": (-1, 22, 2), "global_orient": (-1, 3), "body_pose": (-1, 21, 3), "left_hand_pose": (-1, 15, 3),
    "right_hand_pose": (-1, 15, 3), "jaw_pose": (-1, 3), "expression": (-1, 10), "betas": (-1, 10),
    "facing": (-1,),
}  # fmt: skip
_TRACK_SHAPES = {
    "frames": (-1,), "global_orient": (-1, 3), "body_pose": (-1, 21, 3), "left_hand_pose": (-1, 15, 3),
    "right_hand_pose": (-1, 15, 3), "jaw_pose": (-1, 3), "expression": (-1, 10), "betas": (10,),
    "transl": (-1, 3), "scores": (-1,), "boxes_xyxy_px": (-1, 4), "keypoints_px": (-1, 17, 2), "key_kinds": (-1,),
    "confidence": (-1, 4), "contacts": (-1, 4),
}  # fmt: skip
_DTYPES = {"frames": np.int32, "key_kinds": np.uint8, "contacts": np.bool_, "facing": np.uint8}


def check(mocap: Mocap) -> None:
    """Raise MocapFileError when an array has the wrong shape, is not finite, or frames are out of order."""
    world = mocap.camera_to_world
    if world.shape not in ((1, 4, 4), (mocap.frame_count, 4, 4)) or not np.isfinite(world).all():
        raise MocapFileError(f"camera_to_world has shape {world.shape} or is not finite.")
    for track in mocap.tracks:
        _check_arrays(track, _TRACK_SHAPES, f"Track {track.id}", mocap.frame_count)
        if track.measured is not None:
            _check_arrays(track.measured, _MEASURED_SHAPES, f"Track {track.id}, measured", mocap.frame_count)


def _check_arrays(rows: Track | Measured, shapes: dict[str, tuple[int, ...]], title: str, frame_count: int) -> None:
    for name, shape in shapes.items():
        array = getattr(rows, name)
        wanted = tuple(len(rows.frames) if n == -1 else n for n in shape)
        if array.shape != wanted:
            raise MocapFileError(f"{title}: {name} has shape {array.shape}, not {wanted}.")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise MocapFileError(f"{title}: {name} holds values that are not finite.")
    frames = rows.frames
    if len(frames) and (np.any(np.diff(frames) < 1) or frames[0] < 0 or frames[-1] >= frame_count):
        raise MocapFileError(f"{title}: frames must increase within 0..{frame_count - 1}.")


def save(mocap: Mocap, path: str | os.PathLike) -> Path:
    """Write the Mocap to `path` as .npz, whole or not at all, and return the path.

    Raises:
        MocapFileError: an array of the Mocap has the wrong shape.
        OutputError: the file cannot be written.
    """
    check(mocap)
    path = Path(path)
    header = {
        "format": FORMAT, "version": mocap.version, "source": mocap.source, "source_kind": mocap.source_kind,
        "width": mocap.width, "height": mocap.height, "fps": [mocap.fps.numerator, mocap.fps.denominator],
        "focal_px": mocap.camera.focal_px, "focal_from": mocap.camera.focal_from,
        "center_px": list(mocap.camera.center_px), "weights": mocap.weights,
        "body_family": mocap.body_family, "gender": mocap.gender,
        "tracks": [{"id": track.id, "name": track.name} for track in mocap.tracks],
    }  # fmt: skip
    arrays = {
        "header": np.array(json.dumps(header)),
        "timestamps": np.asarray(mocap.timestamps, np.float64),
        "camera_to_world": np.asarray(mocap.camera_to_world, np.float64),
    }
    for i, track in enumerate(mocap.tracks):
        arrays |= _stored_arrays(track, _TRACK_SHAPES, f"track{i}.")
        if track.measured is not None:
            arrays |= _stored_arrays(track.measured, _MEASURED_SHAPES, f"track{i}.measured.")
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)
    return path


def _stored_arrays(rows: Track | Measured, names: Iterable[str], prefix: str) -> dict[str, np.ndarray]:
    return {prefix + name: getattr(rows, name).astype(_DTYPES.get(name, np.float32)) for name in names}


def load(path: str | os.PathLike) -> Mocap:
    """The Mocap saved at `path`.

    Raises:
        MocapFileError: no such file, not a Mocap, damaged, or written by a newer version.
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as stored:
            header = json.loads(str(stored["header"]))
            if header.get("format") != FORMAT:
                raise MocapFileError(f"{path} is not a Mocap file.")
            if header["version"] > VERSION:
                raise MocapFileError(
                    f"{path} was written by a newer version (format {header['version']}, known {VERSION}): update."
                )
            if header["version"] < VERSION:
                raise MocapFileError(f"{path} was written by an older version: capture the footage again.")
            tracks = tuple(_stored_track(stored, known, f"track{i}.") for i, known in enumerate(header["tracks"]))
            timestamps, camera_to_world = stored["timestamps"], stored["camera_to_world"]
    except FileNotFoundError as error:
        raise MocapFileError(f"No such Mocap file: {path}.") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise MocapFileError(f"{path} is not a Mocap file or is damaged ({error}).") from error
    try:
        mocap = Mocap(
            source=header["source"], source_kind=header["source_kind"], width=int(header["width"]),
            height=int(header["height"]), fps=Fraction(*header["fps"]), timestamps=timestamps,
            camera=Camera(
                float(header["focal_px"]), tuple(header["center_px"]), header.get("focal_from", "user"),
            ),
            camera_to_world=camera_to_world, weights=header["weights"],
            body_family=header["body_family"], gender=header["gender"], tracks=tracks, version=header["version"],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise MocapFileError(f"{path}: the header is damaged ({error}).") from error
    check(mocap)
    return mocap


def _stored_track(stored: np.lib.npyio.NpzFile, known: dict, prefix: str) -> Track:
    measured = None
    if f"{prefix}measured.frames" in stored.files:
        known_names = [name for name in _MEASURED_SHAPES if f"{prefix}measured.{name}" in stored.files]
        measured = Measured(**{name: stored[f"{prefix}measured.{name}"] for name in known_names})
    return Track(**known, **{name: stored[prefix + name] for name in _TRACK_SHAPES}, measured=measured)


assert set(_TRACK_SHAPES) | {"id", "name", "measured"} == {f.name for f in fields(Track)}
assert set(_MEASURED_SHAPES) == {f.name for f in fields(Measured)}
