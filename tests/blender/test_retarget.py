"""Captured motion on other rigs: the same limbs, whatever the rig's bones are like, and planted feet that stay."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

import aios_blender  # noqa: E402
from aios_blender import compat  # noqa: E402
from aios_blender.command_line import main  # noqa: E402
from aios_blender.export.people import built_people  # noqa: E402
from aios_blender.retarget import RetargetSettings, retarget  # noqa: E402
from aios_blender.retarget.bone_map import (  # noqa: E402
    PRESETS,
    choose_map,
    missing_joints,
    preset_map,
    propose_map,
    save_bone_map,
)
from aios_blender.retarget.controls import leg_rest  # noqa: E402
from aios_blender.retarget.least_squares import bending_bands, smooth_pull  # noqa: E402
from aios_blender.retarget.leg_lock import runs  # noqa: E402
from aios_blender.retarget.rig import rig_of  # noqa: E402
from aios_blender.retarget.source import (  # noqa: E402
    HEEL_VERTICES,
    HIPS,
    Performance,
    performance_of_person,
    performance_of_track,
)
from aios_blender.retarget.transfer import person_build  # noqa: E402
from aios_blender.scene import SceneSettings, build  # noqa: E402
from aios_core import mocap as mocap_file  # noqa: E402
from aios_core.body.files import open_body  # noqa: E402
from aios_core.body.joints import FINGERS, JOINT_NAMES, MIRROR_55, PARENTS  # noqa: E402
from aios_core.body.skinning import forward_kinematics, rest_joints, rest_vertices  # noqa: E402
from aios_core.errors import ExportError  # noqa: E402
from aios_core.geometry.rotations import axis_angle_to_rotmat  # noqa: E402
from aios_core.pipeline.refine.feet import NOISELESS, body_transforms, contacts, posed_soles, sole_points  # noqa: E402
from aios_core.pipeline.refine.foot_lock import lock_feet  # noqa: E402
from tests.blender.rigs import A_POSE, STOCKY, mixamo_rig, other_build, posed_rest, rigify_rig  # noqa: E402
from tests.mocaps import make_mocap  # noqa: E402
from tests.motion_clips import FPS, clips, the_body  # noqa: E402

MIXAMO = {joint: f"mixamorig:{bones[0]}" for joint, bones in preset_map("mixamo").bones.items()}
JOINTS = [joint for joint in JOINT_NAMES if joint in MIXAMO]
LIMBS = [
    (f"{side}_{start}", f"{side}_{end}")
    for side in ("left", "right")
    for start, end in (
        ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "middle1"), ("hip", "knee"), ("knee", "ankle"),
        *((f"{finger}{i}", f"{finger}{i + 1}") for finger in FINGERS for i in (1, 2)),
    )
]  # fmt: skip
FREE = RetargetSettings(lock_feet=False)


@cache
def performed(name, first=0, last=None):
    """A captured person whose feet have been locked on their own body, and their joints (N, 55, 3) in the world."""
    clip, body = clips()[name], the_body()
    rest, vertices = rest_joints(body, clip.betas).astype(float), rest_vertices(body, clip.betas).astype(float)
    times, eyes = np.arange(len(clip)) / FPS, np.tile([0.0, -8, 1.5], (len(clip), 1))
    soles = posed_soles(body_transforms(body, clip.betas, clip.pose, clip.transl), sole_points(body, clip.betas), rest)
    planted = contacts(soles, eyes, times, NOISELESS)
    onto_ground = clip.transl - [0, 0, np.median(soles[..., 2][planted])]
    rows = slice(first, last)
    locked = lock_feet(body, clip.betas, clip.pose, onto_ground, planted, eyes, times)
    posed = forward_kinematics(
        axis_angle_to_rotmat(locked.pose), np.broadcast_to(rest, locked.pose.shape), PARENTS
    )[rows]  # fmt: skip
    joints = posed[..., :3, 3] + locked.transl[rows, None]
    frames = np.arange(len(joints))
    performance = Performance(
        name, frames + 1.0, frames, float(FPS), rest, float(vertices[:, 1].min()), vertices[HEEL_VERTICES],
        posed[..., :3, :3], joints[:, HIPS].mean(1), planted[rows],
    )  # fmt: skip
    return performance, joints


def heads(rig, bones, times):
    """(N, K, 3) heads of a rig's bones in the world, as Blender plays them."""
    answer = []
    for time in times:
        bpy.context.scene.frame_set(int(time))
        played = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
        answer.append([played.matrix_world @ played.pose.bones[bone].head for bone in bones])
    return np.array(answer)


