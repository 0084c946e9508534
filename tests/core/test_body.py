"""Bodies: equal to the smplx package, equal in numpy and torch, symmetric, and safe to read."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import smplx
import torch

from aios_core.body import skinning
from aios_core.body.files import load_body, open_body
from aios_core.body.joints import (
    COCO17_FROM_144,
    JOINT_NAMES,
    JOINTS_137_FROM_144,
    MIRROR_55,
    MIRROR_137,
    PARENTS,
    tree_levels,
)  # fmt: skip
from aios_core.body.skinning_torch import TorchBody
from aios_core.body.transfer import body_for_shape, height
from aios_core.errors import BodyFileError
from aios_core.geometry.rotations import axis_angle_to_rotmat
from tests.aios_synth import smplx_arrays

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def made_up_file(tmp_path_factory):
    """A made-up body in SMPL-X's exact 400-direction layout."""
    path = tmp_path_factory.mktemp("body") / "SMPLX_NEUTRAL.npz"
    np.savez(path, **smplx_arrays())
    return path


@pytest.fixture(scope="module")
def bodies(made_up_file):
    return {"open": open_body(), "made up": load_body(made_up_file)}


def random_people(count=3, seed=0):
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, 0.3, (count, 55, 3)).astype(np.float32)
    pose[:, 23:25] = 0
    normal = [rng.normal(0, 1, (count, n)).astype(np.float32) for n in (10, 10, 3)]
    return *normal[:2], pose, normal[2]


def by_smplx(path, betas, expression, pose, transl):
    """Vertices and 144 joints of the smplx package."""
    count = len(betas)
    model = smplx.SMPLX(
        str(path), use_pca=False, flat_hand_mean=True, use_face_contour=True, batch_size=count, num_betas=10,
        num_expression_coeffs=10, ext="npz",
    )  # fmt: skip
    flat = torch.tensor(pose).flatten(2).reshape(count, 55, 3)
    names = {"global_orient": slice(0, 1), "body_pose": slice(1, 22), "jaw_pose": slice(22, 23),
             "leye_pose": slice(23, 24), "reye_pose": slice(24, 25), "left_hand_pose": slice(25, 40),
             "right_hand_pose": slice(40, 55)}  # fmt: skip
    out = model(
        betas=torch.tensor(betas), expression=torch.tensor(expression), transl=torch.tensor(transl),
        **{name: flat[:, joints].reshape(count, -1) for name, joints in names.items()},
    )  # fmt: skip
    return out.vertices.detach().numpy(), out.joints.detach().numpy()


@pytest.mark.parametrize("name", ["open", "made up"])
def test_vertices_and_joints_equal_the_smplx_package(bodies, made_up_file, name):
    import aios_core

    path = made_up_file if name == "made up" else Path(aios_core.__file__).parent / "assets" / "OPEN_NEUTRAL.npz"
    body, people = bodies[name], random_people()
    vertices, joints = by_smplx(path, *people)
    betas, expression, pose, transl = people
    posed = skinning.pose_body(body, betas, expression, pose, transl)
    assert np.abs(posed.vertices - vertices).max() < 1e-5
    assert np.abs(skinning.joints_144(body, posed, pose) - joints).max() < 1e-5
    rotmats = torch.tensor(axis_angle_to_rotmat(pose))
    torch_body = TorchBody(body)
    out = torch_body(torch.tensor(betas), torch.tensor(expression), rotmats, torch.tensor(transl))
    assert np.abs(out.vertices.numpy() - vertices).max() < 1e-5
    assert np.abs(torch_body.joints_144(out, rotmats).numpy() - joints).max() < 1e-5


