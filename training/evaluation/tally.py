"""Tally: what is collected of every picture, and the numbers that come of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import (
    COCO17_FROM_137,
    FACE6_FROM_137,
    JOINTS_137_FROM_144,
    LEFT_HAND6_FROM_137,
    RIGHT_HAND6_FROM_137,
)
from aios_core.body.skinning import joints_144, pose_body
from aios_core.body.transfer import body_for_shape
from aios_core.pipeline.people import FramePeople
from training.evaluation import coco
from training.evaluation.agora import JOINTS, Detection, Matches, normalised, total, whole_body_error
from training.evaluation.truth import Truth
from training.evaluation.vertex_parts import BODY, PARTS, vertices_of
from training.metrics import best_threshold, mpjpe, pa_mpjpe, pa_pve, pck, pve

MATCHED_137 = np.flatnonzero(JOINTS_137_FROM_144 < JOINTS)
"""People are matched by those of AGORA's 24 joints that are among the 137 ..."""
MATCHED_55 = JOINTS_137_FROM_144[MATCHED_137]
"""... which are these joints of the body."""
POINTS = {
    "keypoints": (COCO17_FROM_137, "keypoints_px"),
    "left hand": (LEFT_HAND6_FROM_137, "left_hand_keypoints_px"),
    "right hand": (RIGHT_HAND6_FROM_137, "right_hand_keypoints_px"),
    "face": (FACE6_FROM_137, "face_keypoints_px"),
}
"""Predicted points and what they are among the 137."""
BODY_SHARE, PART_SHARE = 0.1, 0.2
"""PCK counts points nearer than this share of the square root of the body's or the part's box."""
MISS = 0.5
"""What a miss or a false alarm weighs, metres, where pictures are sorted from best to worst."""


@dataclass
class Tally:
    """Collected over all pictures; errors in metres of everybody found."""

    body: BodyModel
    people: int = 0
    pictures: int = 0
    empty_pictures: int = 0
    false_alarms_there: int = 0
    pictures_with_false_alarms: int = 0
    """Of the empty ones."""
    highest_false_score: float = 0.0
    """In an empty picture, whatever the threshold."""
    boxes: list[coco.Compared] = field(default_factory=list)
    boxes_with_duplicates: list[coco.Compared] = field(default_factory=list)
    poses: list[coco.Compared] = field(default_factory=list)
    detections: list[Detection] = field(default_factory=list)
    errors: dict[str, list[float]] = field(default_factory=dict)
    hits: dict[str, list[np.ndarray]] = field(default_factory=dict)
    true_joints: list[np.ndarray] = field(default_factory=list)
    picture_errors: list[float] = field(default_factory=list)
    """(pictures,) from best to worst; not a number where there is nobody and nobody was seen."""

    def __post_init__(self) -> None:
        self.vertices = {part.name: vertices_of(self.body, part) for part in (BODY, *PARTS)}


def add_detections(tally: Tally, everybody: FramePeople, people: FramePeople, truth: Truth) -> None:
    """Count boxes and keypoints of all predictions of a picture, with and without duplicates."""
    area = (truth.boxes_xyxy_px[:, 2:] - truth.boxes_xyxy_px[:, :2]).prod(-1).astype(np.float64)
    seen = truth.joints_seen[:, COCO17_FROM_137]
    for found, kept in ((everybody, tally.boxes_with_duplicates), (people, tally.boxes)):
        kept.append(coco.compare_boxes(found.scores, found.boxes_xyxy_px, truth.boxes_xyxy_px, truth.ignored))
    tally.poses.append(
        coco.compare_keypoints(
            people.scores, people.keypoints_px, truth.joints_px[:, COCO17_FROM_137], seen, truth.boxes_xyxy_px, area,
            truth.ignored,
        )
    )  # fmt: skip
    if not len(truth.boxes_xyxy_px) and len(people):
        tally.highest_false_score = max(tally.highest_false_score, float(people.scores.max()))
    tally.people += int((~truth.ignored).sum())
    tally.pictures += 1


