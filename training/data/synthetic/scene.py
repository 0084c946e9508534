"""One random scene: camera, people on the ground, things in the way, surroundings and light."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.geometry.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle
from training.data.sample import Sample, without_people
from training.data.synthetic.crowd import STANDING_PX, crowd, cut_out
from training.data.synthetic.drawing import Mesh, SceneCamera, Setting, develop, draw
from training.data.synthetic.labels import label
from training.data.synthetic.motion import Motion, sample_pose
from training.data.synthetic.objects import held_object, random_object
from training.data.synthetic.people import Person, Wardrobe
from training.data.synthetic.posing import Posed, pelvis_height, pose_person
from training.data.synthetic.still_life import still_life
from training.data.synthetic.surroundings import Surroundings, brightest_direction, filling, goes_all_around, view

PATTERN_SHARE, CLUTTER_SHARE, CROWD_SHARE = 0.1, 0.4, 0.2
"""Shares of the pictures with a pattern, with clutter and with a crowd behind the people, instead of surroundings seen
through the camera. Those are blurred where panoramas are small, and of them alone a network learns that whatever is
sharp is a person."""
STILL_LIFE_SHARE = 0.5
"""Of the pictures without people."""
HOLDING_SHARE = 0.2
"""Share of the people who have something in a hand."""


@dataclass(frozen=True)
class Casting:
    """How many people are placed, and how near. Those nobody can see are not labelled."""

    people_shares: tuple[float, ...] = (0.08, 0.24, 0.2, 0.15, 0.11, 0.08, 0.05, 0.04, 0.02, 0.02, 0.01)
    """Share of the pictures with 0, 1, 2 ... 10 people."""
    close_up_share: float = 0.22
    """Of the pictures: the nearest one is as tall as the picture, or more."""


ANY = Casting()
CROWDED = Casting((0.0, 0.06, 0.12, 0.18, 0.2, 0.16, 0.11, 0.07, 0.05, 0.03, 0.02))
"""Of crowded pictures a network learns more for each it looks at."""
CLOSE = Casting((0.0, 0.4, 0.3, 0.15, 0.1, 0.05), close_up_share=0.8)
"""Photographs show people large more often than any."""


@dataclass(frozen=True)
class Stock:
    """What scenes are made of."""

    body: BodyModel
    wardrobe: Wardrobe
    surroundings: Surroundings
    motion: Motion
    people: list[Person]
    spectators: list[np.ndarray]
    """(h, w, 4) uint8 RGBA cut-outs that crowds are made of."""


@dataclass(frozen=True)
class Scene:
    """Who and what is seen by which camera under which light; meshes in camera space."""

    camera: SceneCamera
    people: list[Posed]
    things: list[Mesh]
    setting: Setting


def render_scene(stock: Stock, width: int, height: int, rng: np.random.Generator, casting: Casting = ANY) -> Sample:
    """A random picture with 0 to 10 people and its labels."""
    scene = compose(stock, width, height, rng, casting)
    meshes = [posed.mesh() for posed in scene.people] + scene.things
    drawing = draw(meshes, stock.wardrobe.mips, scene.camera, scene.setting, width, height)
    return label(develop(drawing.picture, rng), scene.people, drawing, scene.camera.focal_px)


def compose(stock: Stock, width: int, height: int, rng: np.random.Generator, casting: Casting = ANY) -> Scene:
    """A random scene for a picture of a size in pixels."""
    count = int(rng.choice(len(casting.people_shares), p=casting.people_shares))
    camera, places = _camera_and_places(count, casting.close_up_share, width, height, rng)
    people = [_person_at(stock, camera, place, yaw, rng) for place, yaw in places]
    people.sort(key=lambda posed: posed.joints[0, 2])
    half_view = np.array([width, height]) / 2 / camera.focal_px
    textures = stock.wardrobe.patterns
    things = [random_object(people, textures, half_view, rng) for _ in range(rng.poisson(0.7))]
    things += [held_object(posed, textures, rng) for posed in people if rng.random() < HOLDING_SHARE]
    return Scene(camera, people, things, random_setting(stock, width, height, rng))


def render_empty(stock: Stock, width: int, height: int, rng: np.random.Generator) -> Sample:
    """A picture without people, much cheaper than a scene: surroundings seen at any angle, with cuttings of other
    surroundings and patterns stuck on, some as tall and narrow as people are; or a still life."""
    if rng.random() < STILL_LIFE_SHARE:
        focal = _random_focal_px(height, rng)
        rotation = looking(rng.uniform(-np.pi, np.pi), rng.normal(-0.2, 0.3), rng.normal(0, 0.1))
        camera, setting = SceneCamera(focal, rotation, np.array([0, 1.0, 0])), random_setting(stock, width, height, rng)
        picture = still_life(stock.wardrobe.patterns, stock.wardrobe.mips, camera, setting, width, height, rng)
        return without_people(develop(picture, rng), float(focal))
    focal, picture = width, _clutter_or_crowd(stock, width, height, rng.random(), rng)
    if picture is None:
        focal = width / 2 / np.tan(np.radians(rng.uniform(45, 110)) / 2)
        rotation = looking(rng.uniform(-np.pi, np.pi), rng.normal(0, 0.3), rng.normal(0, 0.15))
        picture = stock.surroundings.panoramas[rng.integers(len(stock.surroundings.panoramas))]
        is_around = goes_all_around(picture)
        picture = view(picture, width, height, focal, rotation.T) if is_around else filling(picture, width, height)
        picture = _strewn(stock, picture, 1.5, (0.08, 0.7), rng)
    return without_people(develop((picture.astype(np.float32) / 255) ** 2, rng), float(focal))


def _clutter_or_crowd(
    stock: Stock, width: int, height: int, kind: float, rng: np.random.Generator
) -> np.ndarray | None:
    """What is behind people by a number 0..1: clutter for the first of their share, then a crowd, where there are
    spectators, then None."""
    if kind < CLUTTER_SHARE:
        return clutter(stock, width, height, rng)
    if kind < CLUTTER_SHARE + CROWD_SHARE and stock.spectators:
        return crowded_stand(stock, width, height, rng)
    return None


def clutter(stock: Stock, width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """(height, width, 3) uint8, sharp all over: much of some surroundings shrunk, with small cuttings stuck on."""
    picture = stock.surroundings.panoramas[rng.integers(len(stock.surroundings.panoramas))]
    rows, columns = picture.shape[:2]
    most = min(columns / width, rows / height)
    zoom = np.exp(rng.uniform(np.log(min(0.5 * most, 1)), np.log(most)))
    w, h = min(int(width * zoom), columns), min(int(height * zoom), rows)
    x, y = rng.integers(columns - w + 1), rng.integers(rows - h + 1)
    picture = cv2.resize(picture[y : y + h, x : x + w], (width, height), interpolation=cv2.INTER_AREA)
    count, largest = (40, 0.1) if rng.random() < 0.25 else (12, 0.35)
    return _strewn(stock, picture, count, (0.03, largest), rng)


def crowded_stand(stock: Stock, width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """(height, width, 3) uint8: a crowd before clutter, over a ground of one colour or a pattern."""
    behind = clutter(stock, width, height, rng)
    ground, boards = _cutting(stock, rng), _cutting(stock, rng)[:40]
    if rng.random() < 0.7:
        shades = np.linspace(*rng.uniform(0.6, 1.3, 2), 64)[:, None, None]
        ground = (rng.uniform(30, 190, 3) * np.broadcast_to(shades, (64, 64, 1))).clip(0, 255).astype(np.uint8)
    return crowd(behind, stock.spectators, ground, boards, rng)


def spectators(stock: Stock, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut-outs (h, w, 4) of people who look more or less towards the camera, for crowds."""
    side, distance = 2 * STANDING_PX, 8.0
    camera = SceneCamera(STANDING_PX / 1.7 * distance, looking(0, 0, 0), np.array([0, 1.0, 0]))
    found = []
    for _ in range(count):
        posed = _person_at(stock, camera, np.array([0, 0, distance]), np.pi + rng.normal(0, 0.6), rng)
        drawing = draw([posed.mesh()], stock.wardrobe.mips, camera, random_setting(stock, side, side, rng), side, side)
        share = cv2.resize((drawing.owner >= 0).astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
        found.append(cut_out(drawing.picture, share))
    return found


def _strewn(
    stock: Stock, picture: np.ndarray, count: float, sizes: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """The picture with some `count` cuttings on it, their sides from one to the other of `sizes`, in its own."""
    for _ in range(rng.poisson(count)):
        size = np.array(picture.shape[1::-1]) * np.exp(rng.uniform(*np.log(sizes), 2))
        picture = _stuck_on(picture, _cutting(stock, rng), size, rng)
    return picture


def _cutting(stock: Stock, rng: np.random.Generator) -> np.ndarray:
    """(S, S, 3) uint8: a part of surroundings or a pattern."""
    if rng.random() < 0.4:
        return stock.wardrobe.mips[0][rng.choice(stock.wardrobe.patterns)][..., :3]
    panorama = stock.surroundings.panoramas[rng.integers(len(stock.surroundings.panoramas))]
    side = int(rng.integers(min(panorama.shape[:2]) // 8, min(panorama.shape[:2]) // 2))
    y, x = rng.integers(panorama.shape[0] - side), rng.integers(panorama.shape[1] - side)
    return panorama[y : y + side, x : x + side]


def _stuck_on(picture: np.ndarray, cutting: np.ndarray, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture with a cutting of a size (2,) in pixels on it: turned, an ellipse half of the time."""
    height, width = picture.shape[:2]
    side = cutting.shape[0]
    angle = rng.normal(0, 0.4)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * (size / side)
    shift = rng.random(2) * [width, height] - turn @ [side / 2, side / 2]
    mask = np.full((side, side), 255, np.uint8)
    if rng.random() < 0.5:
        mask = cv2.circle(mask * 0, (side // 2, side // 2), side // 2, 255, -1)
    corners = np.array([[-1, -1], [-1, side], [side, -1], [side, side]]) @ turn.T + shift
    low, high = np.clip([np.floor(corners.min(0)), np.ceil(corners.max(0)) + 1], 0, [width, height]).astype(int)
    if (low >= high).any():
        return picture
    matrix, part = np.column_stack([turn, shift - low]), (high - low).tolist()
    gains = rng.uniform(0.5, 1.1, 3).astype(np.float32)
    on = cv2.warpAffine(cutting, matrix, part, flags=cv2.INTER_AREA) * gains
    share = cv2.warpAffine(mask, matrix, part, flags=cv2.INTER_LINEAR)[..., None] / np.float32(255)
    picture = picture.copy()
    under = picture[low[1] : high[1], low[0] : high[0]]
    under[:] = under * (1 - share) + on * share
    return picture


def _camera_and_places(
    count: int, close_up_share: float, width: int, height: int, rng: np.random.Generator
) -> tuple[SceneCamera, list[tuple[np.ndarray, float]]]:
    """A camera that looks at the people, and each one's place on the ground (3,) and yaw."""
    focal = _random_focal_px(height, rng)
    close_up = rng.random() < close_up_share
    tallest = rng.uniform(1.0, 2.6) if close_up else np.exp(rng.uniform(np.log(0.3), np.log(1.1)))
    nearest = max(1.7 * focal / (tallest * height), 0.7)
    yaw = rng.uniform(-np.pi, np.pi)
    eye = rng.uniform(1.0, 1.7) if close_up else float(np.clip(rng.normal(1.5, 0.6), 0.3, 4.0))
    look_at = rng.uniform(1.2, 1.6) if close_up else rng.uniform(0.7, 1.2)
    pitch = np.arctan2(eye - look_at, nearest) + rng.normal(0, 0.05)
    camera = SceneCamera(float(focal), looking(yaw, pitch, rng.normal(0, 0.04)), np.array([0, eye, 0]))
    places: list[tuple[np.ndarray, float]] = []
    forward = np.array([np.sin(yaw), 0, np.cos(yaw)])
    right = np.cross(forward, [0, 1, 0])
    for i in range(count):
        for _ in range(20):
            depth = nearest * (1 if i == 0 else min(np.exp(rng.exponential(0.35)), 2.5))
            side = rng.uniform(-0.5, 0.5) * depth * width / focal * (0.9 if i else 0.6)
            place = forward * depth + right * side
            if all(np.linalg.norm(place - other) > 0.55 for other, _ in places):
                places.append((place, rng.uniform(-np.pi, np.pi)))
                break
    return camera, places


def _random_focal_px(height: int, rng: np.random.Generator) -> float:
    """Of cameras from tele to wide."""
    return height / 2 / np.tan(np.radians(rng.uniform(22, 62)) / 2)


def looking(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """camera_from_world (3, 3): x right, y down, z forward, looking along +z turned by yaw, pitched downwards."""
    forward = np.array([np.sin(yaw) * np.cos(pitch), -np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.cross(forward, [0, 1, 0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    return np.stack([c * right + s * down, c * down - s * right, forward])


def _person_at(stock: Stock, camera: SceneCamera, place: np.ndarray, yaw: float, rng: np.random.Generator) -> Posed:
    """A random person in a random pose at a place of the ground, now and then above it."""
    person = stock.people[rng.integers(len(stock.people))]
    pose = sample_pose(stock.motion, rng)
    pose[0] = turned(pose[0], yaw)
    expression = (rng.normal(0, 1, 10) * (rng.random(10) < 0.5)).astype(np.float32)
    on_feet = rng.random() < 0.9
    height = pelvis_height(person, pose, stock.body.parents, on_feet) + (0 if on_feet else rng.uniform(0, 0.4))
    return pose_person(stock.body, person, pose, expression, place + np.array([0, height, 0]), camera)


def turned(global_orient: np.ndarray, yaw: float) -> np.ndarray:
    """Axis-angles (..., 3) turned about the world's vertical."""
    return rotmat_to_axis_angle(axis_angle_to_rotmat(np.array([0, yaw, 0])) @ axis_angle_to_rotmat(global_orient))


def random_setting(stock: Stock, width: int, height: int, rng: np.random.Generator) -> Setting:
    """Surroundings turned at random, now and then a pattern, clutter or a crowd instead, with or without a sun."""
    surroundings = stock.surroundings
    number = int(rng.integers(len(surroundings.panoramas)))
    panorama_from_world = axis_angle_to_rotmat(np.array([0.0, rng.uniform(-np.pi, np.pi), 0.0]))
    panorama, kind = surroundings.panoramas[number], rng.random()
    if kind < PATTERN_SHARE:
        image = stock.wardrobe.mips[0][rng.choice(stock.wardrobe.patterns)][..., :3]
    else:
        image = _clutter_or_crowd(stock, width, height, kind - PATTERN_SHARE, rng)
    direction, colour = rng.normal(0, 1, 3), np.zeros(3)
    direction[1] = abs(direction[1]) + 0.3
    if rng.random() < 0.5:
        direction = panorama_from_world.T @ brightest_direction(surroundings.radiance[number])
    if rng.random() < 0.6:
        colour = rng.uniform(0.1, 0.8) * np.array([1, rng.uniform(0.85, 1), rng.uniform(0.7, 1)])
    return Setting(
        panorama=panorama if image is None else image,
        is_flat=image is not None or not goes_all_around(panorama),
        radiance=surroundings.radiance[number],
        panorama_from_world=panorama_from_world,
        ambient=float(rng.uniform(0.45, 1.1)),
        sun_direction=direction / np.linalg.norm(direction),
        sun_colour=colour,
    )