def sole_under(rest, performance, size=1.0):
    """Height of the soles under rest joints (55, 3) of a rig whose feet are `size` times the person's."""
    return rest[[7, 8], 1].mean() - size * (performance.rest[[7, 8], 1].mean() - performance.sole)


def mixamo_joints(rig, performance):
    return heads(rig, [MIXAMO[joint] for joint in JOINTS], performance.times)


def of_mixamo(joints):
    return joints[:, [JOINT_NAMES.index(joint) for joint in JOINTS]]


def soles_of(rig, performance, bones):
    """(N, 2, 2, 3) heels and toes as Blender plays the bones that carry the feet, left and right."""
    found = rig_of(rig, choose_map("auto", [bone.name for bone in rig.data.bones]))
    rest = leg_rest(found, person_build(performance.rest, performance.sole), performance.heels)
    answer = np.empty((len(performance.times), 2, 2, 3))
    for t, time in enumerate(performance.times):
        bpy.context.scene.frame_set(int(time))
        played = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
        for s, bone in enumerate(bones):
            moved = np.array(rig.matrix_world @ played.pose.bones[bone].matrix)
            moved = moved @ np.linalg.inv(np.array(rig.matrix_world @ rig.data.bones[bone].matrix_local))
            for p, point in enumerate((rest.heel[s], rest.toe[s])):
                answer[t, s, p] = moved[:3, :3] @ point + moved[:3, 3]
    return answer


def sliding(soles, planted):
    """(metres along and above the ground) that planted soles (N, 2, 2, 3) are from where they stand, at most."""
    stretches = [
        soles[a:b, s, p] for s in range(2) for p in range(2) for a, b in runs(planted.reshape(-1, 2, 2)[:, s, p])
    ]
    aside = max(np.ptp(points[:, :2], axis=0).max() for points in stretches)
    return aside, max(np.abs(points[:, 2]).max() for points in stretches)


def sharpest(points, fps=FPS):
    """Greatest acceleration of points (N, ..., 3), metres a second squared."""
    return np.linalg.norm(np.diff(points, 2, axis=0), axis=-1).max() * fps**2


def directions(places, names):
    ways = np.stack([places[:, names.index(end)] - places[:, names.index(start)] for start, end in LIMBS], 1)
    return ways / np.linalg.norm(ways, axis=-1, keepdims=True)


@pytest.mark.parametrize("clip", ["walker", "dancer"])
def test_a_skeleton_of_the_same_build_moves_the_same(clip):
    performance, joints = performed(clip, 0, 40)
    rig = mixamo_rig(performance.rest, performance.sole)
    done = retarget(performance, rig, FREE)
    assert done.bone_map.name == "Mixamo" and not done.warnings
    assert np.abs(mixamo_joints(rig, performance) - of_mixamo(joints)).max() < 1e-4


@pytest.mark.parametrize(
    "how",
    [
        {"scale": 0.01}, {"rolls": 1}, {"rolls": 2, "tails": 3, "scale": 0.01}, {"facing": 1.1}, {"facing": np.pi},
        {"pose": A_POSE}, {"pose": A_POSE, "rolls": 4, "scale": 0.01, "facing": -0.4},
    ],
)  # fmt: skip
def test_scale_rolls_bone_directions_facing_and_rest_pose_of_a_rig_play_no_part(how):
    performance, joints = performed("dancer", 60, 75)
    how = dict(how)
    rest = posed_rest(performance.rest, how.pop("pose", {}))
    sole = sole_under(rest, performance)
    how |= {name: np.random.default_rng(how[name]) for name in ("rolls", "tails") if name in how}
    rig = mixamo_rig(rest, sole, **how)
    retarget(performance, rig, FREE)
    assert np.abs(mixamo_joints(rig, performance) - of_mixamo(joints)).max() < 1e-4


