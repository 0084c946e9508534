"""Motion capture files: limbs point on our body where the file's skeleton points them, whatever its rest pose."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from aios_core.body.files import open_body
from aios_core.body.skinning import pose_joints
from aios_core.errors import FootageError
from training.data.synthetic.motion import clip_lengths, load_motion
from training.data.synthetic.retarget import FPS, NEXT, joints_by_name, main, on_body, read_captured

FRAMES = 9
ONE_JOINT = """HIERARCHY
ROOT {} {{
OFFSET 0 0 0
CHANNELS 3 Zrotation Xrotation Yrotation
}}
MOTION
Frames: {}
Frame Time: 0.03
1 2 3
"""
SIDES = (("left", 1), ("right", -1))


def skeleton(arms_down: bool):
    """(name in BVH, in ASF, parent, offset from the parent's end of bone) of people in inches, T or A pose."""
    arm = np.array([0.6, -0.8, 0]) if arms_down else np.array([1.0, 0, 0])
    bones = [("Spine", "lowerback", "Hips", (0, 5, 0)), ("Spine1", "thorax", "Spine", (0, 10, 0))]
    for side, sign in SIDES:
        name, flip = side.capitalize(), np.array([sign, 1, 1])
        bones += [
            (f"{name}UpLeg", f"{side[0]}femur", "Hips", (4 * sign, 0, 0), (0, -16, 0)),
            (f"{name}Leg", f"{side[0]}tibia", f"{name}UpLeg", (0, -16, 0), (0, -15, 0)),
            (f"{name}Foot", f"{side[0]}foot", f"{name}Leg", (0, -15, 0), (0, -2, 5)),
            (f"{name}Arm", f"{side[0]}humerus", "Spine1", (7 * sign, 8, 0), tuple(11 * arm * flip)),
            (f"{name}ForeArm", f"{side[0]}radius", f"{name}Arm", tuple(11 * arm * flip), tuple(10 * arm * flip)),
            (f"{name}Hand", f"{side[0]}hand", f"{name}ForeArm", tuple(10 * arm * flip), tuple(3 * arm * flip)),
        ]
    return [(*bone, (0, 5, 0)) if len(bone) == 4 else bone for bone in bones]


def random_turns(names, rng):
    """World rotations by name: (FRAMES, 3, 3) each."""
    return {n: Rotation.from_rotvec(rng.normal(0, 0.6, (FRAMES, 3))).as_matrix() for n in names}


def write_bvh(path, bones, turns, place, fps=60.0):
    children = {name: [b for b in bones if b[2] == name] for name in turns}

    def node(name, offset, end, kind):
        inner = "".join(node(b[0], b[3], b[4], "JOINT") for b in children[name])
        inner = inner or f"End Site {{ OFFSET {end[0]} {end[1]} {end[2]} }}\n"
        moves = "6 Xposition Yposition Zposition" if kind == "ROOT" else "3"
        return (
            f"{kind} {name}\n{{\nOFFSET {offset[0]} {offset[1]} {offset[2]}\n"
            f"CHANNELS {moves} Zrotation Xrotation Yrotation\n{inner}}}\n"
        )

    def columns(name, parent):
        local = turns[name] if parent is None else turns[parent].swapaxes(1, 2) @ turns[name]
        angles = Rotation.from_matrix(local).as_euler("ZXY", degrees=True)
        return np.hstack([angles, *(columns(b[0], name) for b in children[name])])

    rows = np.hstack([place, columns("Hips", None)])
    text = "\n".join(" ".join(f"{x:.8f}" for x in row) for row in rows)
    hierarchy = "HIERARCHY\n" + node("Hips", (0, 0, 0), (0, 1, 0), "ROOT")
    path.write_text(f"{hierarchy}MOTION\nFrames: {len(rows)}\nFrame Time: {1 / fps:.8f}\n{text}\n")


def write_acclaim(folder, bones, turns, place, rng):
    """subject.asf and subject_01.amc; bones that only bridge a gap have no degrees of freedom."""
    data, tree, own = [], [], {}
    for bvh, name, parent, offset, end in bones:
        parent_name = {"Hips": "root"} | {b[0]: b[1] for b in bones}
        tail = {b[0]: b[4] for b in bones} | {"Hips": (0, 0, 0)}
        gap = np.subtract(offset, tail[parent])
        if np.abs(gap).max() > 1e-9:  # bones start where their parents end
            data.append((f"{name}gap", gap, (0, 0, 0), False))
            tree.append(f"{parent_name[parent]} {name}gap\n{name}gap {name}")
        else:
            tree.append(f"{parent_name[parent]} {name}")
        axis = rng.uniform(-90, 90, 3)
        data.append((name, end, axis, True))
        local = turns[parent].swapaxes(1, 2) @ turns[bvh]
        frame = Rotation.from_euler("xyz", axis, degrees=True).as_matrix()
        own[name] = Rotation.from_matrix(frame.T @ local @ frame).as_euler("xyz", degrees=True)
    text = ":units\n length 1\n angle deg\n:root\n order TX TY TZ RX RY RZ\n axis XYZ\n position 0 0 0\n"
    text += " orientation 0 0 0\n:bonedata\n"
    for number, (name, end, axis, moves) in enumerate(data, 1):
        direction, length = np.asarray(end) / np.linalg.norm(end), np.linalg.norm(end)
        text += f" begin\n id {number}\n name {name}\n direction {direction[0]} {direction[1]} {direction[2]}\n"
        text += f" length {length}\n axis {axis[0]} {axis[1]} {axis[2]} XYZ\n" + " dof rx ry rz\n" * moves
        text += " limits (-180 180)\n        (-180 180)\n" * moves + " end\n"
    text += ":hierarchy\n begin\n" + "\n".join(tree) + "\n end\n"
    (folder / "subject.asf").write_text(text)
    root = Rotation.from_matrix(turns["Hips"]).as_euler("xyz", degrees=True)
    lines = [":FULLY-SPECIFIED", ":DEGREES"]
    for t in range(FRAMES):
        lines += [str(t + 1), "root " + " ".join(map(str, [*place[t], *root[t]]))]
        lines += [f"{name} " + " ".join(map(str, angles[t])) for name, angles in own.items()]
    (folder / "subject_01.amc").write_text("\n".join(lines) + "\n")
    return folder / "subject_01.amc"


def assert_limbs_point_the_same_way(path, bones, turns):
    body = open_body()
    captured = read_captured(path)
    clip = on_body(captured, body)
    joints = pose_joints(body, np.zeros((len(clip.transl), 10), np.float32), clip.full_pose, clip.transl)
    frames = np.arange(0, FRAMES, captured.fps / FPS).round().astype(int)
    frames = frames[frames < FRAMES]
    assert len(frames) == len(clip.transl)
    theirs = {b[0]: b for b in bones} | {b[1]: b for b in bones}
    for joint, place in joints_by_name(captured.names).items():
        if joint in NEXT and joint not in (7, 8):
            bone = theirs[captured.names[place]]
            wanted = turns[bone[0]][frames] @ (np.asarray(bone[4]) / np.linalg.norm(bone[4]))
            found = joints[:, NEXT[joint]] - joints[:, joint]
            found /= np.linalg.norm(found, axis=-1, keepdims=True)
            assert np.abs(found - wanted).max() < 1e-4, captured.names[place]


@pytest.mark.parametrize("arms_down", [False, True], ids=["T-pose", "A-pose"])
@pytest.mark.parametrize("kind", ["bvh", "amc"])
def test_limbs_point_where_the_file_points_them(tmp_path, kind, arms_down):
    rng, bones = np.random.default_rng(3), skeleton(arms_down)
    turns, place = random_turns(["Hips", *(b[0] for b in bones)], rng), rng.normal(0, 10, (FRAMES, 3))
    if kind == "bvh":
        path = tmp_path / "dance.bvh"
        write_bvh(path, bones, turns, place)
    else:
        path = write_acclaim(tmp_path, bones, turns, place, rng)
    assert_limbs_point_the_same_way(path, bones, turns)


def test_a_skeleton_at_rest_in_t_pose_is_our_rest_pose(tmp_path):
    bones = skeleton(arms_down=False)
    turns = {name: np.tile(np.eye(3), (FRAMES, 1, 1)) for name in ["Hips", *(b[0] for b in bones)]}
    write_bvh(tmp_path / "rest.bvh", bones, turns, np.zeros((FRAMES, 3)))
    clip = on_body(read_captured(tmp_path / "rest.bvh"), open_body())
    assert np.abs(clip.full_pose[:, [0, 3, 6, 9, 12, 15]]).max() < 1e-6
    assert np.abs(clip.full_pose).max() < 0.45, "limbs of our body are not perfectly straight"


def test_people_who_rest_looking_elsewhere_and_lying_down_end_upright(tmp_path):
    """The same capture in a Z-up world, turned by a right angle, is the same motion."""
    rng, bones = np.random.default_rng(5), skeleton(arms_down=True)
    turns, place = random_turns(["Hips", *(b[0] for b in bones)], rng), rng.normal(0, 10, (FRAMES, 3))
    write_bvh(tmp_path / "here.bvh", bones, turns, place)
    world = Rotation.from_euler("XZ", [90, 90], degrees=True).as_matrix()
    moved = [(*b[:3], tuple(world @ b[3]), tuple(world @ b[4])) for b in bones]
    write_bvh(tmp_path / "there.bvh", moved, {n: world @ r @ world.T for n, r in turns.items()}, place @ world.T)
    here, there = (on_body(read_captured(tmp_path / f"{name}.bvh"), open_body()) for name in ("here", "there"))
    assert np.allclose(here.full_pose, there.full_pose, atol=1e-4)
    assert np.allclose(here.transl, there.transl, atol=1e-4)


def test_the_command_writes_motion_that_the_generator_reads(tmp_path, capsys):
    bones = skeleton(arms_down=True)
    turns = random_turns(["Hips", *(b[0] for b in bones)], np.random.default_rng(1))
    write_bvh(tmp_path / "dance.bvh", bones, turns, np.zeros((FRAMES, 3)), fps=30)
    (tmp_path / "poses").mkdir()
    (tmp_path / "poses/.cut.npz").write_bytes(b"PK")  # what one that was killed left
    assert main([str(tmp_path / "dance.bvh"), "--out", str(tmp_path / "poses/mine.npz")]) == 0
    assert f"1 clips, {FRAMES} frames" in capsys.readouterr().out
    assert load_motion(tmp_path / "poses").body_pose.shape == (FRAMES, 21, 3)
    assert list(clip_lengths(tmp_path / "poses").values()) == [FRAMES]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("cut.bvh", ONE_JOINT.format("Hips", 2), "no complete BVH file"),
        ("none.bvh", "hello", "no complete BVH file"),
        ("alone.amc", ":DEGREES\n1\nroot 0 0 0 0 0 0\n", "no skeleton"),
        ("song.mp3", "", ".bvh and .amc are"),
        ("snake.bvh", ONE_JOINT.format("Head", 1), "no joints with usual names"),
    ],
)
def test_files_that_are_none_are_refused_in_a_sentence(tmp_path, capsys, name, text, said):
    (tmp_path / name).write_text(text)
    assert main([str(tmp_path / name), "--out", str(tmp_path / "mine.npz")]) == FootageError.exit_code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "mine.npz").exists()
