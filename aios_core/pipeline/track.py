"""Who is who: detections of one frame after the other get their person's number, and fragments are joined afterwards.

Forward in time, every person seen lately is predicted to the new frame and assigned (Hungarian method) the detection
that fits best in place, size, 2-d joints, depth, pose, shape, colours and the network's person token: strong detections
first, weak ones for whom is left (ByteTrack; Zhang et al. 2022). Pose and looks are compared in units of how much they
differ between frames of one person in this very clip, so that a cue that tells nobody apart has no say. Poses and
joints are alike also with the sides swapped: a network hesitates whether it sees people from the front or from behind.

People who come close may be confused, so numbers are new after every encounter, and whenever one is seen again where
another was in the meantime. Afterwards fragments are joined (see
`link`): a person after an encounter, hidden for a while, or back in the picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from aios_core.body.joints import MIRROR_COCO17
from aios_core.body.skinning import mirrored_body_pose
from aios_core.geometry.boxes import intersection
from aios_core.pipeline.people import FramePeople, are_one_body

GATE = 8.0
"""Cost at which a detection is nobody's."""
STRANGE = 12.0
"""The same where it is near nobody else who is left over, and nobody else is near it."""
CENTER_SIGMA, CENTER_SIGMA_PER_SECOND = 0.07, 0.7
"""Error of a predicted centre, in box sizes: at once, and for every second of waiting."""
JOINT_SIGMA, JOINT_SIGMA_PER_SECOND = 0.06, 0.4
SIZE_SIGMA, SIZE_SIGMA_PER_SECOND = 0.15, 0.4
"""Of the logarithm of box sizes and of depths."""
MOST_PER_CUE = 9.0
"""What one cue may add to the cost."""
VELOCITY_SECONDS = 0.15
"""Velocities are averaged over about so long."""
SAME_BODY = 0.15
"""Overlap times keypoint similarity from which a new person is one more detection of somebody already there, and from
which somebody is seen where another was who is missing now."""
MISSING_SECONDS = 0.3
"""Whoever was not seen for longer is missing."""
MARGIN = 2.0
"""Numbers could have been confused where another assignment costs no more than this beyond the best."""
LOOK_SECONDS = 0.5
"""Errors in how people look keep their direction for about so long: more sights in that time say nothing new."""
HALF_HIDDEN = 0.5
"""Of whom nearer people's boxes cover more than this share, it is rather those who are looked at."""
LOOKS = "token", "shape", "colours"
"""What stays the same about people while they move."""
FIRST_NOISE = {"token": 0.05, "pose": 0.08, "shape": 0.3, "colours": 5.0}
LEAST_NOISE = {"token": 0.01, "pose": 0.02, "shape": 0.02, "colours": 1.0}


@dataclass
class Seen:
    """The last sight of one person."""

    id: int
    time: float
    box: np.ndarray
    keypoints: np.ndarray
    log_depth: float
    token: np.ndarray
    pose: np.ndarray
    """(21, 3) rotation vectors of the body's joints."""
    shape: np.ndarray
    colours: np.ndarray
    """(21,) CIE Lab of parts of the body."""
    center: np.ndarray
    """(2,) the mean of the box's and the joints' middle, which jitters less than either."""
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    """(2,) of the center, pixels a second."""


@dataclass
class Looks:
    """How somebody looks while nobody else is close or in the way: means over half seconds."""

    means: list[np.ndarray] = field(default_factory=list)
    """(C,) each"""
    sights: list[int] = field(default_factory=list)
    """Sights in each mean."""
    begun: float = -np.inf
    """When the last half second began."""

    def add(self, value: np.ndarray, time: float) -> None:
        """One more sight."""
        if time - self.begun >= LOOK_SECONDS:
            self.means.append(np.zeros_like(value))
            self.sights.append(0)
            self.begun = time
        self.sights[-1] += 1
        self.means[-1] = self.means[-1] + (value - self.means[-1]) / self.sights[-1]


