"""The people of a Mocap drawn over its footage: shaded meshes, one colour each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from aios_core.body.body_model import BodyModel
from aios_core.body.skinning import full_pose, pose_body
from aios_core.body.transfer import body_for_shape
from aios_core.errors import OutputError
from aios_core.media import Frame, open_footage
from aios_core.mocap import Camera, Mocap, Track
from aios_core.output import check_writable, whole_file

COLOURS = np.array(
    [[86, 180, 233], [240, 170, 60], [70, 190, 130], [225, 110, 150], [235, 220, 90], [150, 130, 230], [215, 95, 70],
     [120, 205, 205]], np.float32
)  # fmt: skip
OPACITY = 0.82
LIGHT = np.array([-0.35, -0.6, -0.72], np.float32)
"""From the surface towards the light, camera space: above, left, behind the camera."""
NEAR = 0.05


def draw_preview(
    mocap: Mocap,
    footage_path: str | os.PathLike,
    body: BodyModel,
    output: str | os.PathLike,
    on_frame: Callable[[int], None] = lambda _: None,
) -> None:
    """Draw the people over the footage and write a picture (.png, .jpg) or a video (.mp4) to `output`.

    A video or sequence drawn into a picture gives its middle frame.

    Raises:
        FootageError: the footage cannot be read.
        OutputError: the output cannot be written.
    """
    output = check_writable(output)
    footage = open_footage(footage_path)
    bodies = [body_for_shape(body, track.betas, mocap.body_family)[:2] for track in mocap.tracks]
    by_frame = _rows_by_frame(mocap)

    def drawn(only: int | None = None) -> Iterator[np.ndarray]:
        for frame in footage:
            i = _mocap_frame(frame, mocap)
            if i is not None and only in (None, i):
                yield draw_people(frame.rgb, mocap, bodies, by_frame.get(i, []))
                on_frame(i)

    if output.suffix.lower() == ".mp4":
        _write_video(drawn(), output, _drawn_fps(mocap))
        return
    picture = next(drawn(only=mocap.frame_count // 2), None)
    with whole_file(output) as temporary:
        if picture is None or not cv2.imwrite(str(temporary), picture[..., ::-1]):
            raise OutputError(f"Cannot write {output}: the footage does not fit the Mocap, or the format is unknown.")


def _mocap_frame(frame: Frame, mocap: Mocap) -> int | None:
    """The Mocap's frame that a frame of the footage is, or None when it was not looked at."""
    at = int(np.searchsorted(mocap.timestamps, frame.timestamp - 1e-4))
    near = at < mocap.frame_count and abs(mocap.timestamps[at] - frame.timestamp) < 1e-3
    return at if near else None


def _drawn_fps(mocap: Mocap) -> Fraction:
    """The footage's frame rate, or less where only every n-th frame was looked at."""
    if mocap.frame_count < 2:
        return mocap.fps
    step = round(float(np.median(np.diff(mocap.timestamps))) * float(mocap.fps))
    return mocap.fps / max(step, 1)


def _rows_by_frame(mocap: Mocap) -> dict[int, list[tuple[int, int]]]:
    """For every frame the (track, key) pairs in it."""
    rows: dict[int, list[tuple[int, int]]] = {}
    for t, track in enumerate(mocap.tracks):
        for k, frame in enumerate(track.frames):
            rows.setdefault(int(frame), []).append((t, k))
    return rows


def draw_people(
    rgb: np.ndarray, mocap: Mocap, bodies: list[tuple[BodyModel, np.ndarray]], rows: list[tuple[int, int]]
) -> np.ndarray:
    """The picture (H, W, 3) uint8 with some (track, key) people drawn over it, nearest in front."""
    depth = np.full(rgb.shape[:2], np.inf, np.float32)
    layer = np.zeros(rgb.shape, np.float32)
    for t, k in rows:
        body, betas = bodies[t]
        vertices = person_vertices(body, betas, mocap.tracks[t], k)
        colour = COLOURS[(mocap.tracks[t].id - 1) % len(COLOURS)]
        draw_mesh(layer, depth, vertices, body.faces, mocap.camera, colour)
    covered = np.isfinite(depth)
    mask = cv2.GaussianBlur(covered.astype(np.float32), (3, 3), 0)[..., None] * OPACITY
    filled = np.where(covered[..., None], layer, rgb)
    return (rgb * (1 - mask) + filled * mask).round().astype(np.uint8)


