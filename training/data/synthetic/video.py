"""Render a short video of moving people, with their exact motion as a Mocap file beside it:

python -m training.data.synthetic.video --out plaza.mp4 --poses DIR --backgrounds DIR --wardrobe DIR

That is the demo's; `--seed 1` draws another: who, where, what they do, before which surroundings. `--count 120` draws
so many, of the numbers from there on, into the folder `--out`; `--every 28` renders every so manyth frame alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from scipy.ndimage import gaussian_filter1d
from tqdm import tqdm

from aios_core import mocap
from aios_core.body.body_model import BodyModel
from aios_core.body.joints import BODY, COCO17_FROM_144, JAW, LEFT_HAND, RIGHT_HAND
from aios_core.errors import AiosError, FootageError
from aios_core.evaluation.motion import soles_in_world
from aios_core.output import whole_file
from aios_core.pipeline.refine.feet import NOISELESS, contacts
from training.data.sample import joints_px
from training.data.synthetic.drawing import SceneCamera, Setting, draw
from training.data.synthetic.generate import Materials, load_stock
from training.data.synthetic.labels import label
from training.data.synthetic.motion import clip_lengths, load_clip
from training.data.synthetic.people import dress
from training.data.synthetic.posing import Posed, pelvis_height, pose_person
from training.data.synthetic.scene import Stock, looking, turned
from training.data.synthetic.surroundings import brightest_direction, goes_all_around

FPS = 30
"""Of the clips, so that no frame is interpolated."""
NEAREST = 0.7
"""Metres between people at the beginning of a drawn film."""


@dataclass(frozen=True)
class Role:
    """Who does what, where."""

    name: str
    clip: str
    start: int
    """First frame of the clip."""
    place: tuple[float, float]
    """Where the pelvis is over the ground at first, metres right of the camera and ahead of it."""
    yaw: float
    """Turn of the whole clip about the vertical, radians."""
    look: int
    """Seed of shape and clothes."""


@dataclass(frozen=True)
class Film:
    """A video to be rendered."""

    roles: tuple[Role, ...]
    surroundings: str
    surroundings_turn: float
    """Turn of the surroundings about the vertical, radians."""
    frames: int = 150
    width: int = 960
    height: int = 540
    focal_px: float = 820.0
    eye: float = 1.6
    """Height of the camera, metres."""
    pitch: float = 0.1
    """Downwards, radians."""


PLAZA = Film(
    roles=(
        Role("dancer", "dance-body-roll", 20, (-1.15, 4.3), np.pi, 3),
        Role("boxer", "02_05", 60, (1.15, 4.4), np.pi * 1.15, 8),
        Role("walker", "02_01", 0, (-0.6, 3.6), -np.pi / 2, 10),
    ),
    surroundings="modern_buildings_2",
    surroundings_turn=0.2,
)


def main() -> int:
    """Parse the command line and render; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help=".mp4; the truth goes beside it as .truth.npz")
    parser.add_argument("--poses", type=Path, required=True)
    parser.add_argument("--backgrounds", type=Path, required=True)
    parser.add_argument("--wardrobe", type=Path)
    parser.add_argument("--frames", type=int, default=PLAZA.frames)
    parser.add_argument("--seed", type=int, help="a film drawn from this number instead of the demo's")
    parser.add_argument("--count", type=int, help="so many drawn films, into the folder --out")
    parser.add_argument("--every", type=int, default=1, help="render every so manyth frame")
    options = parser.parse_args()
    materials = Materials(options.poses, options.backgrounds, options.wardrobe)
    first = 0 if options.seed is None else options.seed
    if options.every < 1:
        parser.error("--every is 1 or more.")
    try:
        if options.count is None:
            film = PLAZA if options.seed is None else drawn_film(materials, options.seed, options.frames)
            render_video(film, materials, options.out, options.frames, options.every)
            return 0
        options.out.mkdir(parents=True, exist_ok=True)
        for seed in range(first, first + options.count):
            film, path = drawn_film(materials, seed, options.frames), options.out / f"film-{seed:05d}.mp4"
            render_video(film, materials, path, options.frames, options.every)
    except AiosError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def drawn_film(materials: Materials, seed: int, frames: int) -> Film:
    """Two to five people at random, in view of a camera at random; the same seed and materials give the same film.

    Raises:
        AiosError: materials are missing, or no surroundings go all around.
    """
    rng = np.random.default_rng(seed)
    surroundings = load_stock(materials).surroundings
    around = [
        name for name, picture in zip(surroundings.names, surroundings.panoramas, strict=True)
        if goes_all_around(picture)
    ]  # fmt: skip
    if not around:
        raise FootageError("A film needs surroundings that go all around.")
    lengths = clip_lengths(materials.poses)
    clips = [name for name, count in lengths.items() if count >= frames] or list(lengths)
    focal_px, roles, places = float(rng.uniform(600, 1200)), [], []
    count = int(rng.integers(2, 6))
    while len(roles) < count:
        ahead = float(rng.uniform(3.2, 7.0))
        place = float(rng.uniform(-0.38, 0.38)) * Film.width / focal_px * ahead, ahead
        if any(np.hypot(place[0] - x, place[1] - z) < NEAREST for x, z in places):
            continue
        clip = str(rng.choice(clips))
        start = int(rng.integers(max(lengths[clip] - frames, 0) + 1))
        yaw, look = float(rng.uniform(-np.pi, np.pi)), int(rng.integers(2**31))
        roles.append(Role(f"{clip} {len(roles) + 1}", clip, start, place, yaw, look))
        places.append(place)
    eye = float(rng.uniform(1.0, 2.0))
    return Film(
        tuple(roles), str(rng.choice(around)), float(rng.uniform(-np.pi, np.pi)), frames, focal_px=focal_px, eye=eye,
        pitch=float(np.arctan2(eye - 0.95, 5.0)),
    )  # fmt: skip


