"""Simulated scenes with known identities: who is where in each frame, and what a network would detect of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aios_core.body.joints import COCO_LIMBS, JOINTS_OF_LIMBS, MIRROR_COCO17
from aios_core.body.skinning import mirrored_body_pose, pose_joints
from aios_core.config import CaptureConfig
from aios_core.geometry.boxes import intersection
from aios_core.pipeline.people import FramePeople, unit_length, without_duplicates
from tests.motion_clips import clips, repeated, the_body
from tests.noisy_mocaps import drift

WIDTH, HEIGHT, FOCAL, EYE = 1280, 720, 1000.0, 1.6
TOKEN_SIZE = 16


@dataclass(frozen=True)
class Error:
    """Standard deviations of one kind of error."""

    usual: float
    """From frame to frame."""
    astray: float
    """From frame to frame where the network goes astray: another of its queries answers, and everything leaps."""
    slow: float
    """Of what keeps its direction for about SLOW_SECONDS."""


SLOW_SECONDS = 0.3
SHAPE_SPREAD = np.array([0.076, 0.023, 0.005, 0.017, 0.003, 0.015, 0.001, 0.005, 0.01, 0.006])
"""How much the shapes differ that the network sees in different people: hardly."""
BIRTH_SCORE = 0.57
"""The shipped weights' threshold."""
COLOUR_SPREAD = np.array([17.0, 6.0, 12.0])
"""How much the colours of people's clothes differ in L, a and b (500 held-out renders of 60 people)."""
COMMON_TOKEN, OWN_TOKEN = 0.045**0.5, 0.536**0.5
"""Lengths of what the tokens of all people share, and of what is a person's own, as `training.identity` says of people
to whom the layer was not fitted."""
TOKEN_ERROR_DECAY, OWN_TOKEN_DECAY = 0.3, 1.1
"""The variance of a token's errors and of a person's own part falls as the direction's number to these powers: as if
there were 15 directions of errors, and 6 of people, about as it says too."""


@dataclass(frozen=True)
class DetectorNoise:
    """Errors of a detector. The defaults are the shipped network's (sixteenth `open` weights), as
    `benchmarks.detector_noise` measures them on the demo clip and five drawn films (`training.data.synthetic.video`,
    seeds 1 to 5). They are larger where somebody is partly hidden."""

    dropped: float = 0.0
    """Share of detections that are missing at random, beside the network's own misses."""
    missed: float = 0.004
    """The network's own."""
    astray: float = 0.12
    """Share of detections that are astray."""
    mirrored: float = 0.055
    """Share of detections that show the person mirrored along the line of sight: the sides are swapped, ..."""
    mirrored_seconds: float = 0.155
    """... for so long on average."""
    score: float = 0.945
    """Mean score of somebody in full view, ..."""
    astray_score: float = 0.911
    """... of those that are astray ..."""
    duplicate_score: float = 0.363
    """... and of people detected a second time; both are spread by 0.08."""
    score_error: Error = Error(0.029, 0.068, 0.023)
    box: Error = Error(0.005, 0.038, 0.012)
    """Of box edges, as a share of the box's longer side."""
    keypoints: Error = Error(0.012, 0.058, 0.029)
    """Likewise, in x and y."""
    depth: Error = Error(0.016, 0.035, 0.022)
    """Of its logarithm."""
    pose_deg: Error = Error(4.2, 9.8, 13.4)
    """Of every joint's rotation vector in x, y and z."""
    shape: Error = Error(0.09, 0.125, 0.159)
    """Of every coefficient."""
    token: Error = Error(0.218, 0.32, 0.479)
    """Length of the error; a token's own length is 1."""
    colours: Error = Error(2.9, 4.9, 4.5)
    """Of every part's L, a and b."""
    duplicates: float = 0.034
    """Share of people detected a second time, with a weak score and astray."""
    false_people: float = 0.002
    """Wrong detections a frame, on average."""


