"""The shipped open body keeps SMPL-X's layout, and does what its names say."""

from __future__ import annotations

import sys
from functools import cache
from importlib.resources import files

import numpy as np
import pytest

from aios_core.body.body_model import BodyModel
from aios_core.body.files import load_body, open_body
from aios_core.body.joints import EXTRA_JOINT_NAMES, EXTRA_JOINT_VERTICES, JOINT_NAMES
from aios_core.body.open_body.build import BuildConfig, build_files
from aios_core.body.open_body.mesh import face_normals, mirror_partners, triangulate, vertex_normals, winding_number
from aios_core.body.skinning import contour_row, mirrored_pose, pose_body
from aios_core.errors import MissingDependencyError, OutputError

GENDERS = ("neutral", "male", "female")
SWAPPED = [
    JOINT_NAMES.index(name.replace("left", "?").replace("right", "left").replace("?", "right")) for name in JOINT_NAMES
]


@cache
def body(gender: str = "neutral") -> BodyModel:
    return open_body(gender)


@cache
def arrays(gender: str = "neutral") -> dict[str, np.ndarray]:
    with np.load(str(files("aios_core") / "assets" / f"OPEN_{gender.upper()}.npz"), allow_pickle=False) as stored:
        return dict(stored)


def drawn_shapes(count: int, gender: str = "neutral") -> np.ndarray:
    betas = np.random.default_rng(3).normal(size=(count, 10))
    return body(gender).v_template + np.einsum("nk,vck->nvc", betas, body(gender).shapedirs)


def expression(start: str, amount: float = 2.0) -> np.ndarray:
    """Displacements (V, 3) of the expression whose name starts so."""
    (index,) = [i for i, name in enumerate(body().expression_names) if name.startswith(start)]
    return amount * body().exprdirs[..., index]


def landmark(number: int, offsets: np.ndarray) -> np.ndarray:
    """How far (3,) iBUG landmark `number` (17..67) moves."""
    corners = body().faces[body().landmark_faces[number - 17]]
    return body().landmark_weights[number - 17] @ offsets[corners]


@pytest.mark.parametrize("gender", GENDERS)
def test_files_are_small_finite_and_hold_no_pickles(gender: str) -> None:
    stored = arrays(gender)  # refuses pickles
    assert all(np.isfinite(a).all() for a in stored.values() if a.dtype.kind == "f")
    size = (files("aios_core") / "assets" / f"OPEN_{gender.upper()}.npz").stat().st_size
    assert size < 3e6


@pytest.mark.parametrize("gender", GENDERS)
def test_arrays_have_smplx_shapes(gender: str) -> None:
    stored, count = arrays(gender), len(body(gender).v_template)
    expected = {
        "v_template": (count, 3),
        "shapedirs": (count, 3, 20),
        "posedirs": (count, 3, 486),
        "J_regressor": (55, count),
        "weights": (count, 55),
        "kintree_table": (2, 55),
        "lmk_faces_idx": (51,),
        "lmk_bary_coords": (51, 3),
        "dynamic_lmk_faces_idx": (79, 17),
        "dynamic_lmk_bary_coords": (79, 17, 3),
        "hands_meanl": (45,),
        "hands_meanr": (45,),
        "hands_componentsl": (45, 45),
        "hands_componentsr": (45, 45),
        "shape_names": (10,),
        "expression_names": (10,),
        "phenotype_to_beta": (len(stored["phenotype_names"]) + 1, 10),
    }
    assert {name: stored[name].shape for name in expected} == expected
    assert str(stored["gender"]) == gender and "CC0" in str(stored["license"])
    assert len(stored["ft"]) == len(stored["f"]) and stored["ft"].max() < len(stored["vt"])


def test_the_three_bodies_share_everything_but_their_shapes() -> None:
    own = {"v_template", "shapedirs", "phenotype_to_beta", "gender"}
    for gender in ("male", "female"):
        differing = {name for name in arrays() if not np.array_equal(arrays()[name], arrays(gender)[name])}
        assert differing == own


def test_skinning_weights_and_joint_rows_sum_to_one() -> None:
    assert np.allclose(body().lbs_weights.sum(1), 1, atol=1e-6) and (body().lbs_weights >= 0).all()
    assert np.allclose(body().J_regressor.sum(1), 1, atol=1e-5)


def test_zero_pose_is_the_template() -> None:
    zero = np.zeros(10, np.float32)
    posed = pose_body(body(), zero, zero, np.zeros((55, 3), np.float32))
    assert np.abs(posed.vertices - body().v_template).max() < 1e-5


