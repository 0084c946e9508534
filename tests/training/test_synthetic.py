"""Synthetic pictures: labels agree with what is drawn, and shards keep them."""

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest

from aios_core import mocap
from aios_core.body.files import open_body
from aios_core.body.joints import COCO17_FROM_144, MIRROR_COCO17
from aios_core.body.skinning import full_pose, mirrored_pose, pose_joints
from aios_core.errors import BodyFileError, FootageError
from aios_core.media import open_footage
from training.data.sample import Sample, joints_px, list_shards, read_shard, write_shard
from training.data.synthetic import generate, video
from training.data.synthetic.crowd import STANDING_PX, crowd
from training.data.synthetic.drawing import SUPERSAMPLING, SceneCamera, draw
from training.data.synthetic.generate import Materials, load_stock, make_samples
from training.data.synthetic.labels import label
from training.data.synthetic.motion import sample_hand
from training.data.synthetic.objects import held_object, helmet, random_object
from training.data.synthetic.people import dress, load_wardrobe
from training.data.synthetic.posing import pelvis_height, pose_person
from training.data.synthetic.scene import clutter, crowded_stand, looking, random_setting, render_empty, spectators
from training.data.synthetic.still_life import flower, foliage, limb, roof, still_life, vessel
from training.data.synthetic.surroundings import filling, load_surroundings, view

WIDTH, HEIGHT = 96, 72


@pytest.fixture(scope="module")
def materials(tmp_path_factory):
    """Two clips of random standing poses and one striped panorama."""
    folder = tmp_path_factory.mktemp("materials")
    rng = np.random.default_rng(0)
    body_pose = rng.normal(0, 0.15, (8, 21, 3)).astype(np.float16)
    np.savez(
        folder / "clips.npz", body_pose=body_pose, global_orient=np.zeros((8, 3), np.float16),
        transl=np.zeros((8, 3), np.float16), clip_start=np.array([0, 4, 8]), clip_name=np.array(["sway", "nod"]),
    )  # fmt: skip
    panorama = np.zeros((32, 64, 3), np.uint8)
    panorama[:, ::4] = 255
    panorama[20:] = (60, 120, 60)
    cv2.imwrite(str(folder / "meadow.jpg"), panorama)
    return Materials(folder, folder)


@pytest.fixture(scope="module")
def stock(materials):
    return load_stock(materials)


@pytest.fixture(scope="module")
def samples(materials):
    return make_samples(materials, seed=3, number=0, count=12, size=(WIDTH, HEIGHT), people=3)


@pytest.fixture(scope="module")
def person(stock):
    return dress(stock.body, stock.wardrobe, np.random.default_rng(1))


def camera_ahead(distance: float = 0.0) -> SceneCamera:
    """A camera 1 m above the ground that looks along +z."""
    return SceneCamera(90.0, looking(0.0, 0.0, 0.0), np.array([0.0, 1.0, -distance]))


def standing(stock, person, at, pose=None):
    pose = np.zeros((55, 3), np.float32) if pose is None else pose
    place = np.array([at[0], pelvis_height(person, pose, stock.body.parents), at[1]])
    return pose_person(stock.body, person, pose, np.zeros(10, np.float32), place, camera_ahead())


def sample_of(stock, people, things=()):
    setting = random_setting(stock, WIDTH, HEIGHT, np.random.default_rng(0))
    meshes = [posed.mesh() for posed in people] + list(things)
    drawing = draw(meshes, stock.wardrobe.mips, camera_ahead(), setting, WIDTH, HEIGHT)
    return label((drawing.picture.clip(0, 1) * 255).astype(np.uint8), people, drawing, 90.0), drawing


