"""A Mocap becomes Blender objects: everything stands where aios_core puts it, at every key."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
from bpy_extras.object_utils import world_to_camera_view  # noqa: E402

from aios_blender import compat  # noqa: E402
from aios_blender.coordinates import camera_to_world_points, frame_numbers  # noqa: E402
from aios_blender.scene import SceneSettings, build  # noqa: E402
from aios_core.body.files import open_body  # noqa: E402
from aios_core.body.joints import JOINT_NAMES, MIRROR_55  # noqa: E402
from aios_core.body.skinning import full_pose, pose_body, pose_joints  # noqa: E402
from tests.mocaps import make_mocap, mirrored, tilted_camera  # noqa: E402


@pytest.fixture(scope="module")
def body():
    return open_body()


def joints_in_camera(body, track):
    """(N, 55, 3) as aios_core has them."""
    pose = full_pose(track.global_orient, track.body_pose, track.left_hand_pose, track.right_hand_pose, track.jaw_pose)
    return pose_joints(body, np.tile(track.betas, (len(track), 1)), pose, track.transl)


def joints_in_blender(person, frame):
    """(55, 3) world positions of the bones' heads."""
    bpy.context.scene.frame_set(frame)
    bones = person.armature.pose.bones
    return np.array([person.armature.matrix_world @ bones[name].head for name in JOINT_NAMES])


def moving_camera(mocap):
    """The same Mocap under a camera that drives and tilts."""
    cameras = [tilted_camera(0.02 * i, 1.2 + 0.03 * i) for i in range(mocap.frame_count)]
    return replace(mocap, camera_to_world=np.stack(cameras))


@pytest.mark.parametrize("camera", ["standing", "moving"])
def test_joints_equal_the_bodys_at_every_key_and_fall_on_the_same_pixels(body, camera):
    mocap = make_mocap() if camera == "standing" else moving_camera(make_mocap())
    built = build(mocap, body)
    scene = bpy.context.scene
    for track, person in zip(mocap.tracks, built.people, strict=True):
        expected = joints_in_camera(body, track)
        for key, frame in enumerate(track.frames):
            found = joints_in_blender(person, int(frame) + 1)
            row = mocap.camera_to_world[frame if camera == "moving" else 0]
            assert np.abs(found - camera_to_world_points(expected[key : key + 1], row[None])[0]).max() < 1e-4
            view = np.array([world_to_camera_view(scene, built.camera, _vector(p))[:2] for p in found])
            pixels = view * [mocap.width, -mocap.height] + [0, mocap.height]
            assert np.abs(pixels - mocap.camera.project(expected[key])).max() < 0.5


def _vector(point):
    from mathutils import Vector

    return Vector(point)


def test_the_skinned_mesh_lies_where_the_body_model_puts_it(body):
    mocap = make_mocap()
    built = build(mocap, body)
    track, person = mocap.tracks[0], built.people[0]
    bpy.context.scene.frame_set(6)
    evaluated = person.mesh.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    found = np.empty(len(evaluated.vertices) * 3, np.float32)
    evaluated.vertices.foreach_get("co", found)
    pose = full_pose(
        track.global_orient[5], track.body_pose[5], track.left_hand_pose[5], track.right_hand_pose[5], track.jaw_pose[5]
    )
    posed = pose_body(body, track.betas, track.expression[5], pose, track.transl[5], pose_correctives=False)
    world = np.array(person.mesh.matrix_world)
    found = found.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]
    assert np.abs(found - camera_to_world_points(posed.vertices[None], mocap.camera_to_world)[0]).max() < 1e-3


def test_rest_bones_are_the_identity_so_that_a_joints_rotation_is_the_bones(body):
    person = build(make_mocap(), body).people[0]
    for bone in person.armature.data.bones:
        assert np.allclose(np.array(bone.matrix_local)[:3, :3], np.eye(3), atol=1e-6)


def test_quaternions_never_flip_sides(body):
    mocap = make_mocap(length=40)
    turning = replace(mocap.tracks[0], global_orient=np.linspace([0, 0.1, 0], [0, 9, 0], 40).astype(np.float32))
    person = build(replace(mocap, tracks=(turning,)), body).people[0]
    curves = [
        c for c in compat.fcurves_of(person.armature) if c.data_path == 'pose.bones["pelvis"].rotation_quaternion'
    ]
    values = np.array([[key.co[1] for key in curve.keyframe_points] for curve in curves]).T
    assert ((values[1:] * values[:-1]).sum(1) > 0).all()