def test_rotation_modes_of_the_rig_are_kept():
    performance, joints = performed("dancer", 60, 90)
    rig = mixamo_rig(performance.rest, performance.sole)
    modes = ("XYZ", "YXZ", "AXIS_ANGLE", "ZYX", "QUATERNION")
    for i, bone in enumerate(rig.pose.bones):
        bone.rotation_mode = modes[i % 5]
    retarget(performance, rig, FREE)
    assert np.abs(mixamo_joints(rig, performance) - of_mixamo(joints)).max() < 1e-4
    assert {bone.rotation_mode for bone in rig.pose.bones} == set(modes)
    for curve in compat.fcurves_of(rig):
        values = np.array([point.co.y for point in curve.keyframe_points])
        if "euler" in curve.data_path:
            assert np.abs(np.diff(values)).max() < 2, "no turn is taken the long way round"


@pytest.mark.parametrize("clip", ["walker", "dancer", "boxer"])
def test_on_another_build_limbs_point_alike_and_planted_feet_stay(clip):
    performance, joints = performed(clip, 0, 70)
    size = 1.3
    rest = posed_rest(other_build(performance.rest, STOCKY, size), A_POSE)
    feet = [MIXAMO["left_ankle"], MIXAMO["right_ankle"]]
    rig = mixamo_rig(rest, sole_under(rest, performance, size), scale=0.01)
    retarget(performance, rig, FREE)
    free = mixamo_joints(rig, performance)
    assert np.linalg.norm(directions(free, JOINTS) - directions(joints, JOINT_NAMES), axis=-1).max() < 1e-3
    slid, _ = sliding(soles_of(rig, performance, feet), performance.contacts)
    assert slid > 0.005, "on other proportions feet slide by themselves"
    retarget(performance, rig)
    soles = soles_of(rig, performance, feet)
    aside, height = sliding(soles, performance.contacts)
    assert aside < 0.002 and height < 0.002
    assert soles[..., 2].min() > -0.002, "no sole sinks into the ground"
    locked = mixamo_joints(rig, performance)
    upper = [JOINTS.index(joint) for joint in ("left_elbow", "right_wrist", "head", "left_middle3")]
    assert np.abs(np.diff(locked - free, axis=0))[:, upper].max() < 0.01, "the body goes along smoothly"
    legs = [JOINTS.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("knee", "ankle")]
    assert sharpest(locked[:, legs]) < 1.3 * max(sharpest(free[:, legs]), size * sharpest(of_mixamo(joints)[:, legs]))


def test_mirrored_motion_moves_the_rig_as_in_a_mirror():
    performance, _ = performed("walker", 10, 50)
    flip = np.diag([-1.0, 1, 1])
    even = (performance.rest + performance.rest[MIRROR_55] @ flip) / 2
    heels = (performance.heels + performance.heels[::-1] @ flip) / 2
    performance = replace(performance, rest=even, heels=heels)
    mirrored = replace(
        performance, turns=flip @ performance.turns[:, MIRROR_55] @ flip, hips=performance.hips @ flip,
        contacts=performance.contacts[:, [2, 3, 0, 1]],
    )  # fmt: skip
    rest = other_build(even, STOCKY)
    found = []
    for each in (performance, mirrored):
        rig = mixamo_rig(rest, rest[10, 1] - 0.02, name=f"rig{len(found)}")
        retarget(each, rig)
        found.append(mixamo_joints(rig, each))
    sides = [JOINTS.index(JOINT_NAMES[MIRROR_55[JOINT_NAMES.index(joint)]]) for joint in JOINTS]
    assert np.abs(found[1] - found[0][:, sides] @ flip).max() < 1e-4


def test_a_person_built_in_blender_and_the_track_they_came_from_give_the_same_motion():
    found = make_mocap(length=12)
    people = build(found, open_body(), SceneSettings(with_camera=False)).people
    assert len(people) == 2
    for person in built_people(bpy.context.scene):
        played = performance_of_person(person, bpy.context.scene)
        read = performance_of_track(found, person.armature["aios_track"], open_body())
        assert np.array_equal(played.times, read.times) and np.array_equal(played.contacts, read.contacts)
        assert np.diff(read.frames).max() == np.diff(played.frames).max()
        for name, close in (("turns", 1e-4), ("hips", 1e-4), ("rest", 1e-5), ("heels", 1e-5), ("sole", 1e-5)):
            assert np.abs(getattr(played, name) - getattr(read, name)).max() < close, name