def test_visible_joints_lie_inside_the_picture_and_the_persons_box(samples):
    people = 0
    for sample in samples:
        points = joints_px(sample)
        for p, box in enumerate(sample.boxes_xyxy_px):
            seen = points[p][sample.joints_visible[p]]
            assert (seen >= box[:2] - 0.5).all() and (seen <= box[2:] + 0.5).all()
            assert (box >= 0).all() and (box <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
            people += 1
    assert people > 10


def test_joints_are_those_of_the_body_model_with_the_labelled_pose(samples):
    body = open_body()
    for sample in samples:
        if len(sample.betas):
            joints = pose_joints(body, sample.betas, sample.full_pose, sample.transl)
            np.testing.assert_allclose(sample.joints[:, :55], joints, atol=2e-3)


def test_the_drawn_person_fills_the_labelled_box(stock, person):
    sample, drawing = sample_of(stock, [standing(stock, person, (0.1, 3.0))])
    rows, columns = np.nonzero(drawing.owner == 0)
    drawn = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / SUPERSAMPLING
    np.testing.assert_allclose(sample.boxes_xyxy_px[0], drawn, atol=1.01)
    assert sample.visible_fraction[0] == pytest.approx(1.0, abs=0.01)


def test_the_left_hand_of_a_person_who_faces_the_camera_is_on_the_right_of_the_picture(stock, person):
    facing = np.zeros((55, 3), np.float32)
    facing[0, 1] = np.pi
    sample, _ = sample_of(stock, [standing(stock, person, (0.0, 3.0), facing)])
    assert sample.left_hand_boxes_xyxy_px[0, 0] > WIDTH / 2 > sample.right_hand_boxes_xyxy_px[0, 2]
    assert sample.face_boxes_xyxy_px[0, 1] < sample.left_hand_boxes_xyxy_px[0, 1]


def test_a_mirrored_scene_has_mirrored_labels(stock, person):
    pose = np.random.default_rng(2).normal(0, 0.2, (55, 3)).astype(np.float32)
    one, _ = sample_of(stock, [standing(stock, person, (0.4, 3.0), pose)])
    other, _ = sample_of(stock, [standing(stock, person, (-0.4, 3.0), mirrored_pose(pose))])
    mirrored = joints_px(other)[0, COCO17_FROM_144[MIRROR_COCO17]] * [-1, 1] + [WIDTH, 0]
    np.testing.assert_allclose(joints_px(one)[0, COCO17_FROM_144], mirrored, atol=0.5)
    x0, y0, x1, y1 = other.boxes_xyxy_px[0]
    np.testing.assert_allclose(one.boxes_xyxy_px[0], [WIDTH - x1, y0, WIDTH - x0, y1], atol=0.5)


def test_who_stands_behind_somebody_is_seen_less_and_has_hidden_joints(stock, person):
    front, behind = standing(stock, person, (0.0, 2.5)), standing(stock, person, (0.35, 4.0))
    alone, _ = sample_of(stock, [behind])
    both, drawing = sample_of(stock, [front, behind])
    assert alone.joints_visible[0].all()
    assert both.visible_fraction[1] < 0.95 * alone.visible_fraction[0]
    assert both.joints_visible[0].all() and not both.joints_visible[1].all()
    samples_behind = (drawing.owner == 1).sum()
    assert both.visible_fraction[1] == pytest.approx(samples_behind / drawing.covered[1], abs=1e-3)


def test_a_thing_in_front_hides_the_joints_behind_it(stock, person):
    posed = standing(stock, person, (0.0, 3.0))
    things = [random_object([posed], stock.wardrobe.patterns, np.ones(2), np.random.default_rng(k)) for k in range(12)]
    sample, drawing = sample_of(stock, [posed], things)
    assert (drawing.owner > 0).any() and not sample.joints_visible[0].all()


def test_a_held_thing_is_at_a_hand(stock, person):
    posed = standing(stock, person, (0.0, 3.0))
    for k in range(12):
        mesh = held_object(posed, stock.wardrobe.patterns, np.random.default_rng(k))
        reach = np.linalg.norm(mesh.points[:, None] - posed.joints[[20, 21, 28, 43]], axis=-1).min(0)
        assert reach.min() < 0.25
        assert np.ptp(mesh.points, axis=0).max() < 0.8


def test_sampled_hands_stay_between_the_captured_ones():
    hands = np.stack([np.zeros((15, 3)), np.full((15, 3), 0.5)])
    drawn = np.stack([sample_hand(hands, np.random.default_rng(k)) for k in range(200)])
    assert drawn.min() >= 0 and drawn.max() <= 0.55 + 1e-9
    fingers = drawn.reshape(200, 5, 9).mean(-1)
    assert np.corrcoef(fingers.T)[0, 1:].min() > 0.5, "fingers bend together"
    assert np.ptp(fingers, axis=1).max() > 0.05, "but not all alike"


def test_people_who_cannot_be_seen_are_not_labelled(stock, person):
    hidden, outside, far = (standing(stock, person, at) for at in ((0.0, 4.0), (9.0, 3.0), (1.2, 40.0)))
    wall = standing(stock, person, (0.0, 0.9))
    sample, _ = sample_of(stock, [wall, hidden, outside, far])
    assert len(sample.betas) < 4 and not (sample.transl[:, 2] > 30).any() and not (sample.transl[:, 0] > 5).any()
    empty, _ = sample_of(stock, [outside])
    assert empty.joints.shape == (0, 144, 3) and empty.boxes_xyxy_px.shape == (0, 4)


def test_the_same_seed_gives_the_same_pictures(materials, samples):
    again = make_samples(materials, seed=3, number=0, count=2, size=(WIDTH, HEIGHT), people=3)
    for one, other in zip(samples, again, strict=False):
        assert all(np.array_equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(Sample))
    different = make_samples(materials, seed=4, number=0, count=1, size=(WIDTH, HEIGHT), people=3)
    assert not np.array_equal(samples[0].image, different[0].image)


def test_every_kind_of_pictures_has_shards_of_its_own(materials, tmp_path):
    generate.generate(tmp_path, 12, 1, (WIDTH, HEIGHT), materials)
    generate.generate(tmp_path, 12, 1, (WIDTH, HEIGHT), materials, kind="crowded")
    generate.generate(tmp_path, 12, 1, (WIDTH, HEIGHT), materials, kind="close")
    generate.generate(tmp_path, 2, 1, (WIDTH, HEIGHT), materials, kind="empty")
    assert list_shards(tmp_path) == [0, generate.CROWDED_SHARDS, generate.CLOSE_SHARDS, generate.EMPTY_SHARDS]
    counts = [read_shard(tmp_path, number).labels["counts"] for number in (0, generate.CROWDED_SHARDS)]
    assert counts[1].sum() > 1.2 * counts[0].sum(), counts
    metre_px = []
    for number in (0, generate.CLOSE_SHARDS):
        shard = read_shard(tmp_path, number)
        people = [shard.sample(i) for i in np.flatnonzero(shard.labels["counts"])]
        metre_px.append(np.median([p.focal_px / p.transl[:, 2].min() for p in people]))
    assert metre_px[1] > 1.5 * metre_px[0], metre_px
    shard = read_shard(tmp_path, generate.EMPTY_SHARDS)
    assert len(shard) == 2 and not shard.labels["counts"].any()
    assert shard.sample(0).joints.shape == (0, 144, 3)
    assert not np.array_equal(shard.images[0], shard.images[1])


def test_plain_pictures_stand_behind_people_too(materials, stock, tmp_path):
    plain = np.zeros((40, 30, 3), np.uint8)
    plain[:, 15:] = 200
    cv2.imwrite(str(tmp_path / "wall.png"), plain)
    surroundings = load_surroundings(tmp_path)
    setting = random_setting(replace(stock, surroundings=surroundings), WIDTH, HEIGHT, np.random.default_rng(0))
    assert setting.is_flat
    picture = render_empty(replace(stock, surroundings=surroundings), WIDTH, HEIGHT, np.random.default_rng(3)).image
    assert picture.shape == (HEIGHT, WIDTH, 3)
    filled = filling(plain, WIDTH, HEIGHT)
    assert filled.shape == (HEIGHT, WIDTH, 3)
    assert filled[:, 0].max() == 0 and filled[:, -1].min() == 200, "not stretched, not moved"


def test_clutter_is_sharp_where_the_view_of_a_small_panorama_is_blurred(stock):
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 255, (128, 256, 3), np.uint8)
    surroundings = replace(stock.surroundings, panoramas=[noise])
    picture = clutter(replace(stock, surroundings=surroundings), WIDTH, HEIGHT, rng)
    assert picture.shape == (HEIGHT, WIDTH, 3) and picture.dtype == np.uint8
    seen = view(noise, WIDTH, HEIGHT, float(WIDTH), np.eye(3))
    sharpness = [np.abs(cv2.Laplacian(image, cv2.CV_32F)).mean() for image in (picture, seen)]
    assert sharpness[0] > 1.5 * sharpness[1]
    tiny = replace(stock.surroundings, panoramas=[noise[:20, :30]])
    assert clutter(replace(stock, surroundings=tiny), WIDTH, HEIGHT, rng).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("shape", [vessel, flower, foliage, limb, roof, helmet])