@dataclass
class Fragment:
    """A stretch of one number, summed up: what it takes to say which fragments are one person."""

    first: Seen
    last: Seen
    count: int = 0
    looks: dict[str, Looks] = field(default_factory=lambda: {name: Looks() for name in LOOKS})
    first_velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    continues: int = 0
    """The number that the tracker believes is the same person, before an encounter; 0 = none."""
    met: frozenset[int] = frozenset()
    """Numbers in that encounter."""
    shared: Counter[int] = field(default_factory=Counter)
    """Number of frames in which another number was seen on the same body, ..."""
    together: Counter[int] = field(default_factory=Counter)
    """... and in which both were seen at all."""


@dataclass
class Tracker:
    """Gives detections their person's number, one frame after the other; sums up what became of each number."""

    memory_seconds: float
    fragments: dict[int, Fragment] = field(default_factory=dict)
    _seen: list[Seen] = field(default_factory=list)
    _next_id: int = 1
    _encounters: list[set[int]] = field(default_factory=list)
    """Groups of numbers that were close to each other and have not parted yet."""
    _noise: dict[str, float] = field(default_factory=lambda: dict(FIRST_NOISE))
    """Typical difference between two frames of one person."""

    def update(self, people: FramePeople, time: float, birth_score: float = 0.0) -> np.ndarray:
        """(P,) numbers of the people of the frame at `time` seconds, from 1 on.

        Somebody new gets a new number if the score reaches birth_score, else 0: weak detections continue the tracks
        that strong ones leave over, and start none.
        """
        self._seen = [seen for seen in self._seen if time - seen.time <= self.memory_seconds]
        ids = np.zeros(len(people), int)
        if not len(people):
            return ids
        strong = people.scores >= birth_score
        sights = _sights(people, time)
        same = same_body(people)
        cost = pair_costs(self._seen, sights, self._noise)
        # A weak second detection of somebody does not bring back another who is missing.
        missing = np.array([time - seen.time > MISSING_SECONDS for seen in self._seen], bool)
        cost[np.ix_(missing, ~strong & (same & strong).any(1))] = np.inf
        pairs = _assigned(cost, strong)
        before = list(self._seen)
        self._learn([before[row] for row, _ in pairs], [sights[column] for _, column in pairs])
        for row, column in pairs:
            ids[column] = before[row].id
            self._seen[row] = _continued(before[row], sights[column])
        better = (ids > 0)[None, :] | (people.scores[None, :] > people.scores[:, None])
        # New numbers go by place, not by order in the frame: shuffled detections give the same tracks.
        new = np.flatnonzero((ids == 0) & strong & ~(same & better).any(1))
        for i in new[np.lexsort(people.boxes_xyxy_px[new].T)]:
            ids[i], self._next_id = self._next_id, self._next_id + 1
            sights[i].id = int(ids[i])
            self._seen.append(sights[i])
        self._part(_rivals(cost, pairs, [seen.id for seen in before], ids, same), {s.id: s for s in sights if s.id})
        for here, gone in _turns(before, sights, pairs, new):
            self._cut(here, gone.id)
        known = np.flatnonzero(ids)
        self._sum_up([sights[i] for i in known], same[np.ix_(known, known)])
        ids[known] = [sights[i].id for i in known]
        return ids

    def _part(self, rivals: list[tuple[int, int]], here: dict[int, Seen]) -> None:
        """Give new numbers to those who could have been confused until now and no longer can.

        rivals: pairs of numbers that could be confused in this frame; here: its sights by number.
        """
        known = {seen.id for seen in self._seen}
        groups = [group & known for group in self._encounters]
        for pair in map(set, rivals):
            groups = [g for g in groups if not g & pair] + [pair.union(*(g for g in groups if g & pair))]
        doubtful = {number for pair in rivals for number in pair}
        self._encounters = []
        for group in groups:
            if group <= doubtful | (known - here.keys()):
                self._encounters.append(group)
                continue
            rest = group - here.keys()
            for number in sorted(group & here.keys()):
                sight = here[number]
                self._renumber(sight, frozenset(group))
                rest |= {sight.id} & ({sight.id} if number in doubtful else set())
            if rest:
                self._encounters.append(rest)

    def _renumber(self, sight: Seen, met: frozenset[int]) -> None:
        """Begin a new number with a sight of somebody who may be any of those met."""
        before, sight.id, self._next_id = sight.id, self._next_id, self._next_id + 1
        self.fragments[sight.id] = Fragment(sight, sight, continues=before, met=met)

    def _cut(self, sight: Seen, other: int) -> None:
        """Give a new number to somebody who is seen again where another was seen in the meantime: either may be the
        other, which only numbers can tell that do not overlap in time."""
        number = sight.id
        fragment = self.fragments.setdefault(number, Fragment(sight, sight))
        if fragment.first is sight:  # it has just got one
            fragment.met |= {other}
            return
        self._renumber(sight, frozenset({number, other}))
        self._encounters = [group - {number} | {sight.id} if number in group else group for group in self._encounters]

    def _sum_up(self, sights: list[Seen], shared: np.ndarray) -> None:
        close, ids = set().union(*self._encounters), [sight.id for sight in sights]
        is_clear = _covered(sights) < HALF_HIDDEN
        for i, sight in enumerate(sights):
            fragment = self.fragments.setdefault(sight.id, Fragment(sight, sight))
            fragment.last = sight
            fragment.count += 1
            if is_clear[i] and sight.id not in close:
                for name in LOOKS:
                    fragment.looks[name].add(getattr(sight, name), sight.time)
            if sight.time - fragment.first.time <= 2 * VELOCITY_SECONDS:
                fragment.first_velocity = sight.velocity
            fragment.together.update(ids[:i] + ids[i + 1 :])
            fragment.shared.update(ids[k] for k in np.flatnonzero(shared[i]) if k != i)

    def _learn(self, before: list[Seen], now: list[Seen]) -> None:
        """Take in how much people differ from frame to frame."""
        if not before:
            return
        for name, values in _differences(before, now).items():
            # The logarithm's running mean follows the median, not the few large differences.
            steps = np.log(np.maximum(values, LEAST_NOISE[name]) / self._noise[name])
            self._noise[name] *= float(np.exp(0.02 * np.clip(steps, -1, 1).sum()))


