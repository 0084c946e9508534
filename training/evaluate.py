"""Measure weights on labelled shards: python -m training.evaluate --weights FILE --data SHARDS [--sheet OUT.jpg]"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch

from aios_core.body.files import open_body
from aios_core.body.skinning_torch import TorchBody
from aios_core.model.aios import AiOS
from aios_core.model.checkpoint import build_model
from training.config import PRESETS, TrainConfig
from training.data.sample import Sample, list_shards, read_shard
from training.data.synthetic.generate import LIMBS
from training.losses import score_logits
from training.metrics import assign, average_precision, best_threshold, iou_matrix, mpjpe, pa_mpjpe, pck
from training.targets import Targets, batch

DUPLICATE_IOU = 0.7
SHOWN_SCORE = 0.3
BATCH = 16


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


@torch.no_grad()
def evaluate(
    model: AiOS, samples: list[Sample], config: TrainConfig, sheet: Path | None = None
) -> dict[str, float | int]:
    """Metrics of a model in evaluation mode on labelled pictures.

    A person counts as found when a prediction overlaps the box by half or more; joints are measured on found people
    with scores over 0.3. Duplicates (overlap over 0.7 with a better one) are removed, as the pipeline does.
    """
    body = TorchBody(open_body())
    rng = np.random.default_rng(0)
    scores, raw_scores = [], []
    hits: dict[float, list[bool]] = {0.5: [], 0.75: []}
    raw_hits, truths, alarms, empty = [], 0, 0, 0
    keypoint_hits, errors, aligned, tiles, true_joints = [], [], [], [], []
    for start in range(0, len(samples), BATCH):
        chunk = samples[start : start + BATCH]
        images, targets = batch(chunk, config, model.config.camera_focal_px, rng, augment=False)
        found = model(images, torch.zeros(len(images), *images.shape[-2:], dtype=torch.bool)).final
        score = score_logits(found.logits).sigmoid().numpy()
        eyes = torch.eye(3).expand(*found.body_rotmats.shape[:2], 2, 3, 3)
        rotmats = torch.cat(
            [found.body_rotmats, found.jaw_rotmats, eyes, found.left_hand_rotmats, found.right_hand_rotmats], 2
        )
        joints = body(
            found.betas.flatten(0, 1), found.expression.flatten(0, 1), rotmats.flatten(0, 1), with_vertices=False
        )
        joints = joints.joints.view(*rotmats.shape[:2], 55, 3)[:, :, :22].numpy()
        for b in range(len(chunk)):
            truth, present = _corners(targets.boxes[b].numpy()), targets.valid[b].numpy()
            truth = truth[present]
            boxes = _corners(found.boxes[b].numpy())
            keep = without_duplicates(score[b], boxes, DUPLICATE_IOU)
            truths += len(truth)
            raw_scores += score[b].tolist()
            raw_hits += (assign(score[b], boxes, truth, 0.5) >= 0).tolist()
            scores += score[b][keep].tolist()
            for threshold, collected in hits.items():
                taken = assign(score[b][keep], boxes[keep], truth, threshold)
                collected += (taken >= 0).tolist()
                if threshold == 0.5:
                    shown = (taken >= 0) & (score[b][keep] > SHOWN_SCORE)
                    _measure(found, targets, joints, b, keep[shown], np.flatnonzero(present)[taken[shown]],
                             config, keypoint_hits, errors, aligned)  # fmt: skip
            true_joints.append(targets.joints[b].numpy()[present][:, :22])
            if not len(truth):
                empty += 1
                alarms += int((score[b][keep] > SHOWN_SCORE).sum())
            if sheet is not None and len(tiles) < 24:
                tiles.append(_tile(chunk[b], found, b, keep[score[b][keep] > SHOWN_SCORE], config))
    if sheet is not None:
        rows = [np.concatenate(tiles[i : i + 6], 1) for i in range(0, len(tiles) - len(tiles) % 6, 6)]
        cv2.imwrite(str(sheet), np.concatenate(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    everybody = np.concatenate(true_joints)
    mean = np.broadcast_to(everybody.mean(0), everybody.shape)
    threshold, f1 = best_threshold(np.array(scores), np.array(hits[0.5]), truths)
    return {
        "pictures": len(samples),
        "people": truths,
        "AP50": average_precision(np.array(scores), np.array(hits[0.5]), truths),
        "AP75": average_precision(np.array(scores), np.array(hits[0.75]), truths),
        "AP50 with duplicates": average_precision(np.array(raw_scores), np.array(raw_hits), truths),
        "recall at 0.5": float(np.mean(hits[0.5]) * len(hits[0.5]) / max(truths, 1)),
        "best threshold": threshold,
        "F1 there": f1,
        f"found at score {SHOWN_SCORE}": len(errors),
        "PCK@0.1": float(np.concatenate(keypoint_hits).mean()) if keypoint_hits else float("nan"),
        "MPJPE mm": float(np.mean(errors) * 1000) if errors else float("nan"),
        "PA-MPJPE mm": float(np.mean(aligned) * 1000) if aligned else float("nan"),
        "mean pose MPJPE mm": float(mpjpe(mean, everybody).mean() * 1000),
        "mean pose PA-MPJPE mm": float(pa_mpjpe(mean, everybody).mean() * 1000),
        "person-free pictures": empty,
        "false people in them": alarms,
    }


def without_duplicates(scores: np.ndarray, boxes: np.ndarray, overlap: float) -> np.ndarray:
    """Indices of the predictions that overlap no better one by more than `overlap`, best first."""
    overlaps = iou_matrix(boxes, boxes)
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if all(overlaps[i, k] <= overlap for k in kept):
            kept.append(int(i))
    return np.array(kept, int)


def _measure(found, targets: Targets, joints, b, queries, people, config, keypoint_hits, errors, aligned) -> None:
    """Add one picture's found people (queries) and their truths (people) to the collected errors."""
    if not len(queries):
        return
    size = np.array([config.width, config.height])
    points = found.keypoints[b].numpy()[queries] * size
    truth = targets.keypoints[b].numpy()[people] * size
    seen = targets.keypoints_weight[b].numpy()[people] > 0.9
    side = np.sqrt((targets.boxes[b].numpy()[people][:, 2:] * size).prod(-1))
    keypoint_hits.append(pck(points, truth, seen, side))
    true = targets.joints[b].numpy()[people][:, :22]
    errors.extend(mpjpe(joints[b][queries], true))
    aligned.extend(pa_mpjpe(joints[b][queries], true))


def _corners(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def _tile(sample: Sample, found, b: int, queries: np.ndarray, config: TrainConfig) -> np.ndarray:
    tile = sample.image.copy()
    size = np.array([tile.shape[1], tile.shape[0]])
    for q in queries:
        box = (_corners(found.boxes[b, q].numpy()) * np.tile(size, 2)).astype(int)
        cv2.rectangle(tile, box[:2].tolist(), box[2:].tolist(), (255, 255, 0), 1)
        points = (found.keypoints[b, q].numpy() * size).astype(int)
        for i, j in LIMBS:
            colour = (255, 255, 255) if i % 2 != j % 2 else (255, 40, 40) if i % 2 else (40, 255, 40)
            cv2.line(tile, points[i].tolist(), points[j].tolist(), colour, 1, cv2.LINE_AA)
    return tile


if __name__ == "__main__":
    main()
