"""Measure weights on labelled shards: python -m training.evaluate --weights FILE --data SHARDS [--sheet OUT.jpg]"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

from aios_core.body.files import open_body
from aios_core.body.skinning_torch import TorchBody
from aios_core.geometry.boxes import cxcywh_to_xyxy, iou_matrix
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import build_model
from aios_core.model.predictions import LayerPredictions
from training.config import PRESETS, TrainConfig
from training.data.sample import Sample, list_shards, read_shard
from training.data.synthetic.generate import LIMBS
from training.losses import score_logits
from training.metrics import assign, average_precision, best_threshold, mpjpe, pa_mpjpe, pck
from training.targets import Targets, batch

DUPLICATE_IOU = 0.7
SHOWN_SCORE = 0.3
BATCH = 16
SHEET_TILES = 24


def main() -> None:
    """Parse the command line, evaluate, print a table and optionally JSON and a contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default="open")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000, help="pictures at most")
    parser.add_argument("--json", type=Path, help="also write the numbers here")
    parser.add_argument("--sheet", type=Path, help="also draw predictions over some pictures")
    options = parser.parse_args()
    samples = load_samples(options.data, options.count)
    model = build_model(options.weights)
    numbers = evaluate(model, samples, PRESETS["open"], options.sheet)
    for name, value in numbers.items():
        print(f"{name:<28}{value:>10.3f}" if isinstance(value, float) else f"{name:<28}{value:>10}")
    if options.json:
        options.json.write_text(json.dumps(numbers, indent=1))


def load_samples(folder: Path, count: int) -> list[Sample]:
    """The first `count` samples of a folder of shards."""
    shards = [read_shard(folder, number) for number in list_shards(folder)]
    return [shard.sample(i) for shard in shards for i in range(len(shard))][:count]


@dataclass
class Tally:
    """What is collected over all pictures."""

    people: int = 0
    scores: list[float] = field(default_factory=list)
    hits: dict[float, list[bool]] = field(default_factory=lambda: {0.5: [], 0.75: []})
    """For each overlap, which predictions took a true box."""
    raw_scores: list[float] = field(default_factory=list)
    """With duplicates left in."""
    raw_hits: list[bool] = field(default_factory=list)
    keypoint_hits: list[np.ndarray] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    aligned_errors: list[float] = field(default_factory=list)
    true_joints: list[np.ndarray] = field(default_factory=list)
    empty_pictures: int = 0
    false_alarms: int = 0