def person_vertices(body: BodyModel, betas: np.ndarray, track: Track, key: int) -> np.ndarray:
    """(V, 3) camera space, metres, of one key of a track."""
    pose = full_pose(
        track.global_orient[key], track.body_pose[key], track.left_hand_pose[key], track.right_hand_pose[key],
        track.jaw_pose[key],
    )  # fmt: skip
    return pose_body(body, betas, track.expression[key], pose, track.transl[key]).vertices


def draw_mesh(
    layer: np.ndarray, depth: np.ndarray, vertices: np.ndarray, faces: np.ndarray, camera: Camera, colour: np.ndarray
) -> None:
    """Draw a shaded mesh into layer (H, W, 3) and depth (H, W) where it is nearer than what is there.

    All triangles at once: every pixel of every triangle's bounding box is tested, the nearest per pixel wins.
    """
    height, width = depth.shape
    points = camera.project(vertices)
    corners, z = points[faces], vertices[faces][..., 2]  # (F, 3, 2), (F, 3)
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
    low = np.maximum(np.ceil(corners.min(1) - 0.5), 0)
    high = np.minimum(np.floor(corners.max(1) - 0.5), [width - 1, height - 1])
    # Seen from outside, a triangle of an outward mesh turns clockwise on the screen (y down).
    shown = (z.min(1) > NEAR) & (area < -1e-9) & (high >= low).all(1)
    low, sides = low[shown].astype(np.int64), (high - low)[shown].astype(np.int64) + 1
    corners, z, area, normals = corners[shown], z[shown], area[shown], _normals(vertices, faces)[faces[shown]]
    counts = sides.prod(1)
    triangle = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(triangle)) - np.repeat(np.cumsum(counts) - counts, counts)
    x = low[triangle, 0] + within % sides[triangle, 0]
    y = low[triangle, 1] + within // sides[triangle, 0]
    weights = _barycentric(np.stack([x, y], -1) + 0.5, corners[triangle], area[triangle])
    inside = (weights >= 0).all(1)
    triangle, weights, place = triangle[inside], weights[inside], (y * width + x)[inside]
    weights = weights / z[triangle]
    pixel_depth = 1 / weights.sum(1)
    weights = weights * pixel_depth[:, None]
    order = np.lexsort((pixel_depth, place))
    nearest = order[np.r_[True, np.diff(place[order]) > 0]] if len(order) else order
    nearest = nearest[pixel_depth[nearest] < depth.ravel()[place[nearest]]]
    place, triangle, weights = place[nearest], triangle[nearest], weights[nearest]
    depth.ravel()[place] = pixel_depth[nearest]
    normal = (normals[triangle] * weights[..., None]).sum(1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    light = 0.38 + 0.62 * np.clip(normal @ (LIGHT / np.linalg.norm(LIGHT)), 0, 1)
    rim = 0.75 + 0.25 * np.clip(-normal[:, 2], 0, 1)
    layer.reshape(-1, 3)[place] = colour * (light * rim)[:, None]


def _barycentric(points: np.ndarray, corners: np.ndarray, area: np.ndarray) -> np.ndarray:
    """(N, 3) weights of points (N, 2) in triangles (N, 3, 2) with doubled signed areas (N,)."""
    a, b, c = corners[:, 0] - points, corners[:, 1] - points, corners[:, 2] - points
    wa = (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0]) / area
    wb = (c[:, 0] * a[:, 1] - c[:, 1] * a[:, 0]) / area
    return np.stack([wa, wb, 1 - wa - wb], 1)


def _normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(V, 3) outward vertex normals, weighted by area."""
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat = faces.ravel()
    return np.stack([np.bincount(flat, np.repeat(normal[:, k], 3), len(vertices)) for k in range(3)], 1)


def _write_video(frames: Iterator[np.ndarray], output: Path, fps: Fraction) -> None:
    with whole_file(output) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "18", "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        for rgb in frames:
            # 4:2:0 needs even sides.
            rgb = rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
            if not stream.codec_context.is_open:
                stream.height, stream.width = rgb.shape[:2]
            for packet in stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
