"""Who is who over time: HOTA, IDF1, MOTA and identity switches, through the field's reference code (`trackeval`).

HOTA: Luiten et al. 2021. IDF1: Ristani et al. 2016. MOTA and switches: Bernardin and Stiefelhagen 2008.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aios_core.errors import MissingDependencyError
from aios_core.geometry.boxes import iou_matrix
from aios_core.mocap import Mocap


@dataclass(frozen=True)
class IdentityScores:
    """Shares are 0..1; boxes count as the same person from an overlap (IoU) of 0.5, except in HOTA, which averages."""

    hota: float
    """Geometric mean of detection and association accuracy, averaged over overlaps 0.05..0.95."""
    detection_accuracy: float
    association_accuracy: float
    idf1: float
    """F1 of detections that carry the right identity under the best one-to-one assignment of whole tracks."""
    mota: float
    identity_switches: int
    fragmentations: int
    """How often somebody's track breaks off and goes on."""


@dataclass(frozen=True)
class FrameBoxes:
    """The identified people of one frame."""

    ids: np.ndarray
    """(P,) int"""
    boxes_xyxy_px: np.ndarray
    """(P, 4)"""


def frame_boxes(mocap: Mocap) -> list[FrameBoxes]:
    """The people of every frame of a Mocap."""
    frames = []
    for frame in range(mocap.frame_count):
        ids, boxes = [], []
        for track in mocap.tracks:
            at = int(np.searchsorted(track.frames, frame))
            if at < len(track) and track.frames[at] == frame:
                ids.append(track.id)
                boxes.append(track.boxes_xyxy_px[at])
        frames.append(FrameBoxes(np.array(ids, int), np.array(boxes, float).reshape(-1, 4)))
    return frames


def identity_scores(found: Sequence[FrameBoxes], truth: Sequence[FrameBoxes]) -> IdentityScores:
    """Scores of found against true people, frame by frame.

    Raises:
        MissingDependencyError: trackeval is not installed.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it names its optional parts when imported
            from trackeval import metrics
    except ImportError as error:
        raise MissingDependencyError(
            "Scoring identities needs trackeval: pip install trackeval (with bpy in the same Python: --no-deps)."
        ) from error
    data = _trackeval_data(found, truth)
    quiet = {"PRINT_CONFIG": False}
    with contextlib.redirect_stdout(io.StringIO()):
        hota = metrics.HOTA({}).eval_sequence(data)
        identity = metrics.Identity(quiet).eval_sequence(data)
        clear = metrics.CLEAR(quiet).eval_sequence(data)
    return IdentityScores(
        hota=float(np.mean(hota["HOTA"])),
        detection_accuracy=float(np.mean(hota["DetA"])),
        association_accuracy=float(np.mean(hota["AssA"])),
        idf1=float(identity["IDF1"]),
        mota=float(clear["MOTA"]),
        identity_switches=int(clear["IDSW"]),
        fragmentations=int(clear["Frag"]),
    )


def _trackeval_data(found: Sequence[FrameBoxes], truth: Sequence[FrameBoxes]) -> dict[str, object]:
    """What trackeval's metrics read: identities renumbered from 0, and overlaps frame by frame."""
    names = [np.unique(np.concatenate([f.ids for f in frames] or [np.zeros(0, int)])) for frames in (truth, found)]
    truth_ids = [np.searchsorted(names[0], f.ids) for f in truth]
    found_ids = [np.searchsorted(names[1], f.ids) for f in found]
    return {
        "num_timesteps": len(truth),
        "num_gt_ids": len(names[0]),
        "num_tracker_ids": len(names[1]),
        "num_gt_dets": sum(map(len, truth_ids)),
        "num_tracker_dets": sum(map(len, found_ids)),
        "gt_ids": truth_ids,
        "tracker_ids": found_ids,
        "similarity_scores": [iou_matrix(t.boxes_xyxy_px, f.boxes_xyxy_px) for t, f in zip(truth, found, strict=True)],
    }