def render_video(film: Film, materials: Materials, out: Path, frames: int | None = None, every: int = 1) -> mocap.Mocap:
    """Write the film's first frames, or every so manyth of them, to `out` (.mp4) and its truth to `.truth.npz` beside
    it; the truth.

    Raises:
        AiosError: materials are missing, or the files cannot be written.
    """
    stock = load_stock(materials)
    count = film.frames if frames is None else frames
    camera = SceneCamera(film.focal_px, looking(0.0, film.pitch, 0.0), np.array([0.0, film.eye, 0.0]))
    setting = film_setting(stock, film)
    performances = [perform(stock, materials.poses, role, camera, count, every) for role in film.roles]
    rows: list[list[tuple]] = [[] for _ in film.roles]
    timestamps, fps = np.arange(0, count, every) / FPS, Fraction(FPS, every)

    def pictures() -> Iterator[np.ndarray]:
        rng = np.random.default_rng(0)
        for frame in tqdm(range(len(timestamps)), unit="frame"):
            # Nobody is drawn for a role whose clip has ended.
            cast = [(i, acts[frame]) for i, acts in enumerate(performances) if frame < len(acts)]
            people = [posed for _, posed in cast]
            meshes = [posed.mesh() for posed in people]
            drawing = draw(meshes, stock.wardrobe.mips, camera, setting, film.width, film.height)
            image = np.sqrt(drawing.picture.clip(0, 1)) * 255 + rng.normal(0, 1.2, drawing.picture.shape)
            image = image.clip(0, 255).astype(np.uint8)
            sample = label(image, people, drawing, film.focal_px)
            keypoints = joints_px(sample)[:, COCO17_FROM_144]
            for p, transl in enumerate(sample.transl):
                role, posed = next((i, posed) for i, posed in cast if np.array_equal(posed.transl, transl))
                rows[role].append((frame, posed, sample.boxes_xyxy_px[p], keypoints[p]))
            yield image

    with whole_file(out) as temporary:
        encode(temporary, pictures(), film.width, film.height, fps)
    truth = mocap.Mocap(
        source=out.name,
        source_kind="video",
        width=film.width,
        height=film.height,
        fps=fps,
        timestamps=timestamps,
        camera=mocap.Camera(film.focal_px, (film.width / 2, film.height / 2)),
        camera_to_world=upright(camera)[None],
        weights="truth",
        body_family=stock.body.family,
        gender=stock.body.gender,
        tracks=tuple(_track(i, role.name, rows[i]) for i, role in enumerate(film.roles) if rows[i]),
    )
    truth = with_contacts(truth, stock.body)
    mocap.save(truth, out.with_suffix(".truth.npz"))
    return truth


def with_contacts(truth: mocap.Mocap, body: BodyModel) -> mocap.Mocap:
    """The truth with the soles that stand, read off its exact motion."""
    tracks = []
    for track in truth.tracks:
        soles = soles_in_world(truth, track, body)
        eyes = np.tile(truth.camera_to_world[0, :3, 3], (len(track), 1))
        standing = contacts(soles, eyes, truth.timestamps[track.frames], NOISELESS)
        tracks.append(replace(track, contacts=standing))
    return replace(truth, tracks=tuple(tracks))