@torch.no_grad()
def evaluate(
    model: AiOS, samples: list[Sample], config: TrainConfig, sheet: Path | None = None
) -> dict[str, float | int]:
    """Metrics of a model in evaluation mode on labelled pictures.

    A person counts as found when a prediction overlaps the box by half or more; joints are measured on found people
    with scores over 0.3. Duplicates (overlap over 0.7 with a better one) are removed, as the pipeline does.
    """
    body, rng, tally, tiles = TorchBody(open_body()), np.random.default_rng(0), Tally(), []
    for start in range(0, len(samples), BATCH):
        chunk = samples[start : start + BATCH]
        images, targets = batch(chunk, config, model.config.camera_focal_px, rng, augment=False)
        found = model(images, torch.zeros(len(images), *images.shape[-2:], dtype=torch.bool)).final
        joints = predicted_joints(found, body)
        for b, sample in enumerate(chunk):
            kept = _count(tally, found, targets, joints, b, config)
            if sheet is not None and len(tiles) < SHEET_TILES:
                tiles.append(_tile(sample, found, b, kept))
    if sheet is not None:
        rows = [np.concatenate(tiles[i : i + 6], 1) for i in range(0, len(tiles) - len(tiles) % 6, 6)]
        cv2.imwrite(str(sheet), np.concatenate(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    return {"pictures": len(samples)} | _summary(tally)


def predicted_joints(found: LayerPredictions, body: TorchBody) -> np.ndarray:
    """(B, P, 22, 3) body joints of everybody predicted."""
    eyes = torch.eye(3).expand(*found.body_rotmats.shape[:2], 2, 3, 3)
    parts = [found.body_rotmats, found.jaw_rotmats, eyes, found.left_hand_rotmats, found.right_hand_rotmats]
    rotmats = torch.cat(parts, 2)
    posed = body(found.betas.flatten(0, 1), found.expression.flatten(0, 1), rotmats.flatten(0, 1), with_vertices=False)
    return posed.joints.view(*rotmats.shape[:2], 55, 3)[:, :, :22].numpy()


def _count(
    tally: Tally, found: LayerPredictions, targets: Targets, joints: np.ndarray, b: int, config: TrainConfig
) -> np.ndarray:
    """Add picture b of a batch to the tally; the queries that would be shown."""
    present = targets.valid[b].numpy()
    truth, boxes = cxcywh_to_xyxy(targets.boxes[b].numpy())[present], cxcywh_to_xyxy(found.boxes[b].numpy())
    score = score_logits(found.logits)[b].sigmoid().numpy()
    keep = without_duplicates(score, boxes, DUPLICATE_IOU)
    shown = score[keep] > SHOWN_SCORE
    tally.people += len(truth)
    tally.raw_scores += score.tolist()
    tally.raw_hits += (assign(score, boxes, truth, 0.5) >= 0).tolist()
    tally.scores += score[keep].tolist()
    for threshold, hits in tally.hits.items():
        hits += (assign(score[keep], boxes[keep], truth, threshold) >= 0).tolist()
    taken = assign(score[keep], boxes[keep], truth, 0.5)
    right = shown & (taken >= 0)
    _measure(tally, found, targets, joints, b, keep[right], np.flatnonzero(present)[taken[right]], config)
    tally.true_joints.append(targets.joints[b].numpy()[present][:, :22])
    if not len(truth):
        tally.empty_pictures += 1
        tally.false_alarms += int(shown.sum())
    return keep[shown]


def _summary(tally: Tally) -> dict[str, float | int]:
    everybody = np.concatenate(tally.true_joints)
    mean = np.broadcast_to(everybody.mean(0), everybody.shape)
    scores = np.array(tally.scores)
    threshold, f1 = best_threshold(scores, np.array(tally.hits[0.5]), tally.people)
    return {
        "people": tally.people,
        "AP50": average_precision(scores, np.array(tally.hits[0.5]), tally.people),
        "AP75": average_precision(scores, np.array(tally.hits[0.75]), tally.people),
        "AP50 with duplicates": average_precision(np.array(tally.raw_scores), np.array(tally.raw_hits), tally.people),
        "recall at 0.5": float(np.sum(tally.hits[0.5]) / max(tally.people, 1)),
        "best threshold": threshold,
        "F1 there": f1,
        f"found at score {SHOWN_SCORE}": len(tally.errors),
        "PCK@0.1": _mean(np.concatenate(tally.keypoint_hits)) if tally.keypoint_hits else float("nan"),
        "MPJPE mm": _mean(tally.errors) * 1000,
        "PA-MPJPE mm": _mean(tally.aligned_errors) * 1000,
        "mean pose MPJPE mm": _mean(mpjpe(mean, everybody)) * 1000,
        "mean pose PA-MPJPE mm": _mean(pa_mpjpe(mean, everybody)) * 1000,
        "person-free pictures": tally.empty_pictures,
        "false people in them": tally.false_alarms,
    }


def _mean(values: np.ndarray | list[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def without_duplicates(scores: np.ndarray, boxes: np.ndarray, overlap: float) -> np.ndarray:
    """Indices of the predictions that overlap no better one by more than `overlap`, best first."""
    overlaps = iou_matrix(boxes, boxes)
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(overlaps[i, k] <= overlap for k in kept):
            kept.append(int(i))
    return np.array(kept, int)


def _measure(
    tally: Tally, found: LayerPredictions, targets: Targets, joints: np.ndarray, b: int, queries: np.ndarray,
    people: np.ndarray, config: TrainConfig,
) -> None:  # fmt: skip
    """Add the errors of found people (queries) against their truths (people)."""
    if not len(queries):
        return
    size = np.array([config.width, config.height])
    points = found.keypoints[b].numpy()[queries] * size
    truth = targets.keypoints[b].numpy()[people] * size
    seen = targets.keypoints_weight[b].numpy()[people] > 0.9
    side = np.sqrt((targets.boxes[b].numpy()[people][:, 2:] * size).prod(-1))
    tally.keypoint_hits.append(pck(points, truth, seen, side))
    true = targets.joints[b].numpy()[people][:, :22]
    tally.errors.extend(mpjpe(joints[b][queries], true))
    tally.aligned_errors.extend(pa_mpjpe(joints[b][queries], true))


def _tile(sample: Sample, found: LayerPredictions, b: int, queries: np.ndarray) -> np.ndarray:
    tile = sample.image.copy()
    size = np.array([tile.shape[1], tile.shape[0]])
    for q in queries:
        box = (cxcywh_to_xyxy(found.boxes[b, q].numpy()) * np.tile(size, 2)).astype(int)
        cv2.rectangle(tile, box[:2].tolist(), box[2:].tolist(), (255, 255, 0), 1)
        points = (found.keypoints[b, q].numpy() * size).astype(int)
        for i, j in LIMBS:
            colour = (255, 255, 255) if i % 2 != j % 2 else (255, 40, 40) if i % 2 else (40, 255, 40)
            cv2.line(tile, points[i].tolist(), points[j].tolist(), colour, 1, cv2.LINE_AA)
    return tile


if __name__ == "__main__":
    main()