def add_matches(tally: Tally, people: FramePeople, truth: Truth, matches: Matches, family: str) -> None:
    """Measure the people found in a picture. family: whose betas the network predicts."""
    tally.detections.append(matches.detection)
    if not len(truth.boxes_xyxy_px):
        tally.empty_pictures += 1
        tally.false_alarms_there += matches.detection.false_alarms
        tally.pictures_with_false_alarms += matches.detection.false_alarms > 0
    _add_points(tally, people, truth, matches)
    errors = [
        _add_person(tally, people, truth, int(n), int(m), family)
        for n, m in zip(matches.predictions, matches.people, strict=True)
        if truth.body_known[m]
    ]
    wrong = matches.detection.missed + matches.detection.false_alarms
    count = len(errors) + wrong
    tally.picture_errors.append((sum(errors) + MISS * wrong) / count if count else float("nan"))


def _add_points(tally: Tally, people: FramePeople, truth: Truth, matches: Matches) -> None:
    boxes = np.concatenate([truth.boxes_xyxy_px[:, None], truth.part_boxes_xyxy_px], 1)[matches.people]
    sides = np.sqrt(np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(-1))  # (K, 4)
    for k, (name, (which, predicted)) in enumerate(POINTS.items()):
        known = truth.joints_seen[matches.people][:, which] & (sides[:, k, None] > 0)
        points = getattr(people, predicted)[matches.predictions]
        share = BODY_SHARE if k == 0 else PART_SHARE
        hit = pck(points, truth.joints_px[matches.people][:, which], known, sides[:, k], share)
        tally.hits.setdefault(name, []).append(hit)


def _add_person(tally: Tally, people: FramePeople, truth: Truth, n: int, m: int, family: str) -> float:
    """Measure prediction n against person m; the error of all vertices, metres."""
    shown, betas, _ = body_for_shape(tally.body, people.betas[n], family)
    expression = people.expression[n] * (family == tally.body.family)
    (vertices, true_vertices), (joints, true_joints) = zip(
        _posed(shown, predicted_pose(people, n), betas, expression),
        _posed(tally.body, truth.pose[m], truth.betas[m], truth.expression[m]),
        strict=True,
    )
    tally.true_joints.append(true_joints[:22])

    def add(name: str, value: np.ndarray) -> float:
        tally.errors.setdefault(name, []).append(float(value[0]))
        return float(value[0])

    add("MPJPE", mpjpe(joints[None, :22], true_joints[None, :22]))
    add("PA-MPJPE", pa_mpjpe(joints[None, :22], true_joints[None, :22]))
    for part, known in ((BODY, True), *zip(PARTS, truth.parts_known[m], strict=True)):
        if known:
            roots = joints[None, part.root], true_joints[None, part.root]
            v, j = tally.vertices[part.name], list(part.joints)
            add(f"PVE {part.name}", pve(vertices[None, v], true_vertices[None, v], *roots))
            add(f"PA-PVE {part.name}", pa_pve(vertices[None, v], true_vertices[None, v]))
            add(f"MPJPE {part.name}", pve(joints[None, j], true_joints[None, j], *roots))
    add("PA-PVE all", pa_pve(vertices[None], true_vertices[None]))
    return add("PVE all", pve(vertices[None], true_vertices[None], joints[None, 0], true_joints[None, 0]))


def predicted_pose(people: FramePeople, n: int) -> np.ndarray:
    """(55, 3) of the n-th of the people."""
    pose = np.zeros((55, 3), np.float32)
    pose[0], pose[1:22], pose[22] = people.global_orient[n], people.body_pose[n], people.jaw_pose[n]
    pose[25:40], pose[40:] = people.left_hand_pose[n], people.right_hand_pose[n]
    return pose


def _posed(body: BodyModel, pose: np.ndarray, betas: np.ndarray, expression: np.ndarray) -> tuple:
    """Vertices (V, 3) and the 144 joints (144, 3), metres."""
    posed = pose_body(body, betas, expression, pose)
    return posed.vertices, joints_144(body, posed, pose)