def test_things_of_a_still_life_are_whole_and_about_as_large_as_the_unit_ball(shape):
    for seed in range(20):
        points, faces, uv, shades = shape(np.random.default_rng(seed))
        assert np.isfinite(points).all() and 0.3 < np.abs(points).max() < 3
        assert len(points) == len(uv) and faces.min() == 0 and faces.max() < len(points)
        assert len(shades) in (1, len(faces)) and shades.min() > 0


def test_a_helmet_is_dark_in_front_alone():
    for seed in range(20):
        points, faces, _, shades = helmet(np.random.default_rng(seed))
        dark = shades == shades.min()
        assert (points[faces[dark], 2] < 0.35).all() and 0.03 < dark.mean() < 0.5


def test_a_still_life_hides_much_of_its_surroundings(stock):
    rng = np.random.default_rng(0)
    camera = SceneCamera(80.0, looking(0, 0, 0), np.array([0, 1.0, 0]))
    setting = replace(random_setting(stock, WIDTH, HEIGHT, rng), panorama=np.zeros((4, 4, 3), np.uint8), is_flat=True)
    things = stock.wardrobe.patterns, stock.wardrobe.mips
    hidden = [(still_life(*things, camera, setting, WIDTH, HEIGHT, rng) > 0.01).any(-1).mean() for _ in range(20)]
    assert 0.1 < np.mean(hidden) < 0.8 and np.ptp(hidden) > 0.3, hidden


