"""One random scene: camera, people on the ground, things in the way, light; rendered into a labelled Sample."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.skinning import PosedBody, forward_kinematics, joints_144
from aios_core.geometry.rotations import axis_angle_to_rotmat, rotmat_to_axis_angle
from training.data.sample import MAX_PEOPLE, Sample
from training.data.synthetic import raster
from training.data.synthetic.motion import Motion, sample_pose
from training.data.synthetic.people import Person, Wardrobe
from training.data.synthetic.surroundings import Surroundings, irradiance, view

MIN_VISIBLE = 0.12
MIN_PIXELS = 60
JOINT_DEPTH = 0.15
"""A joint lies up to so far, metres, under the surface that shows it."""
CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32)
CUBE_FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]],
    np.int32,
)  # fmt: skip
CUBE_UV = np.tile(np.array([[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]], np.float32), (6, 1, 1))


@dataclass(frozen=True)
class Stock:
    """What scenes are made of."""

    body: BodyModel
    wardrobe: Wardrobe
    surroundings: Surroundings
    motion: Motion
    people: list[Person]


@dataclass(frozen=True)
class SceneCamera:
    """A camera in the world (Y up)."""

    focal_px: float
    camera_from_world: np.ndarray
    """(3, 3)"""
    position: np.ndarray


@dataclass(frozen=True)
class Posed:
    """A person in camera space."""

    person: Person
    full_pose: np.ndarray
    expression: np.ndarray
    transl: np.ndarray
    vertices: np.ndarray
    normals: np.ndarray
    joints: np.ndarray
    """(144, 3)"""


def render_scene(stock: Stock, width: int, height: int, rng: np.random.Generator) -> Sample:
    """A random picture with 0 to 10 people and its labels."""
    people_count = int(rng.choice(11, p=[0.08, 0.24, 0.2, 0.15, 0.11, 0.08, 0.05, 0.04, 0.02, 0.02, 0.01]))
    camera, places = _camera_and_places(people_count, width, height, rng)
    people = [_place(stock, camera, place, rng) for place in places]
    people.sort(key=lambda posed: posed.transl[2])
    return draw(stock, people, camera, width, height, rng)


def _camera_and_places(
    count: int, width: int, height: int, rng: np.random.Generator
) -> tuple[SceneCamera, list[tuple[np.ndarray, float]]]:
    """A camera that looks at the people, and each one's place on the ground (3,) and yaw."""
    focal = height / 2 / np.tan(np.radians(rng.uniform(22, 62)) / 2)
    close_up = rng.random() < 0.22
    tallest = rng.uniform(1.0, 2.6) if close_up else np.exp(rng.uniform(np.log(0.35), np.log(1.1)))
    nearest = max(1.7 * focal / (tallest * height), 0.7)
    yaw = rng.uniform(-np.pi, np.pi)
    eye = rng.uniform(1.0, 1.7) if close_up else float(np.clip(rng.normal(1.5, 0.6), 0.3, 4.0))
    look_at = rng.uniform(1.2, 1.6) if close_up else rng.uniform(0.7, 1.2)
    pitch = np.arctan2(eye - look_at, nearest) + rng.normal(0, 0.05)
    camera_from_world = _looking(yaw, pitch, rng.normal(0, 0.04))
    position = np.array([0, eye, 0])
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
    return SceneCamera(float(focal), camera_from_world, position), places