@pytest.mark.parametrize("yaw", [-1.0, -0.4, 0.0, 0.3, 0.9])
def test_the_face_contour_follows_the_heads_yaw_as_in_smplx(bodies, made_up_file, yaw):
    betas, expression, pose, transl = random_people(1)
    pose *= 0
    pose[:, 12, 1] = yaw
    _, joints = by_smplx(made_up_file, betas, expression, pose, transl)
    body = bodies["made up"]
    ours = skinning.joints_144(body, skinning.pose_body(body, betas, expression, pose, transl), pose)
    assert np.abs(ours[:, 127:] - joints[:, 127:]).max() < 1e-5


def test_joints_without_vertices_equal_those_with(bodies):
    betas, expression, pose, transl = random_people()
    for body in bodies.values():
        posed = skinning.pose_body(body, betas, expression, pose, transl)
        alone = skinning.pose_joints(body, betas, pose, transl, expression)
        assert np.abs(posed.joints - alone).max() < 1e-5


@pytest.mark.parametrize("name", ["open", "made up"])
def test_one_body_equals_its_place_in_a_batch_of_more_than_are_skinned_at_once(bodies, name):
    betas, expression, pose, transl = random_people(2 * skinning.SKINNED_AT_ONCE + 1)
    body = bodies[name]
    batch = skinning.pose_body(body, betas, expression, pose, transl)
    rotmats = torch.tensor(axis_angle_to_rotmat(pose))
    in_torch = TorchBody(body)(*map(torch.tensor, (betas, expression)), rotmats, torch.tensor(transl)).vertices.numpy()
    for i in (1, skinning.SKINNED_AT_ONCE, -1):
        single = skinning.pose_body(body, betas[i], expression[i], pose[i], transl[i])
        assert np.abs(batch.vertices[i] - single.vertices).max() < 1e-6
        assert np.abs(in_torch[i] - single.vertices).max() < 1e-5


def test_made_up_bodies_agree_with_the_published_models_numbers(bodies):
    body = bodies["made up"]
    with np.load(FIXTURES / "aios_units_body.npz") as stored:
        given = {name.split(".")[-1]: stored[name].astype(np.float32) for name in stored.files if ".in." in name}
        hands = [
            skinning.absolute_hand_pose(given[f"{side}_hand_pose"].reshape(-1, 15, 3), mean)
            for side, mean in (("left", body.hands_mean_left), ("right", body.hands_mean_right))
        ]
        pose = skinning.full_pose(
            given["global_orient"], given["body_pose"].reshape(-1, 21, 3), *hands, given["jaw_pose"]
        )
        posed = skinning.pose_body(body, given["betas"], given["expression"], pose)
        joints = skinning.joints_144(body, posed, pose)
        assert np.abs(joints - stored["smplx.joints144"]).max() < 1e-5
        assert np.abs(joints[:, JOINTS_137_FROM_144] - stored["smplx.joints137"]).max() < 1e-5
        assert np.abs(posed.vertices[:, ::53] - stored["smplx.vertices.slice"]).max() < 1e-5


def test_gradients_reach_shape_expression_and_pose(bodies):
    betas, expression, pose, _ = (torch.tensor(a) for a in random_people(2))
    rotmats = torch.tensor(axis_angle_to_rotmat(pose.numpy()))
    inputs = [x.requires_grad_() for x in (betas, expression, rotmats)]
    TorchBody(bodies["open"])(*inputs).vertices.square().sum().backward()
    for x in inputs:
        assert x.grad.abs().sum() > 0


def test_a_mirrored_pose_gives_mirrored_joints(bodies):
    body, (_, _, pose, _) = bodies["open"], random_people()
    zeros = np.zeros((3, 10), np.float32)
    joints = skinning.pose_joints(body, zeros, pose)
    other = skinning.pose_joints(body, zeros, skinning.mirrored_pose(pose))
    assert np.abs(other - joints[:, MIRROR_55] * [-1, 1, 1]).max() < 0.02