DEMO = DetectorNoise(
    missed=0.003, astray=0.163, mirrored=0.083, mirrored_seconds=0.187, score=0.959, astray_score=0.955,
    duplicate_score=0.294, score_error=Error(0.004, 0.014, 0.015), box=Error(0.004, 0.008, 0.006),
    keypoints=Error(0.008, 0.062, 0.019), depth=Error(0.011, 0.009, 0.011), pose_deg=Error(3.1, 10.8, 12.8),
    shape=Error(0.089, 0.118, 0.147), token=Error(0.215, 0.256, 0.396), colours=Error(2.3, 3.7, 3.4), duplicates=0.015,
    false_people=0,
)  # fmt: skip
"""The same on the demo clip alone, whose people are seen well."""

FAIR = DetectorNoise(
    missed=0, astray=0, mirrored=0, score=0.85, score_error=Error(0.08, 0, 0), box=Error(0.03, 0, 0),
    keypoints=Error(0.03, 0, 0), depth=Error(0.05, 0, 0), pose_deg=Error(3, 0, 0), shape=Error(0.15, 0, 0),
    token=Error(0.19, 0, 0.49), colours=Error(3.7, 0, 4.5), duplicates=0, false_people=0,
)  # fmt: skip
"""Errors of a detector that is less often astray and has no slow ones, but whose tokens and colours are no better."""


@dataclass(frozen=True)
class Scene:
    """P people over T frames."""

    times: np.ndarray
    """(T,) seconds"""
    joints: np.ndarray
    """(P, T, 22, 3) camera space, metres."""
    pose: np.ndarray
    """(P, T, 21, 3)"""
    betas: np.ndarray
    """(P, 10)"""

    def keypoints(self) -> np.ndarray:
        """(P, T, 17, 2) pixels; the face's are the head's."""
        points = np.repeat(self.joints[:, :, 15:16], 17, 2)
        points[:, :, COCO_LIMBS] = self.joints[:, :, JOINTS_OF_LIMBS]
        return points[..., :2] / points[..., 2:] * FOCAL + [WIDTH / 2, HEIGHT / 2]

    def boxes(self) -> np.ndarray:
        """(P, T, 4) pixels, cut at the picture's edges."""
        pixels = self.joints[..., :2] / self.joints[..., 2:] * FOCAL + [WIDTH / 2, HEIGHT / 2]
        low, high = pixels.min(2), pixels.max(2)
        margin = 0.06 * (high - low).max(-1, keepdims=True)
        return np.concatenate([low - margin, high + margin], -1).clip(0, [WIDTH, HEIGHT] * 2)

    def visible(self) -> np.ndarray:
        """(P, T) bool: enough of the person is in the picture, and not hidden behind somebody nearer."""
        return self.in_picture() & (self.hidden() < 0.75)

    def in_picture(self) -> np.ndarray:
        """(P, T) bool: at least a third of the person's width is inside the picture."""
        boxes = self.boxes()
        return (boxes[..., 2] - boxes[..., 0]) > 0.12 * (boxes[..., 3] - boxes[..., 1])

    def hidden(self) -> np.ndarray:
        """(P, T) share of each box that the nearer people's boxes cover (of the one that covers most)."""
        return hidden(self.boxes(), self.joints[:, :, 0, 2])