UPRIGHT_FROM_SCENE = np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]])
"""From the renderer's world, y up, to a Mocap's, z up; the camera's right becomes +x and ahead +y."""


def upright(camera: SceneCamera) -> np.ndarray:
    """(4, 4) from the camera's space to a world with z up and the ground at z = 0."""
    matrix = np.eye(4)
    matrix[:3, :3] = UPRIGHT_FROM_SCENE @ camera.camera_from_world.T
    matrix[:3, 3] = UPRIGHT_FROM_SCENE @ camera.position
    return matrix


def film_setting(stock: Stock, film: Film) -> Setting:
    """The film's surroundings, with the sun where they are brightest.

    Raises:
        FootageError: there are no surroundings of this name.
    """
    if film.surroundings not in stock.surroundings.names:
        raise FootageError(f"There are no surroundings called {film.surroundings}.")
    number = stock.surroundings.names.index(film.surroundings)
    c, s = np.cos(film.surroundings_turn), np.sin(film.surroundings_turn)
    panorama_from_world = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return Setting(
        panorama=stock.surroundings.panoramas[number],
        is_flat=False,
        radiance=stock.surroundings.radiance[number],
        panorama_from_world=panorama_from_world,
        ambient=0.7,
        sun_direction=panorama_from_world.T @ brightest_direction(stock.surroundings.radiance[number]),
        sun_colour=np.array([0.6, 0.57, 0.5]),
    )


def perform(stock: Stock, poses: Path, role: Role, camera: SceneCamera, frames: int, every: int = 1) -> list[Posed]:
    """Every so manyth frame of the role, up to `frames` or the end of its clip, its feet on the ground most of the
    time."""
    relaxed = np.stack([stock.body.hands_mean_left, stock.body.hands_mean_right])
    clip = load_clip(poses, role.clip, relaxed)
    pose = clip.full_pose[role.start : role.start + frames].copy()
    person = dress(stock.body, stock.wardrobe, np.random.default_rng(role.look))
    pose[:, 0] = turned(pose[:, 0], role.yaw)
    moved = gaussian_filter1d(clip.transl[role.start : role.start + frames], 1.5, axis=0)  # stored in half precision
    heights = [pelvis_height(person, p, stock.body.parents) for p in pose]
    lift = float(np.median(heights - moved[:, 1]))
    c, s = np.cos(role.yaw), np.sin(role.yaw)
    way = moved - moved[0]
    # The camera's right is the world's -x, since it looks along +z.
    east = c * way[:, 0] + s * way[:, 2] - role.place[0]
    ahead = -s * way[:, 0] + c * way[:, 2] + role.place[1]
    pelvis = np.stack([east, moved[:, 1] + lift, ahead], -1)
    calm = np.zeros(10, np.float32)
    shown = zip(pose[::every], pelvis[::every], strict=True)
    return [pose_person(stock.body, person, p, calm, at, camera) for p, at in shown]


def _track(number: int, name: str, rows: list[tuple]) -> mocap.Track:
    frames, posed, boxes, keypoints = zip(*rows, strict=True)
    pose = np.stack([p.full_pose for p in posed])
    count = len(frames)
    return mocap.Track(
        id=number,
        name=name,
        frames=np.array(frames, np.int32),
        global_orient=pose[:, 0],
        body_pose=pose[:, BODY],
        left_hand_pose=pose[:, LEFT_HAND],
        right_hand_pose=pose[:, RIGHT_HAND],
        jaw_pose=pose[:, JAW],
        expression=np.stack([p.expression for p in posed]),
        betas=posed[0].person.betas,
        transl=np.stack([p.transl for p in posed]),
        scores=np.ones(count, np.float32),
        boxes_xyxy_px=np.stack(boxes),
        keypoints_px=np.stack(keypoints),
        key_kinds=np.full(count, mocap.MEASURED, np.uint8),
        confidence=np.ones((count, 4), np.float32),
        contacts=np.zeros((count, 4), bool),
    )


def encode(path: Path, pictures: Iterator[np.ndarray], width: int, height: int, fps: Fraction) -> None:
    """Write pictures (H, W, 3) uint8 as an H.264 video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "23", "preset": "slow"}
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    sys.exit(main())