def test_rest_pose_is_a_t_facing_forward_with_flat_hands() -> None:
    joints = dict(zip(JOINT_NAMES, body().joint_template, strict=True))
    arm = joints["left_wrist"] - joints["left_shoulder"]
    assert arm[0] > 0.99 * np.linalg.norm(arm)  # the left arm points along +X
    leg = joints["left_ankle"] - joints["left_hip"]
    assert -leg[1] > 0.99 * np.linalg.norm(leg)
    nose = body().v_template[EXTRA_JOINT_VERTICES[EXTRA_JOINT_NAMES.index("nose")]]
    assert nose[2] > joints["head"][2] + 0.05  # the face looks along +Z
    for finger in ("index", "middle", "ring", "pinky"):
        first, second, third = (joints[f"left_{finger}{i}"] for i in (1, 2, 3))
        bend = (second - first) @ (third - second) / np.linalg.norm(second - first) / np.linalg.norm(third - second)
        assert bend > np.cos(np.deg2rad(6))


def test_every_expression_leaves_every_joint_exactly_where_it_is() -> None:
    used = (body().J_regressor != 0).any(0)
    assert (body().exprdirs[used] == 0).all()


def test_joints_lie_inside_the_body_whatever_its_shape() -> None:
    triangles = body().faces.astype(int)
    for vertices in drawn_shapes(4):
        joints = body().J_regressor.astype(float) @ vertices
        inside = winding_number(joints, vertices, triangles)
        assert (inside > 0.5).all(), [JOINT_NAMES[j] for j in np.flatnonzero(inside <= 0.5)]


def test_winding_number_tells_inside_from_outside() -> None:
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    tetrahedron = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    assert np.allclose(winding_number(np.array([[0.1, 0.1, 0.1], [1, 1, 1]]), corners, tetrahedron), [1, 0], atol=1e-9)


def test_left_and_right_are_mirror_images() -> None:
    partners = mirror_partners(body().v_template.astype(float))
    mirrored = body().v_template[partners] * [-1, 1, 1]
    assert np.abs(mirrored - body().v_template).max() < 2e-4
    weights = body().lbs_weights[partners][:, SWAPPED]
    assert np.abs(weights - body().lbs_weights).max() < 0.02
    for vertices in drawn_shapes(20):
        joints = body().J_regressor @ vertices
        assert np.abs(joints[SWAPPED] * [-1, 1, 1] - joints).max() < 4e-3


def test_a_mirrored_pose_gives_the_mirrored_body() -> None:
    rng, zero = np.random.default_rng(0), np.zeros(10, np.float32)
    pose = rng.normal(0, 0.2, (55, 3)).astype(np.float32)
    posed = pose_body(body(), zero, zero, pose)
    mirrored = pose_body(body(), zero, zero, mirrored_pose(pose).astype(np.float32))
    distance = np.linalg.norm(mirrored.joints[SWAPPED] * [-1, 1, 1] - posed.joints, axis=-1)
    assert distance.max() < 2e-3
    partners = mirror_partners(body().v_template.astype(float))
    error = np.linalg.norm(mirrored.vertices[partners] * [-1, 1, 1] - posed.vertices, axis=-1)
    assert np.percentile(error, 99) < 3e-3


def test_ordinary_betas_give_adult_heights() -> None:
    heights = np.ptp(drawn_shapes(300)[..., 1], axis=1)
    assert 1.64 < heights.mean() < 1.76
    assert 0.08 < heights.std() < 0.13
    taller = np.ptp((body().v_template + body().shapedirs[..., 0])[:, 1]) - np.ptp(body().v_template[:, 1])
    assert taller > 0.08  # the first direction is height


