"""Who is who from frame to frame: assignment by overlap of boxes and nearness of keypoints."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from aios_core.geometry.boxes import iou_matrix, keypoint_similarity
from aios_core.pipeline.people import FramePeople

LEAST_AFFINITY = 0.15
"""Mean of overlap and keypoint similarity below which two detections are not the same person."""


@dataclass
class _Seen:
    """The last sight of one person."""

    id: int
    time: float
    box: np.ndarray
    keypoints: np.ndarray
    velocity: np.ndarray
    """(2,) of the box's centre, pixels a second."""


@dataclass
class Tracker:
    """Gives detections their person's number, one frame after the other."""

    memory_seconds: float
    _seen: list[_Seen] = field(default_factory=list)
    _next_id: int = 1

    def update(self, people: FramePeople, time: float, birth_score: float = 0.0) -> np.ndarray:
        """(P,) numbers of the people of the frame at `time` seconds, from 1 on.

        Somebody new gets a new number if the score reaches birth_score, else 0: weak detections continue the tracks
        that strong ones leave over, and start none (ByteTrack; Zhang et al. 2022).
        """
        self._seen = [seen for seen in self._seen if time - seen.time <= self.memory_seconds]
        ids = np.zeros(len(people), int)
        strong = people.scores >= birth_score
        waiting = list(range(len(self._seen)))
        for group in (np.flatnonzero(strong), np.flatnonzero(~strong)):
            for row, column in self._assign(people, time, waiting, group):
                ids[column] = self._seen[row].id
                self._seen[row] = _sighting(ids[column], people, column, time, self._seen[row])
                waiting.remove(row)
        # New numbers go by place, not by order in the frame: shuffled detections give the same tracks.
        new = np.flatnonzero((ids == 0) & (people.scores >= birth_score))
        for i in new[np.lexsort(people.boxes_xyxy_px[new].T)]:
            ids[i], self._next_id = self._next_id, self._next_id + 1
            self._seen.append(_sighting(int(ids[i]), people, i, time, None))
        return ids

    def _assign(self, people: FramePeople, time: float, rows: list[int], columns: np.ndarray) -> list[tuple[int, int]]:
        """Pairs (place in _seen, person) between those rows and columns that fit best and well enough."""
        if not rows or not len(columns):
            return []
        seen = [self._seen[row] for row in rows]
        shifts = np.stack([s.velocity * (time - s.time) for s in seen])
        boxes = np.stack([s.box for s in seen]) + np.tile(shifts, 2)
        points = np.stack([s.keypoints for s in seen]) + shifts[:, None]
        area = np.clip(boxes[:, 2:] - boxes[:, :2], 1, None).prod(-1)
        affinity = iou_matrix(boxes, people.boxes_xyxy_px[columns])
        affinity = (affinity + keypoint_similarity(points, people.keypoints_px[columns], area)) / 2
        pairs = zip(*linear_sum_assignment(-affinity), strict=True)
        return [(rows[r], int(columns[c])) for r, c in pairs if affinity[r, c] >= LEAST_AFFINITY]


def _sighting(number: int, people: FramePeople, i: int, time: float, before: _Seen | None) -> _Seen:
    box = people.boxes_xyxy_px[i]
    velocity = np.zeros(2)
    if before is not None and time > before.time:
        now = (box[:2] + box[2:] - before.box[:2] - before.box[2:]) / 2 / (time - before.time)
        velocity = 0.5 * before.velocity + 0.5 * now
    return _Seen(int(number), time, box, people.keypoints_px[i], velocity)
