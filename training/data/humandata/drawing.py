"""What training sees of a data set, drawn: views with the boxes and points that the network is to find."""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from aios_core.body.body_model import BodyModel
from aios_core.body.joints import COCO17_NAMES
from aios_core.model.preprocess import MEAN, STD
from training.data.humandata.augmentation import Augmentation, draw_view, fitted, look, read_picture
from training.data.humandata.dataset import DataSet
from training.paper.targets import PictureTargets

LEFT, RIGHT, MIDDLE, FACE = (255, 80, 70), (80, 220, 90), (255, 225, 80), (90, 210, 255)
LIMBS = ((5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16), (5, 6), (11, 12), (5, 11), (6, 12))
PARTS_OF_137 = ((slice(0, 25), MIDDLE), (slice(25, 45), LEFT), (slice(45, 65), RIGHT), (slice(65, 137), FACE))
TILE = (420, 315)
"""(width, height), pixels."""
COLUMNS, ROWS, GAP, PAPER = 5, 4, 4, 24


def sheet(data_set: DataSet, body: BodyModel, augmentation: Augmentation, seed: int = 0) -> np.ndarray:
    """(H, W, 3) views of pictures spread over the set, as training draws them; what cannot be read is left out.

    Left sides are red, right sides green, faces blue, boxes of bodies yellow; points that do not count are not drawn.
    """
    tiles = []
    for i in np.unique(np.linspace(0, len(data_set) - 1, COLUMNS * ROWS).astype(int)):
        annotations = data_set.annotations(int(i))
        if not annotations.image_path.is_file():
            continue
        rgb = read_picture(annotations.image_path)
        size = (rgb.shape[1], rgb.shape[0])
        annotations = fitted(annotations, size)
        rng = np.random.default_rng((seed, int(i)))
        view = draw_view(size, annotations.boxes[:, 0], data_set.kind, augmentation, rng)
        tiles.append(tile(*look(rgb, annotations, view, body, augmentation.antialias)))
    empty = np.full((TILE[1] + GAP, TILE[0] + GAP, 3), PAPER, np.uint8)
    tiles += [empty] * (-len(tiles) % COLUMNS if tiles else COLUMNS)
    rows = [np.concatenate(tiles[i : i + COLUMNS], 1) for i in range(0, len(tiles), COLUMNS)]
    return np.concatenate(rows)


def tile(image: Tensor, targets: PictureTargets) -> np.ndarray:
    """(H, W, 3) uint8 of TILE's size: a normalised picture (3, h, w) with its targets."""
    rgb = np.clip(image.permute(1, 2, 0).numpy() * STD + MEAN, 0, 255).astype(np.uint8)
    zoom = min(TILE[0] / rgb.shape[1], TILE[1] / rgb.shape[0])
    size = np.array([max(round(rgb.shape[1] * zoom), 1), max(round(rgb.shape[0] * zoom), 1)])
    picture = cv2.resize(rgb, tuple(size.tolist()), interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
    for p in range(len(targets.boxes)):
        _person(picture, targets, p, size)
    x, y = (TILE[0] - size[0]) // 2, (TILE[1] - size[1]) // 2
    out = np.full((TILE[1] + GAP, TILE[0] + GAP, 3), PAPER, np.uint8)
    out[y : y + size[1], x : x + size[0]] = picture
    return out


def _person(picture: np.ndarray, targets: PictureTargets, p: int, size: np.ndarray) -> None:
    points = _pixels(targets.joints_2d[p].numpy(), size)
    for part, colour in PARTS_OF_137:
        for k in range(part.start, part.stop):
            if targets.joints_2d_valid[p, k] > 0:
                cv2.circle(picture, points[k], 1, colour, -1, cv2.LINE_AA)
    keypoints = _pixels(targets.keypoints[p].numpy(), size)
    for a, b in LIMBS:
        if targets.keypoints_valid[p, a] > 0 and targets.keypoints_valid[p, b] > 0:
            sides = {COCO17_NAMES[a].split("_")[0], COCO17_NAMES[b].split("_")[0]}
            colour = MIDDLE if len(sides) > 1 else LEFT if "left" in sides else RIGHT
            cv2.line(picture, keypoints[a], keypoints[b], colour, 1, cv2.LINE_AA)
    boxes = [(targets.boxes[p], targets.boxes_valid[p], MIDDLE)]
    boxes += list(zip(targets.part_boxes[p], targets.part_boxes_valid[p], (LEFT, RIGHT, FACE), strict=True))
    for box, valid, colour in boxes:
        if valid > 0:
            low, high = _pixels(box[:2].numpy() + np.outer([-0.5, 0.5], box[2:].numpy()), size - 1)
            cv2.rectangle(picture, low, high, colour, 1)


def _pixels(fractions: np.ndarray, size: np.ndarray) -> list[list[int]]:
    return np.clip(fractions * size, -5000, 5000).round().astype(int).tolist()