def _looking(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """camera_from_world (3, 3): x right, y down, z forward, looking along +z turned by yaw, pitched downwards."""
    forward = np.array([np.sin(yaw) * np.cos(pitch), -np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    right = np.cross(forward, [0, 1, 0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    c, s = np.cos(roll), np.sin(roll)
    return np.stack([c * right + s * down, c * down - s * right, forward])


def _place(stock: Stock, camera: SceneCamera, place: tuple[np.ndarray, float], rng: np.random.Generator) -> Posed:
    """A random person in a random pose, the lowest point on the ground."""
    person = stock.people[rng.integers(len(stock.people))]
    pose = sample_pose(stock.motion, rng)
    spot, yaw = place
    pose[0] = rotmat_to_axis_angle(
        axis_angle_to_rotmat(np.array([0, yaw, 0], np.float32)) @ axis_angle_to_rotmat(pose[0])
    )
    expression = (rng.normal(0, 1, 10) * (rng.random(10) < 0.5)).astype(np.float32)
    rotmats = axis_angle_to_rotmat(pose)
    joints = forward_kinematics(rotmats, person.rest_joints, stock.body.parents)[:, :3, 3]
    lowest = joints[[7, 8, 10, 11]].min(0)[1] if rng.random() < 0.9 else joints[:, 1].min() - rng.uniform(0, 0.4)
    lowest = min(lowest, joints[:, 1].min() + 0.02) - 0.06
    pelvis = np.array([spot[0], joints[0, 1] - lowest, spot[2]])
    return posed_in_camera(stock.body, person, pose, expression, pelvis, camera)


def posed_in_camera(
    body: BodyModel, person: Person, pose: np.ndarray, expression: np.ndarray, pelvis: np.ndarray, camera: SceneCamera
) -> Posed:
    """A person whose pelvis is at a place (3,) of the world and whose pose (55, 3) is the world's, seen by a camera."""
    pose = pose.copy()
    pose[0] = rotmat_to_axis_angle(camera.camera_from_world @ axis_angle_to_rotmat(pose[0].astype(np.float64)))
    transl = (camera.camera_from_world @ (pelvis - camera.position) - person.rest_joints[0]).astype(np.float32)
    rest = person.vertices
    count = len(body.v_template)
    if expression.any():
        rest = rest.copy()
        rest[:count] += (body.exprdirs.reshape(-1, 10) @ expression).reshape(-1, 3)
    transforms = forward_kinematics(axis_angle_to_rotmat(pose), person.rest_joints, body.parents)
    matrices = transforms[:, :3].copy()
    matrices[:, :, 3] += transl - (transforms[:, :3, :3] @ person.rest_joints[..., None])[..., 0]
    vertices, normals = np.empty_like(rest), np.empty_like(rest)
    raster.skin(rest, person.normals, person.joints, person.weights, matrices.astype(np.float32), vertices, normals)
    posed = PosedBody(vertices[:count], transforms[:, :3, 3] + transl, transforms)
    joints = joints_144(body, posed, pose).astype(np.float32)
    return Posed(person, pose.astype(np.float32), expression, transl, vertices, normals, joints)


def draw(
    stock: Stock, people: list[Posed], camera: SceneCamera, width: int, height: int, rng: np.random.Generator,
    clutter: bool = True, surroundings: int | None = None,
) -> Sample:  # fmt: skip
    """Render people and label them."""
    number = int(rng.integers(len(stock.surroundings.panoramas))) if surroundings is None else surroundings
    turn = rng.uniform(-np.pi, np.pi) if surroundings is None else 0.0
    around = axis_angle_to_rotmat(np.array([0.0, turn, 0.0]))
    background = _background(stock, number, camera, around, width, height, rng)
    depth = np.full((height, width), raster.FAR, np.float32)
    face_ids, owner = np.full((height, width), -1, np.int32), np.full((height, width), -1, np.int32)
    own_depth, own_ids = depth.copy(), face_ids.copy()
    textures, focal = stock.wardrobe.textures, camera.focal_px
    meshes = [_mesh(p.vertices, p.normals, p.person) for p in people]
    if clutter:
        meshes += [_box(stock, people, width, height, focal, rng) for _ in range(rng.poisson(0.5))]
    first, covered = 0, []
    for i, mesh in enumerate(meshes):
        covered.append(
            raster.rasterise(
                mesh.points, mesh.faces, mesh.face_uv, mesh.face_texture, textures, focal, first, own_depth, own_ids
            )
        )
        raster.merge(depth, face_ids, owner, own_depth, own_ids, i)
        first += len(mesh.faces)
    picture = background
    if meshes:
        _ground_shadows(picture, people, camera, depth)
        _shade(picture, meshes, textures, face_ids, camera, stock.surroundings.radiance[number], around, rng)
    image = _develop(picture, rng)
    return _labelled(stock.body, image, people, covered, depth, owner, focal)


@dataclass(frozen=True)
class _Mesh:
    points: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    face_uv: np.ndarray
    face_texture: np.ndarray
    face_gain: np.ndarray


def _mesh(points: np.ndarray, normals: np.ndarray, person: Person) -> _Mesh:
    return _Mesh(points, normals, person.faces, person.face_uv, person.face_texture, person.face_gain)


def _box(stock: Stock, people: list[Posed], width: int, height: int, focal: float, rng: np.random.Generator) -> _Mesh:
    """A patterned box somewhere before or between the people, or anywhere when there are none."""
    if people:
        near = people[rng.integers(len(people))]
        depth = (near.transl[2]) * rng.uniform(0.55, 0.95)
        at = near.joints[rng.integers(22), :2] / near.joints[0, 2] * depth + rng.normal(0, 0.3, 2)
    else:
        depth = rng.uniform(1.5, 8)
        at = rng.uniform(-0.5, 0.5, 2) * np.array([width, height]) / focal * depth
    size = np.exp(rng.normal(-1.9, 0.6, 3))
    corners = CUBE * size @ axis_angle_to_rotmat(rng.normal(0, 0.7, 3)).T
    points = (corners + np.array([*at, max(depth, 0.4)])).astype(np.float32)
    flat = points[CUBE_FACES].reshape(-1, 3)
    faces = np.arange(len(flat), dtype=np.int32).reshape(-1, 3)
    triangles = flat.reshape(-1, 3, 3)
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
    texture = np.full(len(faces), rng.choice(stock.wardrobe.patterns), np.int32)
    gain = np.broadcast_to(rng.uniform(0.2, 1.1, 3), (len(faces), 3)).astype(np.float32)
    return _Mesh(flat, np.repeat(normal, 3, 0).astype(np.float32), faces, CUBE_UV, texture, gain)


def _background(
    stock: Stock,
    number: int,
    camera: SceneCamera,
    around: np.ndarray,
    width: int,
    height: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """(H, W, 3) linear light."""
    if rng.random() < 0.1:
        pattern = stock.wardrobe.textures[rng.choice(stock.wardrobe.patterns)][..., :3]
        image = cv2.resize(pattern, (width, height), interpolation=cv2.INTER_CUBIC)
    else:
        # A little zoom out keeps the panorama's coarse pixels from blowing up.
        image = view(
            stock.surroundings.panoramas[number], width, height, camera.focal_px, around @ camera.camera_from_world.T
        )
    return (image.astype(np.float32) / 255) ** 2


def _ground_shadows(picture: np.ndarray, people: list[Posed], camera: SceneCamera, depth: np.ndarray) -> None:
    """Soft dark ellipses under feet that stand on the ground."""
    height, width = depth.shape
    shade = np.ones((height, width), np.float32)
    for posed in people:
        for foot in (10, 11):
            at = posed.joints[foot].copy()
            world = camera.camera_from_world.T @ at + camera.position
            if world[1] > 0.25 or at[2] < 0.3:
                continue
            x, y = at[:2] / at[2] * camera.focal_px + [width / 2, height / 2]
            radius = 0.28 / at[2] * camera.focal_px
            if 1 < radius < width and -width < x < 2 * width and -height < y < 2 * height:
                cv2.ellipse(shade, (int(x), int(y)), (int(radius), max(int(radius * 0.35), 1)), 0, 0, 360, 0.62, -1)
    sigma = max(width / 160, 1)
    picture *= cv2.GaussianBlur(shade, (0, 0), sigma)[..., None]


def _shade(
    picture: np.ndarray, meshes: list[_Mesh], textures: np.ndarray, face_ids: np.ndarray, camera: SceneCamera,
    radiance: np.ndarray, around: np.ndarray, rng: np.random.Generator,
) -> None:  # fmt: skip
    starts = np.cumsum([0] + [len(mesh.points) for mesh in meshes])
    joined = {
        name: np.concatenate([getattr(mesh, name) for mesh in meshes])
        for name in ("points", "normals", "face_uv", "face_texture", "face_gain")
    }
    faces = np.concatenate([mesh.faces + start for mesh, start in zip(meshes, starts, strict=False)]).astype(np.int32)
    camera_from_panorama = camera.camera_from_world @ around.T
    light = irradiance(radiance, camera_from_panorama)
    light = light / max(light[0].mean(), 1e-3) * rng.uniform(0.55, 1.1)
    sun = np.zeros(6, np.float32)
    if rng.random() < 0.6:
        direction = rng.normal(0, 1, 3)
        direction[1] = abs(direction[1]) + 0.3
        sun[:3] = camera.camera_from_world @ (direction / np.linalg.norm(direction))
        sun[3:] = rng.uniform(0.1, 0.7) * np.array([1, rng.uniform(0.85, 1), rng.uniform(0.7, 1)])
    raster.shade(
        joined["points"], joined["normals"], faces, joined["face_uv"], joined["face_texture"], joined["face_gain"],
        textures, face_ids, camera.focal_px, light.astype(np.float32), sun, picture,
    )  # fmt: skip


def _develop(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8: exposure, white balance, blur, noise, compression."""
    picture = picture * np.exp(rng.normal(0, 0.2)) * rng.uniform(0.92, 1.08, 3).astype(np.float32)
    image = np.sqrt(np.clip(picture, 0, 1))
    image = (image - 0.5) * rng.uniform(0.8, 1.2) + 0.5
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.3))
    image = image * 255 + rng.normal(0, 1, image.shape).astype(np.float32) * rng.uniform(0, 7)
    image = image.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))]
        image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    return image


def _labelled(
    body: BodyModel,
    image: np.ndarray,
    people: list[Posed],
    covered: list[int],
    depth: np.ndarray,
    owner: np.ndarray,
    focal: float,
) -> Sample:
    height, width = depth.shape
    size = np.array([width, height], np.float32)
    rows = []
    for i, posed in enumerate(people[:MAX_PEOPLE]):
        in_front = posed.vertices[:, 2] > raster.NEAR
        points = posed.vertices[in_front, :2] / posed.vertices[in_front, 2:] * focal + size / 2
        if not len(points):
            continue
        inside = ((points >= 0) & (points < size)).all(-1).mean()
        pixels = int((owner == i).sum())
        visible = inside * pixels / max(covered[i], 1)
        if visible < MIN_VISIBLE or pixels < MIN_PIXELS:
            continue
        box = np.concatenate([points.min(0).clip(0, size), points.max(0).clip(0, size)])
        rows.append((posed, i, box, visible))
    count = len(rows)

    def stacked(values: list, shape: tuple[int, ...]) -> np.ndarray:
        return np.stack(values).astype(np.float32) if count else np.zeros((0, *shape), np.float32)

    joints = stacked([posed.joints for posed, *_ in rows], (144, 3))
    visible_joints = [joints_visible(posed.joints, i, depth, owner, focal) for posed, i, *_ in rows]
    return Sample(
        image=image,
        focal_px=focal,
        full_pose=stacked([posed.full_pose for posed, *_ in rows], (55, 3)),
        betas=stacked([posed.person.betas for posed, *_ in rows], (10,)),
        expression=stacked([posed.expression for posed, *_ in rows], (10,)),
        transl=stacked([posed.transl for posed, *_ in rows], (3,)),
        joints=joints,
        joints_visible=np.stack(visible_joints) if count else np.zeros((0, 144), bool),
        boxes_xyxy_px=stacked([box for *_, box, _ in rows], (4,)),
        left_hand_boxes_xyxy_px=_around(joints, [20, *range(25, 40), *range(66, 71)], focal, size),
        right_hand_boxes_xyxy_px=_around(joints, [21, *range(40, 55), *range(71, 76)], focal, size),
        face_boxes_xyxy_px=_around(joints, [*range(55, 60), *range(76, 144)], focal, size),
        visible_fraction=np.array([visible for *_, visible in rows], np.float32),
    )


def joints_visible(joints: np.ndarray, person: int, depth: np.ndarray, owner: np.ndarray, focal: float) -> np.ndarray:
    """(144,) bool: inside the picture, and the surface there is the person's own or not much before the joint."""
    height, width = depth.shape
    z = np.maximum(joints[:, 2], 1e-3)
    x = np.floor(joints[:, 0] / z * focal + width / 2).astype(int)
    y = np.floor(joints[:, 1] / z * focal + height / 2).astype(int)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (joints[:, 2] > raster.NEAR)
    x, y = x.clip(0, width - 1), y.clip(0, height - 1)
    return inside & ((owner[y, x] == person) | (depth[y, x] > joints[:, 2] - JOINT_DEPTH))


def _around(joints: np.ndarray, which: list[int], focal: float, size: np.ndarray) -> np.ndarray:
    """(P, 4) boxes around some joints (P, 144, 3), a quarter larger, not clipped."""
    points = joints[:, which, :2] / np.maximum(joints[:, which, 2:], 1e-3) * focal + size / 2
    low, high = points.min(1), points.max(1)
    grow = (high - low) * 0.125
    return np.concatenate([low - grow, high + grow], -1).astype(np.float32)