def test_a_person_lifted_and_turned_by_hand_takes_the_rig_along():
    person = build(make_mocap(length=12), open_body(), SceneSettings(with_camera=False)).people[0].armature
    scene, performance = bpy.context.scene, performed("walker")[0]
    rig = mixamo_rig(other_build(performance.rest, STOCKY), performance.sole)
    found = []
    for lift, turn in ((0, 0), (1.5, 0.7)):
        person.location.z, person.rotation_euler.z = lift, turn
        performance = performance_of_person(built_people(scene, [1])[0], scene)
        retarget(performance, rig)
        found.append(mixamo_joints(rig, performance))
    ahead = np.array([[np.cos(0.7), -np.sin(0.7), 0], [np.sin(0.7), np.cos(0.7), 0], [0, 0, 1]])
    moved = found[0] @ ahead.T + [0, 0, 1.5]
    assert np.abs(moved - found[1]).max() < 1e-4


def test_gaps_hold_the_pose_and_are_said():
    found = make_mocap(length=12)
    performance = performance_of_track(found, 2, open_body())
    rig = mixamo_rig(performance.rest, performance.sole)
    done = retarget(performance, rig, FREE)
    assert done.warnings == ["Person 2 is not there in frames 6-8: the pose before is held."]
    held = heads(rig, [MIXAMO["left_wrist"]], [5, 6, 7, 8, 9])
    assert np.abs(held[:4] - held[0]).max() < 1e-6 < np.abs(held[4] - held[0]).max()


def test_earlier_actions_of_the_rig_are_kept_but_not_those_of_earlier_retargeting():
    performance, _ = performed("walker", 0, 5)
    rig = mixamo_rig(performance.rest, performance.sole)
    own = bpy.data.actions.new("dance")
    rig.animation_data_create().action = own
    for _ in range(2):
        done = retarget(performance, rig)
        assert rig.animation_data.action == done.action
    assert sorted(action.name for action in bpy.data.actions) == ["Armature_retarget", "dance"]
    assert own.use_fake_user