def test_a_crowd_stands_close_and_ends_where_the_ground_begins():
    red = np.zeros((STANDING_PX, 30, 4), np.uint8)
    red[...] = (200, 0, 0, 255)
    grey, ground = np.full((200, 300, 3), 90, np.uint8), np.full((8, 8, 3), (0, 0, 255), np.uint8)
    for seed in range(6):
        picture = crowd(grey, [red], ground, ground, np.random.default_rng(seed))
        is_red = picture[..., 0] > 1.5 * picture[..., 1].clip(1)
        is_ground = picture[..., 2] == 255
        assert is_red[~is_ground].mean() > 0.2, "spectators stand close"
        first = np.flatnonzero(is_ground.all(1))
        assert not len(first) or (is_ground[first[0] :].all() and not is_ground[: first[0]].any())


def test_spectators_are_cut_out_of_their_surroundings(stock, person):
    figures = spectators(replace(stock, people=[person]), 3, np.random.default_rng(0))
    for figure in figures:
        assert figure.dtype == np.uint8 and 0.5 * STANDING_PX < figure.shape[0] <= 2 * STANDING_PX
        assert figure[..., 3].max() == 255 and (figure[..., 3] == 0).mean() > 0.2, "a person does not fill its box"
        assert figure[..., 3].max(1).all() and figure[..., 3].max(0).all(), "cut close"
    with_crowd = replace(stock, people=[person], spectators=figures)
    assert crowded_stand(with_crowd, WIDTH, HEIGHT, np.random.default_rng(1)).shape == (HEIGHT, WIDTH, 3)