def test_men_are_taller_than_women_and_bodies_grow_heavier_with_the_second_beta() -> None:
    def volume(vertices: np.ndarray) -> float:
        corners = vertices[body().faces].astype(float)
        return float(np.einsum("fi,fi->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6)

    heights = {gender: np.ptp(body(gender).v_template[:, 1]) for gender in GENDERS}
    assert heights["female"] < heights["neutral"] < heights["male"]
    heavier = body().v_template + body().shapedirs[..., 1]
    assert volume(heavier) > 1.1 * volume(body().v_template)


def test_shapes_and_expressions_hardly_ever_fold_the_skin() -> None:
    normals = face_normals(body().v_template, body().faces)
    for vertices in drawn_shapes(10):
        folded = (face_normals(vertices, body().faces) * normals).sum(-1) < 0
        assert folded.mean() < 0.01


def test_smile_raises_and_frown_lowers_the_mouth_corners() -> None:
    for corner in (48, 54):
        assert landmark(corner, expression("smile / frown"))[1] > 0.003
        assert landmark(corner, expression("smile / frown", -2))[1] < -0.003


def test_brows_go_up() -> None:
    assert all(landmark(brow, expression("brows up"))[1] > 0.002 for brow in range(17, 27))


def test_blinking_closes_the_lids() -> None:
    offsets = expression("eyes shut")
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        assert landmark(upper, offsets)[1] < landmark(lower, offsets)[1] - 0.002


def test_puckering_narrows_the_mouth_and_puffing_fills_the_cheeks() -> None:
    pucker = expression("pucker")
    assert landmark(54, pucker)[0] - landmark(48, pucker)[0] < -0.004
    outwards = (expression("cheeks") * vertex_normals(body().v_template.astype(float), body().faces)).sum(-1)
    for sign in (-1, 1):
        assert outwards[sign * body().v_template[:, 0] > 0.03].max() > 0.005


def test_the_jaw_joint_opens_the_mouth() -> None:
    zero, pose = np.zeros(10, np.float32), np.zeros((55, 3), np.float32)
    pose[JOINT_NAMES.index("jaw"), 0] = 0.3
    moved = pose_body(body(), zero, zero, pose).vertices - body().v_template
    assert landmark(57, moved)[1] < -0.015  # lower lip
    assert abs(landmark(51, moved)[1]) < 0.004  # upper lip


def test_landmarks_are_in_ibug_order() -> None:
    points = np.einsum("lkc,lk->lc", body().v_template[body().faces[body().landmark_faces]], body().landmark_weights)
    brow, eye, nose, mouth = (points[a:b].mean(0) for a, b in ((0, 10), (19, 31), (10, 19), (31, 51)))
    assert brow[1] > eye[1] > nose[1] > mouth[1]
    assert points[0, 0] < points[9, 0] and points[19, 0] < points[28, 0]  # the right side first: negative x
    assert (body().landmark_weights >= -1e-6).all() and np.allclose(body().landmark_weights.sum(-1), 1)


def test_the_contour_moves_to_the_far_cheek_as_the_head_turns() -> None:
    def contour(yaw: float) -> np.ndarray:
        pose = np.zeros((55, 3))
        pose[0, 1] = np.deg2rad(yaw)
        row = contour_row(pose)
        corners = body().v_template[body().faces[body().contour_faces[row]]]
        return np.einsum("kic,ki->kc", corners, body().contour_weights[row])

    front, turned = contour(0), contour(30)
    assert abs(front[8, 0]) < 0.01 and front[8, 1] == front[:, 1].min()  # the chin
    assert front[0, 0] < -0.05 and front[16, 0] > 0.05
    assert np.linalg.norm(turned - front, axis=-1).max() > 0.01


def test_base_mesh_numbers_are_unique() -> None:
    numbers = body().base_mesh_vertex
    assert len(np.unique(numbers)) == len(numbers) and (numbers[arrays()["vertex_group"] == 0] < 13380).all()


def test_sliders_move_the_betas_they_should() -> None:
    names = list(arrays()["phenotype_names"])
    taller = arrays()["phenotype_to_beta"][names.index("height")]
    assert taller[0] > 3
    heavier = arrays()["phenotype_to_beta"][names.index("weight")]
    assert heavier[1] > 1


def test_quads_are_cut_along_the_shorter_diagonal() -> None:
    square = np.array([[0, 0, 0], [2, 0, 0], [3, 1, 0], [0, 1, 0.0]])  # 1-3 is shorter than 0-2
    faces, _, _ = triangulate(square, np.array([[0, 1, 2, 3]]), np.array([[0, 1, 2, 3]]), np.zeros(1, int))
    assert {frozenset(face) for face in faces.tolist()} == {frozenset({0, 1, 3}), frozenset({1, 2, 3})}


def test_building_without_anny_says_what_to_install(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "anny", None)
    with pytest.raises(MissingDependencyError, match=r"pip install anny==0\.6\.2"):
        build_files(tmp_path / "bodies")


def test_building_into_a_file_is_refused_before_long_work(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot make the folder"):
        build_files(tmp_path / "file")


@pytest.mark.slow
def test_a_tiny_build_gives_bodies_like_the_shipped_ones(tmp_path) -> None:
    pytest.importorskip("anny")
    paths = build_files(tmp_path, BuildConfig(adults=60, unseen=0, corrective_samples=12))
    assert [path.name for path in paths] == [f"OPEN_{gender.upper()}.npz" for gender in GENDERS]
    built = load_body(paths[0])
    shipped_number = {vertex: number for number, vertex in enumerate(body().base_mesh_vertex.tolist())}
    assert shipped_number.keys() == set(built.base_mesh_vertex.tolist())
    picked = [shipped_number[vertex] for vertex in built.base_mesh_vertex[EXTRA_JOINT_VERTICES].tolist()]
    apart = np.linalg.norm(body().v_template[picked] - body().v_template[EXTRA_JOINT_VERTICES], axis=-1)
    assert apart.max() < 0.01
    assert np.linalg.norm(built.joint_template - body().joint_template, axis=-1).max() < 0.05
    assert np.allclose(built.lbs_weights.sum(1), 1, atol=1e-6)
    assert (built.exprdirs[(built.J_regressor != 0).any(0)] == 0).all()
