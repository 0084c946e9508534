"""The contact sheet: the best, the middling and the worst pictures, with everybody found drawn over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.errors import OutputError
from aios_core.mocap import Camera
from aios_core.output import whole_file
from aios_core.preview import COLOURS, OPACITY, draw_mesh

COLUMNS = 5
TILE = (400, 300)
"""(width, height), pixels."""
GAP, TITLE, CAPTION = 6, 34, 24
PAPER, INK, RED, ORANGE = (24, 24, 26), (235, 235, 235), (255, 70, 60), (255, 165, 40)


@dataclass(frozen=True)
class Drawn:
    """One picture and what is to be drawn over it."""

    rgb: np.ndarray
    caption: str
    bodies: Sequence[np.ndarray]
    """(V, 3) of everybody shown, camera space."""
    camera: Camera
    missed_xyxy_px: np.ndarray
    """(N, 4) boxes of people not found,"""
    false_xyxy_px: np.ndarray
    """(N, 4) and of people found where there are none."""


def picked(errors: np.ndarray, columns: int = COLUMNS) -> dict[str, np.ndarray]:
    """Numbers of the pictures to show, by title; pictures whose error is not a number only if there are no others."""
    order = np.argsort(errors, kind="stable")
    order = order[np.isfinite(errors[order])]
    if len(order) < 3:
        return {"All": order if len(order) else np.arange(min(len(errors), columns))}
    columns = min(columns, len(order) // 3)
    middle = max((len(order) - columns) // 2, 0)
    rows = {"Best": order[:columns], "Median": order[middle : middle + columns], "Worst": order[::-1][:columns]}
    return rows


def write_sheet(path: Path, rows: dict[str, np.ndarray], draw: Callable[[int], Drawn], body: BodyModel) -> None:
    """Draw the picked pictures and write the sheet (.png, .jpg).

    Raises:
        OutputError: it cannot be written.
    """
    strips = [_legend(max(map(len, rows.values()), default=1))]
    for title, numbers in rows.items():
        strips.append(_row(title, [tile(draw(int(i)), body) for i in numbers], strips[0].shape[1]))
    with whole_file(path) as temporary:
        if not cv2.imwrite(str(temporary), np.concatenate(strips)[..., ::-1]):
            raise OutputError(f"Cannot write {path}: pictures end in .png or .jpg.")


def tile(drawn: Drawn, body: BodyModel) -> np.ndarray:
    """(H, W, 3) one picture with its caption below."""
    height, width = drawn.rgb.shape[:2]
    zoom = min(TILE[0] / width, TILE[1] / height)
    size = max(round(width * zoom), 1), max(round(height * zoom), 1)
    picture = cv2.resize(drawn.rgb, size, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC)
    x, y = drawn.camera.center_px
    camera = Camera(drawn.camera.focal_px * zoom, (x * zoom, y * zoom))
    picture = _with_bodies(picture, drawn.bodies, body, camera)
    for boxes, colour in ((drawn.missed_xyxy_px, RED), (drawn.false_xyxy_px, ORANGE)):
        for box in np.clip(boxes * zoom, 0, np.tile(size, 2) - np.array(2)).astype(int).tolist():
            cv2.rectangle(picture, box[:2], box[2:], colour, 2, cv2.LINE_AA)
    out = np.full((TILE[1] + CAPTION, TILE[0], 3), PAPER, np.uint8)
    x, y = (TILE[0] - size[0]) // 2, (TILE[1] - size[1]) // 2
    out[y : y + size[1], x : x + size[0]] = picture
    _write(out, drawn.caption, (2, TILE[1] + 17), 0.42)
    return out


def _with_bodies(picture: np.ndarray, bodies: Sequence[np.ndarray], body: BodyModel, camera: Camera) -> np.ndarray:
    depth = np.full(picture.shape[:2], np.inf, np.float32)
    layer = np.zeros(picture.shape, np.float32)
    for i, vertices in enumerate(bodies):
        draw_mesh(layer, depth, vertices, body.faces, camera, COLOURS[i % len(COLOURS)])
    mask = np.isfinite(depth)[..., None] * OPACITY
    return (picture * (1 - mask) + layer * mask).round().astype(np.uint8)


def _row(title: str, tiles: list[np.ndarray], width: int) -> np.ndarray:
    height = tiles[0].shape[0]
    out = np.full((height + TITLE, width, 3), PAPER, np.uint8)
    _write(out, title, (GAP, 24), 0.62)
    for i, picture in enumerate(tiles):
        x = GAP + i * (TILE[0] + GAP)
        out[TITLE:, x : x + TILE[0]] = picture
    return out


def _legend(columns: int) -> np.ndarray:
    out = np.full((TITLE, GAP + columns * (TILE[0] + GAP), 3), PAPER, np.uint8)
    x = GAP
    for text, colour in (("found", COLOURS[0]), ("not found", RED), ("found where nobody is", ORANGE)):
        cv2.rectangle(out, (x, 12), (x + 14, 26), tuple(int(c) for c in colour), -1 if text == "found" else 2)
        _write(out, text, (x + 22, 24), 0.48)
        x += 40 + 9 * len(text)
    return out


def _write(out: np.ndarray, text: str, place: tuple[int, int], scale: float) -> None:
    cv2.putText(out, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, 1, cv2.LINE_AA)