def test_the_surroundings_turn_with_the_camera():
    panorama = np.zeros((64, 128, 3), np.uint8)
    panorama[28:36, 124:] = 255  # azimuth a little past -pi: behind
    panorama[28:36, :4] = 255
    assert view(panorama, 32, 32, 40.0, looking(0.0, 0.0, 0.0).T).max() == 0
    behind = view(panorama, 32, 32, 40.0, looking(np.pi, 0.0, 0.0).T)
    rows, columns = np.nonzero(behind[..., 0] > 128)
    assert abs(rows.mean() - 15.5) < 1 and abs(columns.mean() - 15.5) < 1


def test_shards_keep_samples_and_appear_to_who_looks_again(samples, tmp_path):
    write_shard(tmp_path, 0, samples[:5])
    assert list_shards(tmp_path) == [0]
    write_shard(tmp_path, 1, samples[5:])
    assert list_shards(tmp_path) == [0, 1]
    kept = [read_shard(tmp_path, 0).sample(i) for i in range(5)] + [
        read_shard(tmp_path, 1).sample(i) for i in range(len(samples) - 5)
    ]
    for one, other in zip(samples, kept, strict=True):
        assert other.focal_px == pytest.approx(one.focal_px)
        for name in (f.name for f in fields(Sample) if f.name != "focal_px"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_smaller_shards_are_numbered_on(materials, tmp_path):
    generate.generate(tmp_path, 5, 5, (WIDTH, HEIGHT), materials, shard_pictures=2, kind="empty")
    shards = list_shards(tmp_path)
    assert shards == [generate.EMPTY_SHARDS + i for i in range(3)]
    assert [len(read_shard(tmp_path, number)) for number in shards] == [2, 2, 1]


def test_generating_again_keeps_the_shards_that_are_there(materials, tmp_path):
    generate.generate(tmp_path, 2, 5, (WIDTH, HEIGHT), materials)
    before = (tmp_path / "images-00000.npy").stat().st_mtime_ns
    generate.generate(tmp_path, 2, 5, (WIDTH, HEIGHT), materials)
    assert (tmp_path / "images-00000.npy").stat().st_mtime_ns == before
    assert not list(tmp_path.glob(".*"))


def test_missing_materials_are_a_clear_error(tmp_path, capsys, monkeypatch):
    with pytest.raises(FootageError, match="holds no surroundings"):
        load_surroundings(tmp_path)
    arguments = ["generate", "--out", str(tmp_path / "out"), "--poses", str(tmp_path), "--backgrounds", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    assert generate.main() == 2
    assert "holds no" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_clothes_are_refused_on_a_body_they_are_not_bound_to():
    with pytest.raises(BodyFileError, match="open body"):
        load_wardrobe(None, replace(open_body(), base_mesh_vertex=None))


def test_a_video_shows_what_its_truth_says(materials, stock, tmp_path):
    roles = (video.Role("one", "sway", 0, (0.0, 3.0), np.pi, 1), video.Role("short", "nod", 1, (0.8, 3.5), 0.0, 2))
    film = video.Film(roles, "meadow", 0.0, frames=4, width=WIDTH, height=HEIGHT, focal_px=90.0, eye=1.0, pitch=0.0)
    path = tmp_path / "film.mp4"
    video.render_video(film, materials, path)
    footage = open_footage(path)
    assert (footage.width, footage.height, footage.fps) == (WIDTH, HEIGHT, video.FPS)
    assert len(list(footage)) == 4
    truth = mocap.load(tmp_path / "film.truth.npz")
    assert [track.frames.tolist() for track in truth.tracks] == [[0, 1, 2, 3], [0, 1, 2]]
    for track in truth.tracks:
        pose = full_pose(track.global_orient, track.body_pose)
        joints = pose_joints(stock.body, np.repeat(track.betas[None], len(track), 0), pose, track.transl)
        hips = truth.camera.project(joints[:, [1, 2]])
        np.testing.assert_allclose(hips, track.keypoints_px[:, [11, 12]], atol=0.05)
        x0, y0, x1, y1 = np.moveaxis(track.boxes_xyxy_px[:, None], -1, 0)
        assert ((hips[..., 0] > x0) & (hips[..., 0] < x1) & (hips[..., 1] > y0) & (hips[..., 1] < y1)).all()


def test_of_a_film_every_so_manyth_frame_can_be_rendered_at_its_time(materials, tmp_path):
    roles = (video.Role("one", "sway", 0, (0.0, 3.0), np.pi, 1),)
    film = video.Film(roles, "meadow", 0.0, frames=4, width=WIDTH, height=HEIGHT, focal_px=90.0, eye=1.0, pitch=0.0)
    whole, sparse = (video.render_video(film, materials, tmp_path / f"{n}.mp4", every=n) for n in (1, 2))
    footage = open_footage(tmp_path / "2.mp4")
    assert footage.fps == sparse.fps == video.FPS / 2 and len(list(footage)) == 2
    np.testing.assert_array_equal(sparse.timestamps, whole.timestamps[::2])
    assert sparse.tracks[0].frames.tolist() == [0, 1]
    np.testing.assert_array_equal(sparse.tracks[0].keypoints_px, whole.tracks[0].keypoints_px[::2])


def test_many_films_are_drawn_into_one_folder(materials, tmp_path, monkeypatch, capsys):
    folders = [argument for name in ("poses", "backgrounds", "wardrobe") if (folder := getattr(materials, name))
               for argument in (f"--{name}", str(folder))]  # fmt: skip
    out = tmp_path / "films"
    arguments = ["video", "--out", str(out), *folders, "--frames", "3", "--every", "2", "--seed", "4", "--count", "2"]
    monkeypatch.setattr("sys.argv", arguments)
    assert video.main() == 0
    assert sorted(path.name for path in out.glob("*.mp4")) == ["film-00004.mp4", "film-00005.mp4"]
    assert len(list(out.glob("*.truth.npz"))) == 2
    monkeypatch.setattr("sys.argv", ["video", "--out", str(out), *folders, "--every", "0"])
    with pytest.raises(SystemExit) as stopped:
        video.main()
    assert stopped.value.code == 2 and "--every is 1 or more" in capsys.readouterr().err


def test_a_drawn_film_is_the_same_for_the_same_number_and_everybody_begins_apart_and_in_view(materials):
    films = [video.drawn_film(materials, seed, 3) for seed in range(12)]
    assert video.drawn_film(materials, 5, 3) == films[5] != films[6]
    assert {len(film.roles) for film in films} == {2, 3, 4, 5}
    for film in films:
        places = np.array([role.place for role in film.roles])
        apart = np.linalg.norm(places[:, None] - places, axis=-1) + 9 * np.eye(len(places))
        assert apart.min() >= video.NEAREST
        assert (np.abs(places[:, 0] / places[:, 1] * film.focal_px) < film.width / 2).all()
        assert all(role.clip in ("sway", "nod") and role.start + 3 <= 4 for role in film.roles)


def test_clothes_bound_to_vertices_our_body_lacks_have_no_holes(stock, tmp_path):
    body = stock.body
    number = body.base_mesh_vertex[:6]
    missing = np.setdiff1d(np.arange(body.base_mesh_vertex.max() + 5), body.base_mesh_vertex)[:1]
    bind = np.stack([number[:4], number[1:5], number[2:6]], -1)
    bind[3] = missing  # the fourth vertex hangs on a vertex the body does not have
    rest = np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0.1, 0.1, 0]], np.float32)
    faces = np.array([[0, 1, 2], [1, 3, 2]], np.int32)
    np.savez(
        tmp_path / "clothes_patch.npz", rest=rest, faces=faces, uv=rest[:, :2], face_uv=faces, bind_vertices=bind,
        bind_weights=np.full((4, 3), 1 / 3), bind_offset=np.zeros((4, 3)), hidden_body_vertices=np.zeros(0, int),
    )  # fmt: skip
    (item,) = load_wardrobe(tmp_path, body).items["clothes"]
    assert len(item.faces) == 2
    assert item.stand_in[3] in (1, 2)
    np.testing.assert_allclose(item.stand_in_offset[3], rest[3] - rest[item.stand_in[3]])