def test_a_gap_hides_the_person_and_is_not_interpolated(body):
    mocap = make_mocap()
    person = build(mocap, body).people[1]
    hidden = []
    for frame in range(1, 13):
        bpy.context.scene.frame_set(frame)
        hidden.append(person.mesh.hide_render)
    assert [i for i, h in enumerate(hidden) if not h] == mocap.tracks[1].frames.tolist()
    curve = next(c for c in compat.fcurves_of(person.armature) if c.data_path.endswith(".location"))
    modes = [key.interpolation for key in curve.keyframe_points]
    assert modes[2] == "CONSTANT"
    assert set(modes[:2] + modes[3:]) == {"LINEAR"}
    assert len(modes) == len(mocap.tracks[1])


def test_keys_say_how_they_came_to_be(body):
    mocap = make_mocap()
    trust = np.repeat(np.where(np.arange(7) == 4, 0.1, 0.9)[:, None], 4, 1).astype(np.float32)
    track = replace(mocap.tracks[1], confidence=trust)
    person = build(replace(mocap, tracks=(track,)), body).people[0]
    curve = compat.fcurves_of(person.armature)[0]
    types = [key.type for key in curve.keyframe_points]
    assert types == ["KEYFRAME", "BREAKDOWN", "KEYFRAME", "KEYFRAME", "JITTER", "KEYFRAME", "KEYFRAME"]


def test_expression_beyond_one_survives_saving(body, tmp_path):
    mocap = make_mocap()
    loud = replace(mocap.tracks[0], expression=np.full((12, 10), -3.5, np.float32))
    build(replace(mocap, tracks=(loud,)), body)
    path = str(tmp_path / "loud.blend")
    bpy.ops.wm.save_as_mainfile(filepath=path)
    bpy.ops.wm.open_mainfile(filepath=path)
    bpy.context.scene.frame_set(4)
    keys = bpy.data.objects["P01_mesh"].data.shape_keys
    assert keys.key_blocks["Exp003"].value == pytest.approx(-3.5)
    assert keys["Exp000"] == body.expression_names[0]


@pytest.mark.parametrize(
    ("fps", "base"), [(Fraction(30000, 1001), 1.001), (Fraction(24000, 1001), 1.001), (Fraction(50), 1)]
)
def test_frame_rates_are_exact(body, fps, base):
    build(make_mocap(fps=fps), body)
    render = bpy.context.scene.render
    assert render.fps / render.fps_base == pytest.approx(float(fps), rel=1e-6)
    assert render.fps_base == pytest.approx(base, rel=1e-6)
    assert bpy.context.scene.frame_end == 12


def test_a_steady_clock_gives_whole_frames_and_a_varying_one_keeps_its_times():
    assert frame_numbers(np.arange(5) / 29.97, 29.97).tolist() == [1, 2, 3, 4, 5]
    assert frame_numbers(np.array([0, 0.5, 0.51]), 10.0) == pytest.approx([1, 6, 6.1])


def test_a_mirrored_mocap_gives_mirrored_joints(body):
    neutral = make_mocap()
    neutral = replace(
        neutral,
        tracks=tuple(replace(t, betas=t.betas * 0, expression=t.expression * 0) for t in neutral.tracks),
    )
    person = build(neutral, body).people[0]
    there = joints_in_blender(person, 3)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    other = joints_in_blender(build(mirrored(neutral), body).people[0], 3)
    # The open body itself is mirrored to within some millimetres.
    assert np.abs(other - there[MIRROR_55] * [-1, 1, 1]).max() < 0.02


def test_one_collection_for_the_take_and_one_for_everybody_in_it(body):
    built = build(make_mocap(source="/no/such/take_7.mp4"), body)
    assert built.collection.name == "take_7"
    assert [c.name for c in built.collection.children] == ["P01 Person 1", "P02 Person 2"]
    assert built.people[1].armature["aios_track"] == 2
    assert {c.name for c in built.people[0].armature.data.collections} == {"body", "hands", "face"}