def test_left_and_right_are_named_in_pairs():
    for joint, name in enumerate(JOINT_NAMES):
        other = name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")
        assert JOINT_NAMES[MIRROR_55[joint]] == other
    assert (MIRROR_137[MIRROR_137] == np.arange(137)).all()
    assert (COCO17_FROM_144[[11, 12]] == [1, 2]).all(), "hips are SMPL-X's"


def test_parents_come_a_level_before_their_children():
    seen = {-1}
    for level in tree_levels():
        assert all(int(PARENTS[joint]) in seen for joint in level)
        seen |= set(level.tolist())
    assert len(seen) == 56


@pytest.mark.parametrize("layout", [20, 400])
def test_short_and_full_layouts_are_the_same_body(tmp_path, layout):
    arrays = smplx_arrays()
    if layout == 20:
        arrays["shapedirs"] = np.concatenate([arrays["shapedirs"][..., :10], arrays["shapedirs"][..., 300:310]], -1)
    np.savez(tmp_path / "SMPLX_FEMALE.npz", **arrays, part2num=np.array({"head": 1}, dtype=object))
    body = load_body(tmp_path / "SMPLX_FEMALE.npz")
    full = smplx_arrays()["shapedirs"].astype(np.float32)
    assert np.array_equal(body.shapedirs, full[..., :10]) and np.array_equal(body.exprdirs, full[..., 300:310])
    assert body.gender == "female" and body.family == "smplx"


def test_a_pickled_body_is_read_without_chumpy(tmp_path, bodies):
    import scipy.sparse

    arrays = smplx_arrays()
    arrays["J_regressor"] = scipy.sparse.csc_matrix(arrays["J_regressor"])
    (tmp_path / "SMPLX_MALE.pkl").write_bytes(pickle.dumps(arrays, protocol=2))
    body = load_body(tmp_path / "SMPLX_MALE.pkl")
    assert np.allclose(body.J_regressor, bodies["made up"].J_regressor)
    assert body.gender == "male"


class _Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_hostile_pickle_is_refused_and_does_not_run(tmp_path):
    trap = tmp_path / "trap"
    (tmp_path / "SMPLX_NEUTRAL.pkl").write_bytes(pickle.dumps({"v_template": _Hostile(trap)}))
    with pytest.raises(BodyFileError, match="refused"):
        load_body(tmp_path / "SMPLX_NEUTRAL.pkl")
    assert not trap.exists()


def test_what_is_no_smplx_body_is_one_sentence(tmp_path):
    arrays = smplx_arrays()
    np.savez(tmp_path / "smpl.npz", **{**arrays, "weights": arrays["weights"][:, :24]})
    np.savez(tmp_path / "lacking.npz", **{k: v for k, v in arrays.items() if k != "shapedirs"})
    np.savez(tmp_path / "few.npz", **{**arrays, "shapedirs": arrays["shapedirs"][..., :12]})
    (tmp_path / "cut.npz").write_bytes((tmp_path / "smpl.npz").read_bytes()[:1000])
    (tmp_path / "cut.pkl").write_bytes(b"\x80\x02}q\x00U")
    for name, words in (
        ("smpl.npz", "24 joints"), ("lacking.npz", "lacks shapedirs"), ("few.npz", "12 shape directions"),
        ("cut.npz", "damaged"), ("cut.pkl", "damaged"), ("none.npz", "No such"), ("body.obj", "No such"),
    ):  # fmt: skip
        with pytest.raises(BodyFileError, match=words) as error:
            load_body(tmp_path / name)
        assert "\n" not in str(error.value)


def test_another_familys_shape_becomes_the_neutral_body_at_the_same_height(bodies):
    tall = np.zeros(10, np.float32)
    tall[0] = 2.0
    fitted, betas, warning = body_for_shape(bodies["made up"], tall, "open")
    assert "neutral shape" in warning
    assert not betas.any()
    assert height(fitted, betas) == pytest.approx(height(bodies["open"], tall), rel=1e-4)
    assert body_for_shape(bodies["open"], tall, "open")[2] is None