def summary(tally: Tally) -> dict[str, float | int]:
    """All numbers, by the names they are printed under; millimetres for errors."""
    boxes, duplicates, poses = coco.curves(tally.boxes), coco.curves(tally.boxes_with_duplicates), _poses(tally)
    numbers: dict[str, float | int] = {"pictures": tally.pictures, "people": tally.people}
    numbers |= {"AP": boxes.ap, "AP50": boxes.ap_at(0.5), "AP75": boxes.ap_at(0.75)}
    numbers |= {f"AP {area}": coco.curves(tally.boxes, area).ap for area in ("small", "medium", "large")}
    numbers |= {f"AR@{most}": coco.curves(tally.boxes, most=most).ar for most in (1, 10, 100)}
    numbers["AP50 with duplicates"] = duplicates.ap_at(0.5)
    numbers["recall at 0.5"] = float(boxes.recall[0])
    numbers |= {"keypoint AP": poses.ap, "keypoint AP50": poses.ap_at(0.5), "keypoint AP75": poses.ap_at(0.75)}
    numbers["keypoint AR"] = poses.ar
    numbers |= _thresholds(tally)
    detection = total(tally.detections)
    numbers |= {"F1": detection.f1, "precision": detection.precision, "recall": detection.recall}
    hits = {name: np.concatenate(values) if values else np.zeros(0) for name, values in tally.hits.items()}
    if hits:
        hands = np.concatenate([hits["left hand"], hits["right hand"]])
        numbers |= {f"PCK@{BODY_SHARE}": _mean(hits["keypoints"])}
        numbers |= {f"hand PCK@{PART_SHARE}": _mean(hands), f"face PCK@{PART_SHARE}": _mean(hits["face"])}
    return numbers | _errors(tally, detection) | {
        "person-free pictures": tally.empty_pictures,
        "false people in them": tally.false_alarms_there,
        "of these with any": int(tally.pictures_with_false_alarms),
        "highest false score": tally.highest_false_score,
    }  # fmt: skip


def _poses(tally: Tally) -> coco.Curves:
    return coco.curves(tally.poses, most=coco.MAX_POSES)


def _thresholds(tally: Tally) -> dict[str, float]:
    """The score threshold at which boxes that overlap by half give the best F1."""
    scores, hits = coco.scored_hits(tally.boxes)
    if not len(scores):
        return {"best threshold": float("nan"), "F1 there": 0.0}
    threshold, f1 = best_threshold(scores, hits, tally.people)
    return {"best threshold": threshold, "F1 there": f1}


def _errors(tally: Tally, detection: Detection) -> dict[str, float | int]:
    mean = {name: _mean(values) * 1000 for name, values in tally.errors.items()}

    def of(kind: str, part: str) -> float:
        return mean.get(f"{kind} {part}", float("nan"))

    numbers: dict[str, float | int] = {"found": detection.found}
    for kind in ("PVE", "PA-PVE"):
        hands = (of(kind, "left hand") + of(kind, "right hand")) / 2
        numbers |= {f"{kind} mm": of(kind, "all"), f"{kind} body mm": of(kind, "body")}
        numbers |= {f"{kind} hands mm": hands, f"{kind} face mm": of(kind, "face")}
    numbers |= {"MPJPE mm": mean.get("MPJPE", float("nan")), "PA-MPJPE mm": mean.get("PA-MPJPE", float("nan"))}
    for kind, title in (("PVE", "MVE"), ("MPJPE", "MPJPE")):
        body = of(kind, "body")
        whole = whole_body_error(body, *(of(kind, part.name) for part in PARTS))
        short = "NMVE" if kind == "PVE" else "NMJE"
        numbers |= {f"FB-{title} mm": whole, f"FB-{short} mm": normalised(whole, detection)}
        numbers |= {f"B-{short} mm": normalised(body, detection)}
    if tally.true_joints:
        everybody = np.stack(tally.true_joints)
        everybody = everybody - everybody[:, :1]
        average = np.broadcast_to(everybody.mean(0), everybody.shape)
        numbers["mean pose MPJPE mm"] = _mean(mpjpe(average, everybody)) * 1000
        numbers["mean pose PA-MPJPE mm"] = _mean(pa_mpjpe(average, everybody)) * 1000
    return numbers


def _mean(values: np.ndarray | list[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