def _assigned(cost: np.ndarray, strong: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (row, column) of costs (N, M) that fit best and well enough: strong columns first, then the others."""
    pairs: list[tuple[int, int]] = []
    for group in (np.flatnonzero(strong), np.flatnonzero(~strong)):
        waiting = np.setdiff1d(np.arange(len(cost)), [row for row, _ in pairs])
        rows, columns = linear_sum_assignment(np.minimum(cost[np.ix_(waiting, group)], GATE))
        found = zip(waiting[rows].tolist(), group[columns].tolist(), strict=True)
        pairs += [(row, column) for row, column in found if cost[row, column] < GATE]
    # Of those left over: where it can be nobody else, and nothing else can be that person, it is, however strange.
    is_near = np.isfinite(cost)
    rows, columns = np.array(pairs, int).reshape(-1, 2).T
    is_near[rows], is_near[:, columns] = False, False
    is_only = is_near & (is_near.sum(0) == 1) & (is_near.sum(1, keepdims=True) == 1)
    return pairs + [(int(row), int(column)) for row, column in np.argwhere(is_only & (cost < STRANGE))]


def _turns(
    before: list[Seen], sights: list[Seen], pairs: list[tuple[int, int]], new: np.ndarray
) -> list[tuple[Seen, Seen]]:
    """Sights of those who were not seen when somebody was whose body it is and who is not seen now, with the latter.

    new: (K,) sights of those who were never seen before.

    One of the two hides the other, or a network that hesitates between two answers has made two numbers of one person.
    """
    rows, columns = np.array(pairs, int).reshape(-1, 2).T
    gone = np.setdiff1d(np.arange(len(before)), rows)
    times = np.array([seen.time for seen in before])
    last_seen = np.concatenate([times[rows], np.full(len(new), -np.inf)])
    columns = np.concatenate([columns, new])
    instead = times[gone] > last_seen[:, None]  # (C, G): the latter was seen when the former was not
    if not instead.any():
        return []
    now, then = [sights[k] for k in columns], [before[row] for row in gone]
    boxes, keypoints = (
        [np.stack([getattr(seen, name) for seen in group]) for group in (now, then)] for name in ("box", "keypoints")
    )
    instead &= are_one_body(boxes, keypoints, SAME_BODY)
    return [(now[i], then[k]) for i, k in zip(*np.nonzero(instead), strict=True)]


def _rivals(
    cost: np.ndarray, pairs: list[tuple[int, int]], numbers: list[int], ids: np.ndarray, same: np.ndarray
) -> list[tuple[int, int]]:
    """Pairs of numbers that costs (N, M) could nearly as well have given each other's sights.

    numbers: (N) of the rows; ids: (M,) as given to the columns; same: (M, M) detections of one body are no rivals.
    """
    rows, columns = np.array(pairs, int).reshape(-1, 2).T
    names, best = np.array(numbers, int), cost[rows, columns]
    ours = np.minimum(cost[np.ix_(rows, columns)], GATE)
    swapped = ours + ours.T - best[:, None] - best
    first, second = np.nonzero(np.triu((swapped < MARGIN) & (ours < GATE) & ~same[np.ix_(columns, columns)], 1))
    answer = list(zip(names[rows[first]].tolist(), names[rows[second]].tolist(), strict=True))
    lost = np.setdiff1d(np.arange(len(names)), rows)
    first, second = np.nonzero(cost[np.ix_(lost, columns)] < best + MARGIN)
    answer += zip(names[lost[first]].tolist(), names[rows[second]].tolist(), strict=True)
    new = np.setdiff1d(np.flatnonzero(ids), columns)
    first, second = np.nonzero((cost[np.ix_(rows, new)] < best[:, None] + MARGIN) & ~same[np.ix_(columns, new)])
    answer += zip(names[rows[first]].tolist(), ids[new[second]].tolist(), strict=True)
    return answer


def pair_costs(seen: list[Seen], sights: list[Seen], noise: dict[str, float]) -> np.ndarray:
    """(N, M) how badly sights fit people seen before, about half the sum of squared errors in standard deviations.

    Pairs that are too far apart for the gate already cost infinitely much.
    """
    if not seen:
        return np.zeros((0, len(sights)))
    waited = sights[0].time - np.array([s.time for s in seen])
    shift = np.stack([s.velocity for s in seen]) * waited[:, None]
    old_size, new_size = sizes(seen), sizes(sights)
    size = np.sqrt(old_size[:, None] * new_size)
    there, here = np.stack([s.center for s in seen]) + shift, np.stack([s.center for s in sights])
    apart = np.linalg.norm(there[:, None] - here, axis=-1) / size
    near = (apart / (CENTER_SIGMA + CENTER_SIGMA_PER_SECOND * waited[:, None])) ** 2 / 2
    near += (np.log(old_size[:, None] / new_size) / (SIZE_SIGMA + SIZE_SIGMA_PER_SECOND * waited[:, None])) ** 2 / 2
    rows, columns = np.nonzero(near < GATE)
    cost = np.full(near.shape, np.inf)
    if not len(rows):
        return cost
    a, b, waited = [seen[i] for i in rows], [sights[k] for k in columns], waited[rows]
    there, here = np.stack([s.keypoints for s in a]) + shift[rows, None], np.stack([s.keypoints for s in b])
    sigma = (JOINT_SIGMA + JOINT_SIGMA_PER_SECOND * waited) * size[rows, columns]
    # The median over joints: a limb that is seen wrongly does not make somebody else of a person.
    squared = [np.median(((there - joints) ** 2).sum(-1), axis=-1) for joints in (here, here[:, MIRROR_COCO17])]
    total = near[rows, columns] + _capped(np.minimum(*squared) / sigma**2)
    depth = np.array([s.log_depth for s in a]) - np.array([s.log_depth for s in b])
    total += _capped((depth / (SIZE_SIGMA + SIZE_SIGMA_PER_SECOND * waited)) ** 2 / 4)
    for name, difference in _differences(a, b).items():
        # Looks change with time too: after half a second the usual difference is about twice that of one frame.
        total += _capped(difference / (noise[name] * (1 + 2 * waited))) / 2
    cost[rows, columns] = total
    return cost


def _capped(cost: np.ndarray) -> np.ndarray:
    return np.minimum(cost, MOST_PER_CUE)


def sizes(seen: Sequence[Seen]) -> np.ndarray:
    """(N,) pixels: the longer sides of boxes."""
    boxes = np.stack([s.box for s in seen])
    return (boxes[:, 2:] - boxes[:, :2]).clip(1).max(-1)


def _covered(sights: Sequence[Seen]) -> np.ndarray:
    """(N,) share of each box that the box of somebody nearer covers (of the one that covers most)."""
    boxes = np.array([sight.box for sight in sights]).reshape(-1, 4)
    depth = np.array([sight.log_depth for sight in sights])
    cover = intersection(boxes[:, None], boxes) * (depth < depth[:, None])
    return cover.max(1, initial=0) / np.clip(boxes[:, 2:] - boxes[:, :2], 1, None).prod(-1)


def _differences(first: list[Seen], second: list[Seen]) -> dict[str, np.ndarray]:
    """(K,) differences of looks of pairs, by name."""
    token = np.stack([s.token for s in first]) * np.stack([s.token for s in second])
    pose, other = np.stack([s.pose for s in first]), np.stack([s.pose for s in second])
    squared = [((pose - way) ** 2).mean((-2, -1)) for way in (other, mirrored_body_pose(other))]
    shape = np.stack([s.shape for s in first]) - np.stack([s.shape for s in second])
    colours = np.stack([s.colours for s in first]) - np.stack([s.colours for s in second])
    return {
        "token": (1 - token.sum(-1)).clip(0),
        "pose": np.sqrt(np.minimum(*squared)),
        "shape": np.sqrt((shape**2).mean(-1)),
        "colours": np.sqrt((colours**2).mean(-1)),
    }


def same_body(people: FramePeople) -> np.ndarray:
    """(P, P) bool: which detections of a frame show the same body as another."""
    same = are_one_body([people.boxes_xyxy_px] * 2, [people.keypoints_px] * 2, SAME_BODY)
    np.fill_diagonal(same, False)
    return same


def _sights(people: FramePeople, time: float) -> list[Seen]:
    boxes = people.boxes_xyxy_px.astype(np.float64)
    centers = ((boxes[:, :2] + boxes[:, 2:]) / 2 + people.keypoints_px.mean(1)) / 2
    depths = -np.log(np.maximum(people.camera[:, 0], 1e-6))
    colours = people.colours.reshape(len(people), -1)
    return [
        Seen(0, time, boxes[i], people.keypoints_px[i], float(depths[i]), people.tokens[i], people.body_pose[i],
              people.betas[i], colours[i], centers[i])
        for i in range(len(people))
    ]  # fmt: skip


def _continued(before: Seen, now: Seen) -> Seen:
    elapsed = now.time - before.time
    now.id, now.velocity = before.id, before.velocity
    if elapsed > 0:
        moved = (now.center - before.center) / elapsed
        share = 1 - np.exp(-elapsed / VELOCITY_SECONDS)
        now.velocity = before.velocity + share * (moved - before.velocity)
    return now