def hidden(boxes: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """(P, T) share of each box (P, T, 4) that nearer people's boxes cover (of the one that covers most), by depths
    (P, T)."""
    return _covered(boxes, depths).max(1)


def _covered(boxes: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """(P, P, T) share of each person's box that each other's covers."""
    cover = intersection(boxes[:, None], boxes)
    area = np.clip(boxes[..., 2:] - boxes[..., :2], 1, None).prod(-1)
    nearer = depths[None, :] < depths[:, None]  # [i, j]: j stands before i
    return np.where(nearer, cover / area[:, None], 0)


def clothes(people: int, rng: np.random.Generator) -> np.ndarray:
    """(P, 7, 3) colours of people, from those that are usual: trunk and arms have one, legs one, which often go
    together, and heads differ half as much."""
    top, other, hair = rng.normal(0, 1, (3, people, 3))
    legs, head = 0.6 * top + 0.8 * other, 0.25 * top + 0.43 * hair
    return COLOUR_SPREAD * np.stack([head, *[top] * 4, *[legs] * 2], 1)


def walks(places: np.ndarray, fps: float, seed: int = 0) -> Scene:
    """People who walk along places (P, T, 2) of the ground: metres right of the camera and ahead of it."""
    rng = np.random.default_rng(seed)
    count, length = places.shape[:2]
    walker, times, body = clips()["walker"], np.arange(length) / fps, the_body()
    joints, poses, shapes = [], [], rng.normal(0, 0.7, (count, 10))
    for p in range(count):
        frames = repeated(walker, int(times[-1] * 30) + 2 + 60)
        rows = np.round(times * 30).astype(int) + int(rng.integers(60))
        pose = frames.pose[rows].copy()
        way = np.gradient(places[p], axis=0)
        heading = np.unwrap(np.arctan2(way[:, 1], way[:, 0])) if np.abs(way).max() > 1e-6 else np.zeros(length)
        pose[:, 0] = 0
        local = pose_joints(body, np.tile(shapes[p], (length, 1)), pose)[:, :22]
        local = local - local[:, :1]
        c, s = np.cos(heading), np.sin(heading)  # the body faces its +z; walking along +x of the ground
        ground = np.stack([c * local[..., 2].T - s * local[..., 0].T, s * local[..., 2].T + c * local[..., 0].T], -1)
        ground = ground.swapaxes(0, 1) + places[p][:, None]
        up = local[..., 1] - local[..., 1].min(1, keepdims=True) + 0.08
        joints.append(np.stack([ground[..., 0], EYE - up, ground[..., 1]], -1))
        poses.append(pose[:, 1:22])
    return Scene(times, np.stack(joints), np.stack(poses), shapes)


def crossing(fps: float = 30.0, seconds: float = 4.0) -> Scene:
    """Two people who walk past each other, half a metre apart in depth."""
    share = np.linspace(0, 1, int(seconds * fps))
    ways = [np.stack([-2 + 4 * share, np.full_like(share, 5.0)], -1), np.stack([2 - 4 * share, 0 * share + 5.5], -1)]
    return walks(np.stack(ways), fps)


def circling(fps: float = 30.0, seconds: float = 6.0) -> Scene:
    """Two dancers who circle each other, half a metre from the middle: each hides the other twice."""
    angle = np.linspace(0, 3 * np.pi, int(seconds * fps))
    ways = [np.stack([0.6 * np.cos(angle + a), 5 + 0.6 * np.sin(angle + a)], -1) for a in (0, np.pi)]
    return walks(np.stack(ways), fps)


def entrances(fps: float = 30.0, seconds: float = 8.0) -> Scene:
    """Four people who walk out of the picture and come back, at different times."""
    times = np.linspace(0, seconds, int(seconds * fps))
    ways = [
        np.stack([5.5 * np.sin(2 * np.pi * times / seconds + 1.6 * k), 5.0 + 0.9 * k + 0 * times], -1) for k in range(4)
    ]
    return walks(np.stack(ways), fps)


def crowd(people: int = 10, fps: float = 30.0, seconds: float = 10.0, seed: int = 0) -> Scene:
    """People who wander about in front of the camera and hide one another."""
    rng = np.random.default_rng(seed)
    times = np.arange(int(seconds * fps)) / fps
    ways = []
    for _ in range(people):
        phase, rate = rng.uniform(0, 2 * np.pi, 2), rng.uniform(0.05, 0.12, 2)
        centre, size = rng.uniform([-1.5, 6], [1.5, 9]), rng.uniform([1, 0.8], [2.2, 2.2])
        ways.append(centre + size * np.sin(2 * np.pi * times[:, None] * rate + phase))
    return walks(np.stack(ways), fps, seed)


def detect(
    scene: Scene, noise: DetectorNoise | None = None, seed: int = 0, threshold: float = BIRTH_SCORE
) -> list[tuple[FramePeople, np.ndarray]]:
    """For every frame the detections in random order and (P,) whose they are (-1: nobody's)."""
    noise = noise or DetectorNoise()
    rng = np.random.default_rng(seed)
    detector = _Detector(scene, noise, rng)
    hidden, inside = scene.hidden(), scene.in_picture()
    frames = []
    for t in range(len(scene.times)):
        found, who = [], []
        for p in range(len(scene.pose)):
            seen = inside[p, t] and rng.random() > noise.dropped and rng.random() > noise.missed
            if not seen or rng.random() < np.clip((hidden[p, t] - 0.55) / 0.25, 0, 1):
                continue
            sights = [detector.sight(p, t, hidden[p, t], rng.random() < noise.astray)]
            if rng.random() < noise.duplicates:
                sights.append(detector.sight(p, t, hidden[p, t], True, is_duplicate=True))
            for sight in sights:
                if sight["scores"] >= threshold / 2:
                    found.append(sight)
                    who.append(p)
        for _ in range(rng.poisson(noise.false_people)):
            found.append(_false_person(rng, threshold))
            who.append(-1)
        order = rng.permutation(len(found))
        frames.append(_unique(_gather([found[i] for i in order]), np.array([who[i] for i in order], int)))
    return frames


class _Detector:
    """What the network would say of a scene's people."""

    def __init__(self, scene: Scene, noise: DetectorNoise, rng: np.random.Generator) -> None:
        people, length = scene.pose.shape[:2]
        self.scene, self.noise, self.rng = scene, noise, rng
        self.boxes, self.keypoints = scene.boxes(), scene.keypoints()
        self.shapes = rng.normal(0, SHAPE_SPREAD, (people, 10))
        self.clothes = clothes(people, np.random.default_rng(people))
        self.in_front = _covered(self.boxes, scene.joints[:, :, 0, 2]).argmax(1)
        common = unit_length(rng.normal(0, 1, (1, TOKEN_SIZE)))
        own = rng.normal(0, _spectrum(OWN_TOKEN_DECAY), (people, TOKEN_SIZE))
        self.tokens = COMMON_TOKEN * common + OWN_TOKEN * unit_length(own)
        fps = (length - 1) / (scene.times[-1] - scene.times[0])
        self.mirrored = stretches(rng, (people, length), noise.mirrored, noise.mirrored_seconds * fps)
        self.slow = {
            name: drift(rng, (length, people, *shape), SLOW_SECONDS * fps)
            for name, shape in (
                ("score", ()), ("box", (4,)), ("keypoints", (17, 2)), ("depth", ()), ("pose", (21, 3)),
                ("shape", (10,)), ("token", (TOKEN_SIZE,)), ("colours", (7, 3)),
            )
        }  # fmt: skip

    def sight(self, p: int, t: int, hidden: float, astray: bool, is_duplicate: bool = False) -> dict[str, np.ndarray]:
        """One detection of person p in frame t; who is half hidden is seen half as well."""
        noise = self.noise

        def error(name: str, size: Error) -> np.ndarray:
            slow = self.slow[name][t, p]
            fast = self.rng.normal(0, size.astray if astray else size.usual, np.shape(slow))
            return (fast + size.slow * slow) * (1 + hidden)

        size = (self.boxes[p, t, 2:] - self.boxes[p, t, :2]).max()
        keypoints, pose = self.keypoints[p, t], self.scene.pose[p, t]
        if self.mirrored[p, t]:
            keypoints, pose = keypoints[MIRROR_COCO17], mirrored_body_pose(pose)
        token = self.tokens[p] + error("token", noise.token) * _spectrum(TOKEN_ERROR_DECAY)
        # Where somebody is hidden, the clothes of whoever stands in front are seen.
        seen_clothes = (1 - hidden) * self.clothes[p] + hidden * self.clothes[self.in_front[p, t]]
        if astray:
            mean = self.rng.normal(noise.duplicate_score if is_duplicate else noise.astray_score, 0.08)
        else:
            mean = noise.score + error("score", noise.score_error)
        return {
            "scores": np.float32(np.clip(mean - 0.6 * hidden, 0.05, 0.95)),
            "boxes_xyxy_px": self.boxes[p, t] + size * error("box", noise.box),
            "keypoints_px": keypoints + size * error("keypoints", noise.keypoints),
            "body_pose": pose + np.radians(error("pose", noise.pose_deg)),
            "betas": self.shapes[p] + error("shape", noise.shape),
            "camera": np.array([np.exp(-error("depth", noise.depth)) / self.scene.joints[p, t, 0, 2], 0, 0]),
            "tokens": unit_length(token[None])[0],
            "colours": seen_clothes + error("colours", noise.colours),
        }


def stretches(rng: np.random.Generator, shape: tuple[int, int], share: float, frames: float) -> np.ndarray:
    """(P, T) bool: in all such a share, in stretches of so many frames on average."""
    answer = np.zeros(shape, bool)
    if share == 0:
        return answer
    ends, begins = 1 / max(frames, 1), share / (1 - share) / max(frames, 1)
    draws = rng.random(shape)
    is_in = rng.random(shape[0]) < share
    for t in range(shape[1]):
        answer[:, t] = is_in = np.where(is_in, draws[:, t] > ends, draws[:, t] < begins)
    return answer


def _unique(people: FramePeople, who: np.ndarray) -> tuple[FramePeople, np.ndarray]:
    """What is left when the pipeline has taken out detections of one body."""
    best = np.argsort(-people.scores, kind="stable")
    kept = without_duplicates(people.select(best), CaptureConfig().duplicate_overlap)
    rows = [i for i in range(len(people)) if (kept.boxes_xyxy_px == people.boxes_xyxy_px[i]).all(-1).any()]
    return people.select(np.array(rows, int)), who[rows]


def _spectrum(decay: float) -> np.ndarray:
    """(TOKEN_SIZE,) standard deviations of a vector whose squared length is 1 on average."""
    variance = np.arange(1, TOKEN_SIZE + 1) ** -decay
    return np.sqrt(variance / variance.sum())


def _false_person(rng, threshold) -> dict[str, np.ndarray]:
    low = rng.uniform(0, [WIDTH - 120, HEIGHT - 240])
    box = np.concatenate([low, low + rng.uniform([60, 120], [120, 240])])
    return {
        "scores": np.float32(rng.uniform(threshold / 2, 1.2 * threshold)), "boxes_xyxy_px": box,
        "keypoints_px": rng.uniform(box[:2], box[2:], (17, 2)), "body_pose": rng.normal(0, 0.3, (21, 3)),
        "betas": rng.normal(0, 1, 10), "camera": np.array([rng.uniform(0.1, 0.3), 0, 0]),
        "tokens": unit_length(rng.normal(0, 1, (1, TOKEN_SIZE)))[0], "colours": clothes(1, rng)[0],
    }  # fmt: skip


SHAPES = {"scores": (), "boxes_xyxy_px": (4,), "keypoints_px": (17, 2), "left_hand_keypoints_px": (6, 2),
          "right_hand_keypoints_px": (6, 2), "face_keypoints_px": (6, 2), "global_orient": (3,), "body_pose": (21, 3),
          "left_hand_pose": (15, 3), "right_hand_pose": (15, 3), "jaw_pose": (3,), "expression": (10,), "betas": (10,),
          "camera": (3,), "tokens": (TOKEN_SIZE,), "colours": (7, 3)}  # fmt: skip


def _gather(found: list[dict[str, np.ndarray]]) -> FramePeople:
    arrays = {}
    for name, shape in SHAPES.items():
        rows = [person.get(name, np.zeros(shape)) for person in found]
        arrays[name] = np.array(rows, np.float32).reshape(len(found), *shape)
    return FramePeople(**arrays)