def test_one_action_moves_the_whole_person(body):
    person = build(make_mocap(), body).people[0]
    action = person.armature.animation_data.action
    assert person.mesh.data.shape_keys.animation_data.action == action or not compat.HAS_SLOTS


def test_nobody_found_still_gives_the_camera(body):
    built = build(replace(make_mocap(), tracks=()), body)
    assert built.people == []
    assert bpy.context.scene.camera == built.camera


def test_missing_footage_is_a_warning(body):
    assert "not there any more" in build(make_mocap(), body).warnings[0]


def test_only_what_is_asked_for_is_built(body):
    built = build(make_mocap(), body, SceneSettings(with_camera=False, with_mesh=False))
    assert built.camera is None
    assert built.people[0].mesh is None
    assert [mesh.name for mesh in bpy.data.meshes] == ["aios_bone"], "the shape that bones are drawn as"


def test_bones_are_drawn_from_joint_to_joint():
    from aios_blender.scene.bone_shapes import limb_ends

    armature = build(make_mocap(), open_body()).people[0].armature
    joints = np.array([armature.data.bones[name].head_local for name in JOINT_NAMES])
    ends = limb_ends(joints)
    for name, child in (("left_elbow", "left_wrist"), ("spine3", "neck"), ("right_index1", "right_index2")):
        bone = armature.pose.bones[name]
        drawn = np.array(bone.custom_shape_rotation_euler.to_matrix()) @ [0, bone.custom_shape_scale_xyz[1], 0]
        assert np.allclose(ends[name], joints[JOINT_NAMES.index(child)])
        assert np.allclose(joints[JOINT_NAMES.index(name)] + drawn, ends[name], atol=1e-5)
    shapes = {bone.custom_shape for bone in armature.pose.bones if bone.name in JOINT_NAMES}
    assert len(shapes) == 1 and not next(iter(shapes)).users_collection, "one shape, in no scene"


def evaluated_vertices(mesh):
    evaluated = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
    points = np.empty(3 * len(evaluated.data.vertices), np.float32)
    evaluated.data.vertices.foreach_get("co", points)
    return points.reshape(-1, 3)


def test_pose_correctives_on_demand_make_blenders_mesh_the_body_models_own():
    found = make_mocap()
    body, track = open_body(), found.tracks[0]
    hands = track.left_hand_pose, track.right_hand_pose, track.jaw_pose
    pose = full_pose(track.global_orient, track.body_pose, *hands)
    pose[:, 0] = 0
    count = len(track)
    expected = pose_body(body, np.tile(track.betas, (count, 1)), track.expression, pose, np.zeros((count, 3)))
    expected = expected.vertices[2]
    errors = []
    for with_correctives in (True, False):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        person = build(found, body, SceneSettings(with_camera=False, with_correctives=with_correctives)).people[0]
        bpy.context.scene.frame_set(int(track.frames[2]) + 1)
        pelvis = person.armature.pose.bones["pelvis"]
        at_rest = np.array(pelvis.bone.matrix_local @ pelvis.matrix.inverted())
        there = evaluated_vertices(person.mesh)
        there = there @ at_rest[:3, :3].T + at_rest[:3, 3]
        errors.append(np.abs(there - expected).max())
    assert errors[0] < 5e-4 and errors[1] > 0.004, errors


def test_gaps_are_marked_in_the_action_and_the_graph_shows_them():
    from aios_blender.scene import BLANK, confidence_bars

    found = make_mocap(length=24)
    kept = np.r_[0:6, 14:24]
    track = found.tracks[0]
    names = [n for n, v in vars(track).items() if isinstance(v, np.ndarray) and len(v) == 24]
    track = replace(track, measured=None, **{name: getattr(track, name)[kept] for name in names})
    armature = build(replace(found, tracks=(track,)), open_body()).people[0].armature
    markers = [(marker.name, marker.frame) for marker in armature.animation_data.action.pose_markers]
    assert markers == [("lost", 7), ("found", 15)]
    bars = confidence_bars(replace(track, confidence=np.ones((len(track), 4), np.float32)), 24, 0, 12)
    assert bars == "███" + 4 * BLANK + "█████"