@pytest.fixture(scope="module")
def rigify_file(tmp_path_factory):
    """A rig generated by Rigify, in a file."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    rigify_rig()
    path = tmp_path_factory.mktemp("rigify") / "rig.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.preferences.addon_disable(module="rigify")
    return path


def test_generated_rigify_rigs_follow_through_their_controls_with_feet_on_inverse_kinematics(rigify_file):
    bpy.ops.wm.open_mainfile(filepath=str(rigify_file))
    performance, joints = performed("walker", 10, 40)
    rig, metarig = bpy.data.objects["rig"], bpy.data.objects["metarig"]
    deforming = {joint: f"ORG-{bones[0]}" for joint, bones in preset_map("rigify_metarig").bones.items()}
    names = list(deforming)
    for settings, switch in ((FREE, 1.0), (RetargetSettings(), 0.0)):
        done = retarget(performance, rig, settings)
        assert done.bone_map.name == "Rigify" and not done.warnings
        places = heads(rig, deforming.values(), performance.times)
        legs = {"hip", "knee"} if settings.lock_feet else set()
        which = [i for i, (start, _) in enumerate(LIMBS) if start.split("_")[1] not in legs]
        off = np.linalg.norm(directions(places, names) - directions(joints, JOINT_NAMES), axis=-1)
        assert off[:, which].max() < 1e-3
        assert rig.pose.bones["thigh_parent.L"]["IK_FK"] == switch
        assert rig.pose.bones["upper_arm_parent.R"]["IK_FK"] == 1.0
        paths = {curve.data_path for curve in compat.fcurves_of(rig)}
        assert ('pose.bones["foot_ik.L"].location' in paths) == settings.lock_feet
        assert 'pose.bones["thigh_parent.L"]["IK_FK"]' in paths
    aside, height = sliding(soles_of(rig, performance, ["ORG-foot.L", "ORG-foot.R"]), performance.contacts)
    assert aside < 0.002 and height < 0.002
    retarget(performance, metarig)
    plain = heads(metarig, [name.removeprefix("ORG-") for name in deforming.values()], performance.times)
    limbs = [i for i, name in enumerate(names) if not name.startswith("spine")]
    assert np.abs(places - plain)[:, limbs].max() < 0.03, "the rig does what its meta-rig does"


def test_every_preset_names_known_joints_and_is_complete():
    for name in PRESETS:
        preset = preset_map(name)
        assert not missing_joints(preset)
        everything = [bone for bones in preset.bones.values() for bone in bones]
        assert len(set(everything)) == len(everything)
        assert choose_map("auto", [*everything, *filter(None, [preset.root])]).name == preset.name


@pytest.mark.parametrize("prefix", ["", "mixamorig:", "mixamorig7:", "mixamorig_", "mixamorig1_"])
def test_mixamos_prefixes_are_known(prefix):
    names = [prefix + bones[0] for bones in preset_map("mixamo").bones.values()]
    found = choose_map("mixamo", names)
    assert len(found.bones) == len(names)
    assert found.bones["left_knee"] == (f"{prefix}LeftLeg",)


@pytest.mark.parametrize(
    "spelling",
    [
        "J_Bip_L_UpperLeg J_Bip_L_LowerLeg J_Bip_L_Foot J_Bip_L_ToeBase J_Bip_L_Shoulder J_Bip_L_UpperArm "
        "J_Bip_L_LowerArm J_Bip_L_Hand J_Bip_L_Index1 J_Bip_C_Hips J_Bip_C_Spine J_Bip_C_Chest J_Bip_C_UpperChest",
        "Thigh.L Shin.L Foot.L Toe.L Clavicle.L UpperArm.L Forearm.L Hand.L index_01.L Pelvis Spine1 Spine2 Spine3",
        "leg_upper_l calf_l ankle_l ball_l collar_l arm_l elbow_l wrist_l index_01_l hips spine_01 chest",
        "LeftThigh LeftShin LeftFoot LeftToe LeftShoulder LeftArm LeftForeArm LeftHand LeftHandIndex1 Hips Spine Chest",
    ],
)
def test_maps_are_proposed_from_names_in_any_spelling(spelling):
    left = [name for name in spelling.split() if name]
    swaps = [("_L_", "_R_"), (".L", ".R"), ("_l ", "_r "), ("Left", "Right")]
    right = spelling + " "
    for one, other in swaps:
        right = right.replace(one, other)
    twist = ["upperarm_twist_01_l", "IK_foot.L"]
    found = propose_map(dict.fromkeys([*left, *right.split(), "Neck", "Head", *twist]))
    assert not missing_joints(found), missing_joints(found)
    assert {"left_foot", "right_foot", "left_index1", "spine1", "neck", "head"} - set(found.bones) == set()
    assert all("twist" not in bone and "IK" not in bone for bones in found.bones.values() for bone in bones)


def test_a_map_of_ones_own_is_written_completed_and_used(tmp_path):
    performance, joints = performed("walker", 0, 6)
    rig = mixamo_rig(performance.rest, performance.sole, prefix="")
    rig.data.bones["LeftLeg"].name = "Bob"
    path = tmp_path / "map.json"
    save_bone_map(choose_map("auto", [bone.name for bone in rig.data.bones]), path)
    with pytest.raises(ExportError, match="no bone in 'Armature' for left_knee"):
        retarget(performance, rig, RetargetSettings(str(path)))
    stored = json.loads(path.read_text())
    assert stored["bones"]["left_knee"] == []
    stored["bones"]["left_knee"] = "Bob"
    path.write_text(json.dumps(stored))
    retarget(performance, rig, replace(FREE, bone_map=str(path)))
    place = heads(rig, ["Bob"], performance.times)[:, 0]
    assert np.abs(place - joints[:, JOINT_NAMES.index("left_knee")]).max() < 1e-4


def test_joints_without_bones_do_not_stop_those_beyond_them_and_chains_share_a_joint(tmp_path):
    performance, joints = performed("dancer", 0, 10)
    rig = mixamo_rig(performance.rest, performance.sole)
    few = preset_map("mixamo")
    bones = {joint: found for joint, found in few.bones.items() if joint not in ("spine1", "spine2", "left_collar")}
    bones["spine3"] = ("Spine", "Spine1", "Spine2")
    save_bone_map(replace(few, bones={j: tuple(f"mixamorig:{b}" for b in found) for j, found in bones.items()}),
                  tmp_path / "few.json")  # fmt: skip
    done = retarget(performance, rig, replace(FREE, bone_map=str(tmp_path / "few.json")))
    assert done.warnings == ["No bones for spine1, spine2, left_collar: they are left out."]
    places = mixamo_joints(rig, performance)
    assert np.linalg.norm(directions(places, JOINTS) - directions(joints, JOINT_NAMES), axis=-1).max() < 1e-3


def with_wrong_rest_pose(rig):
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    for side in ("Left", "Right"):
        bone = rig.data.edit_bones[f"mixamorig:{side}Foot"]
        bone.head.y = rig.data.edit_bones[f"mixamorig:{side}UpLeg"].head.y
        bone.head.z += 0.8
    bpy.ops.object.mode_set(mode="OBJECT")


def with_uneven_scale(rig):
    rig.scale = (1, 2, 1)


def with_swapped_sides(rig):
    for bone in list(rig.data.bones):
        bone.name = bone.name.replace("Left", "?").replace("Right", "Left").replace("?", "Right")
    for bone in rig.data.bones:
        bone.name = bone.name.removesuffix(".001")


def with_connected_hips(rig):
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    bones = rig.data.edit_bones
    root = bones.new("root")
    root.tail = bones["mixamorig:Hips"].head
    bones["mixamorig:Hips"].parent, bones["mixamorig:Hips"].use_connect = root, True
    bpy.ops.object.mode_set(mode="OBJECT")


@pytest.mark.parametrize(
    "spoilt, message",
    [
        (with_wrong_rest_pose, "does not stand upright"), (with_uneven_scale, "apply its scale"),
        (with_swapped_sides, "left and right are swapped"), (with_connected_hips, "disconnect it"),
    ],
)  # fmt: skip
def test_rigs_that_cannot_be_moved_are_told_apart_and_left_alone(spoilt, message):
    performance, _ = performed("walker", 0, 5)
    rig = mixamo_rig(performance.rest, performance.sole)
    spoilt(rig)
    bpy.context.view_layer.update()
    with pytest.raises(ExportError, match=message):
        retarget(performance, rig)
    assert not bpy.data.actions


@pytest.fixture
def files(tmp_path):
    """A Mocap and a file with a Mixamo-like rig."""
    found = make_mocap(length=12)
    performance = performance_of_track(found, 1, open_body())
    mixamo_rig(performance.rest, performance.sole, scale=0.01)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "rig.blend"))
    return mocap_file.save(found, tmp_path / "clip.npz"), tmp_path / "rig.blend"


def test_the_command_line_writes_the_moving_rig_with_the_footages_clock(files, tmp_path, capsys):
    clip, rig = files
    output = tmp_path / "out.blend"
    arguments = ["retarget", str(clip), "--person", "2", "--to", str(rig), "--armature", "Armature", "-o", str(output)]
    assert main([*arguments, "--map", "mixamo", "--save-map", str(tmp_path / "map.json")]) == 0
    assert capsys.readouterr().out.strip().endswith(str(output))
    bpy.ops.wm.open_mainfile(filepath=str(output))
    scene, armature = bpy.context.scene, bpy.data.objects["Armature"]
    assert (scene.render.fps, scene.frame_start, scene.frame_end) == (25, 1, 12)
    assert {tuple(curve.range()) for curve in compat.fcurves_of(armature)} == {(3.0, 12.0)}
    assert json.loads((tmp_path / "map.json").read_text())["bones"]["left_hip"] == "mixamorig:LeftUpLeg"


def test_a_character_from_an_fbx_file_moves_as_one_that_is_in_the_scene(files, tmp_path):
    clip, _ = files
    found = mocap_file.load(clip)
    performance = performance_of_track(found, 1, open_body())
    armature = bpy.data.objects["Armature"]
    bpy.ops.export_scene.fbx(filepath=str(tmp_path / "rig.fbx"), object_types={"ARMATURE"}, bake_anim=False)
    retarget(performance, armature, FREE)
    expected = mixamo_joints(armature, performance)
    output = tmp_path / "out.blend"
    assert main(["retarget", str(clip), "--to", str(tmp_path / "rig.fbx"), "-o", str(output), "--no-foot-lock"]) == 0
    bpy.ops.wm.open_mainfile(filepath=str(output))
    armature = next(o for o in bpy.data.objects if o.type == "ARMATURE")
    assert np.abs(mixamo_joints(armature, performance) - expected).max() < 1e-3


@pytest.mark.parametrize(
    "wrong, message",
    [
        (["--person", "9"], "no person 9"), (["--armature", "Bob"], "no armature 'Bob'"),
        (["--map", "bob"], "No such bone map: bob"), (["--map", "unreal"], "finds no bone in 'Armature' for pelvis"),
        (["--to", "no.blend"], "No such file"), (["--to", "rig.obj"], "a rig comes in a file ending in"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence_exit_code_two_and_no_file(files, tmp_path, capsys, wrong, message):
    clip, rig = files
    output = tmp_path / "out.blend"
    assert main(["retarget", str(clip), "--to", str(rig), "-o", str(output), *wrong]) == 2
    # Blender 5.0's own Rigify complains on loading a file once it has been switched off.
    said = capsys.readouterr().err.split("aios: ", 1)[1]
    assert message in said and len(said.strip().splitlines()) == 1
    assert not output.exists()


def test_bone_maps_that_are_none_are_told(tmp_path):
    for text, message in (
        ("{", "not a bone map"), ("[1]", "not a bone map"), ('{"format": "aios-bone-map"}', "damaged"),
        ('{"format": "aios-bone-map", "version": 9, "bones": {}}', "newer version"),
        ('{"format": "aios-bone-map", "bones": {"hip": "x"}}', "'hip' is no SMPL-X joint"),
        ('{"format": "aios-bone-map", "bones": {"left_hip": ["x", "y"]}}', "one bone only"),
        ('{"format": "aios-bone-map", "bones": {"head": "x"}, "prefix": "("}', "damaged"),
        ('{"format": "aios-bone-map", "bones": {"head": "x", "neck": ["y", "x"]}}', "'x' stands for two joints"),
    ):  # fmt: skip
        (tmp_path / "map.json").write_text(text)
        with pytest.raises(ExportError, match=message):
            choose_map(str(tmp_path / "map.json"), [])


def test_the_panels_button_retargets_the_active_person(tmp_path):
    aios_blender.register()
    try:
        people = build(make_mocap(length=12), open_body(), SceneSettings(with_camera=False)).people
        rig = mixamo_rig(performed("walker")[0].rest, performed("walker")[0].sole)
        bpy.context.view_layer.objects.active = people[0].armature
        assert not bpy.ops.aios.retarget.poll()
        bpy.context.scene.aios_retarget.rig = rig
        assert bpy.ops.aios.retarget() == {"FINISHED"}
        assert tuple(rig.animation_data.action.frame_range) == (1, 12)
        assert bpy.ops.aios.save_bone_map(filepath=str(tmp_path / "map.json")) == {"FINISHED"}
        settings = bpy.context.scene.aios_retarget
        assert (settings.bone_map, settings.map_file) == ("FILE", str(tmp_path / "map.json"))
        settings.bone_map = "unreal"
        with pytest.raises(RuntimeError, match="finds no bone"):
            bpy.ops.aios.retarget()
    finally:
        aios_blender.unregister()


def test_smooth_curves_are_the_least_squares_they_are_said_to_be():
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 8, 11):
        times = np.cumsum(rng.uniform(0.5, 1.5, count))
        pull, held = rng.normal(size=(count, 2, 3)), rng.uniform(0, 5, (count, 2))
        free, couple = rng.uniform(0.1, 1, count), rng.uniform(0, 2, count)
        bands, normal = bending_bands(times, 1.3), np.zeros((count, 2, count, 2))
        for i in range(count):
            for ahead in range(min(3, count - i)):
                for k in range(2):
                    normal[i, k, i + ahead, k] = normal[i + ahead, k, i, k] = bands[i, ahead]
            normal[i, :, i] += np.diag(held[i] + free[i]) + couple[i] * np.array([[1, -1], [-1, 1]])
        expected = np.linalg.solve(normal.reshape(2 * count, -1), (held[..., None] * pull).reshape(2 * count, 3))
        found = smooth_pull(pull, held, free, couple, times, 1.3)
        assert np.abs(found.reshape(2 * count, 3) - expected).max() < 1e-9
