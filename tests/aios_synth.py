"""A made-up SMPL-X body, network weights by a second rule, and pictures: pure functions of a name.

The fixtures aios_bodies.npz, aios_denoising.npz and aios_preprocess.npz were made with these.
"""

from __future__ import annotations

import zlib

import numpy as np

from aios_core.body.joints import PARENTS

VERTICES, FACES = 10475, 20908


def generator(name: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))


def _rest_joints() -> np.ndarray:
    """(55, 3) a crude T-pose, metres, y up, x to the subject's left, z forward."""
    joints = np.zeros((55, 3))
    joints[[1, 2]] = [[0.06, -0.09, 0], [-0.06, -0.09, 0]]
    joints[3] = [0, 0.11, -0.01]
    joints[[4, 5]] = [[0.1, -0.47, 0], [-0.1, -0.47, 0]]
    joints[6] = [0, 0.24, 0]
    joints[[7, 8]] = [[0.09, -0.87, -0.03], [-0.09, -0.87, -0.03]]
    joints[9] = [0, 0.29, 0.02]
    joints[[10, 11]] = [[0.12, -0.93, 0.1], [-0.12, -0.93, 0.1]]
    joints[12] = [0, 0.5, -0.02]
    joints[[13, 14]] = [[0.08, 0.41, -0.01], [-0.08, 0.41, -0.01]]
    joints[15] = [0, 0.57, 0.02]
    joints[[16, 17]] = [[0.17, 0.44, -0.02], [-0.17, 0.44, -0.02]]
    joints[[18, 19]] = [[0.42, 0.43, -0.04], [-0.42, 0.43, -0.04]]
    joints[[20, 21]] = [[0.67, 0.44, -0.04], [-0.67, 0.44, -0.04]]
    joints[22] = [0, 0.55, 0.05]
    joints[[23, 24]] = [[0.03, 0.63, 0.08], [-0.03, 0.63, 0.08]]
    for base, side in ((25, 1.0), (40, -1.0)):
        for finger in range(5):  # index, middle, pinky, ring, thumb
            z = [0.02, 0.0, -0.045, -0.02, 0.03][finger]
            x = [0.09, 0.095, 0.08, 0.09, 0.03][finger]
            for k in range(3):
                joints[base + 3 * finger + k] = [
                    side * (0.67 + x + 0.03 * k),
                    0.44 - (0.01 if finger < 4 else 0.02),
                    -0.04 + z + (0.012 * k if finger == 4 else 0),
                ]
    return joints


def smplx_arrays() -> dict[str, np.ndarray]:
    """Arrays with the names and shapes of SMPLX_NEUTRAL.npz."""
    owner = np.arange(VERTICES) % 55
    template = _rest_joints()[owner] + generator("smplx.v").standard_normal((VERTICES, 3)) * 0.03
    shapedirs = generator("smplx.shapedirs").standard_normal((VERTICES, 3, 400)) * 0.004
    posedirs = generator("smplx.posedirs").standard_normal((VERTICES, 3, 486)) * 0.0005
    faces = generator("smplx.f").integers(0, VERTICES, (FACES, 3)).astype(np.uint32)
    random = generator("smplx.J_regressor")
    regressor = np.zeros((55, VERTICES))
    for joint in range(55):
        own = np.where(owner == joint)[0][:40]
        weight = random.uniform(0.5, 1.5, len(own))
        regressor[joint, own] = weight / weight.sum()
    share = generator("smplx.weights").uniform(0.6, 0.95, VERTICES)
    weights = np.zeros((VERTICES, 55))
    np.add.at(weights, (np.arange(VERTICES), owner), share)
    np.add.at(weights, (np.arange(VERTICES), np.maximum(PARENTS[owner], 0)), 1 - share)
    random = generator("smplx.hands")
    components = [np.linalg.qr(random.standard_normal((45, 45)))[0] for _ in range(2)]
    means = [random.standard_normal(45) * 0.15 for _ in range(2)]
    random = generator("smplx.lmk")

    def barycentric(*shape: int) -> np.ndarray:
        weight = random.uniform(0.1, 1, (*shape, 3))
        return weight / weight.sum(-1, keepdims=True)

    landmarks, landmark_weights = random.integers(0, FACES, 51), barycentric(51)
    contour, contour_weights = random.integers(0, FACES, (79, 17)), barycentric(79, 17)
    return {
        "v_template": template, "shapedirs": shapedirs, "posedirs": posedirs, "f": faces, "J_regressor": regressor,
        "kintree_table": np.stack([PARENTS.astype(np.int64) % (1 << 32), np.arange(55)]).astype(np.uint32),
        "weights": weights, "hands_componentsl": components[0], "hands_componentsr": components[1],
        "hands_meanl": means[0], "hands_meanr": means[1], "lmk_faces_idx": landmarks,
        "lmk_bary_coords": landmark_weights, "dynamic_lmk_faces_idx": contour,
        "dynamic_lmk_bary_coords": contour_weights,
    }  # fmt: skip


def value(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The network's tensor with the canonical published name `key`, float32."""
    noise = generator(key).standard_normal(shape)
    if len(shape) >= 2 and _rows_sum_to_zero(key):
        noise = noise - noise.reshape(shape[0], -1).mean(1).reshape(-1, *[1] * (len(shape) - 1))
    if key.endswith("running_var"):
        return (1 + 0.2 * np.abs(noise)).astype(np.float32)
    mean, scale = _mean_and_scale(key, shape)
    result = mean + scale * noise
    if len(shape) == 2 and shape[1] == 2 and shape[0] > 1 and ".hw" in key:
        result[0] -= 6.5  # one tiny box a group exercises the clamp of logits
    return result.astype(np.float32)


def _mean_and_scale(key: str, shape: tuple[int, ...]):
    """The first rule that fits."""
    scale = 1 / np.sqrt(max(int(np.prod(shape[1:])), 1))
    if key.startswith("backbone.0.body."):
        if len(shape) == 4:
            return 0, np.sqrt(2) * scale
        if key.endswith("bn3.weight"):
            return 0.3, 0.03
        return (0, 0.1) if key.endswith(("running_mean", "bias")) else (1, 0.1)
    fixed = {"sampling_offsets.weight": (0, 0.5 * scale), "sampling_offsets.bias": (0, 2.0),
             "attention_weights.bias": (0, 0.5), "transformer.enc_output.bias": (0, 3e-4),
             "transformer.enc_out_bbox_embed.layers.2.bias": (np.array([0, 0, 1, 1]), 0.1),
             "transformer.level_embed": (0, 0.5)}  # fmt: skip
    for ending, rule in fixed.items():
        if key.endswith(ending):
            return rule
    if ".hw" in key and len(shape) == 2 and shape[1] == 2:
        return 0.5, 0.5
    if key.startswith("transformer.decoder.") and key.endswith("_embed.weight") and len(shape) == 2:
        return 0, 0.5
    if key.startswith(("class_embed.", "transformer.enc_out_class_embed.")):
        return (0, 2 * scale) if len(shape) > 1 else (-1, 0.3)
    if key.endswith((".layers.2.weight", ".layers.2.bias")):
        return _last_layer(key, shape, scale)
    if len(shape) >= 2:
        is_hidden = key.endswith((".layers.0.weight", ".layers.1.weight")) and "_embed" in key
        return 0, (np.sqrt(2) if is_hidden or key.endswith("linear1.weight") else 1) * scale
    is_norm = "norm" in key or (key.startswith("input_proj.") and ".1." in key)
    return (1, 0.1) if is_norm and key.endswith(".weight") else (0, 0.05)


def _last_layer(key: str, shape: tuple[int, ...], scale: float):
    is_weight = key.endswith("weight")
    if key.startswith("smpl_cam_embed."):
        return (0, 0.004 * scale) if is_weight else (np.array([0.03, 0, 0]), 0.001)
    if key.startswith(("smpl_pose_embed.", "smpl_hand_pose_embed.", "smpl_jaw_embed.")):
        return (0, 0.5 * scale) if is_weight else (np.tile([1.0, 0, 0, 1, 0, 0], shape[0] // 6), 0.1)
    if key.startswith(("smpl_beta_embed.", "smpl_expr_embed.")):
        return (0, scale) if is_weight else (0, 0.2)
    return (0, 0.5 * scale) if is_weight else (0, 0.1)


def _rows_sum_to_zero(key: str) -> bool:
    """Weights behind a ReLU, so that its mean does not drift through the network."""
    if key.startswith("backbone.0.body."):
        return not key.endswith("body.conv1.weight")
    return key.startswith("input_proj.") or key.endswith(("linear2.weight", ".layers.1.weight", ".layers.2.weight"))


def picture(name: str, height: int, width: int) -> np.ndarray:
    """(H, W, 3) uint8: waves, rectangles and noise."""
    random = generator("image." + name)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    image = np.zeros((height, width, 3))
    for channel in range(3):
        for _ in range(6):
            fx, fy, phase, size = (random.uniform(*r) for r in ((-0.08, 0.08), (-0.08, 0.08), (0, 6.28), (10, 30)))
            image[..., channel] += size * np.sin(fx * x + fy * y + phase)
    for _ in range(12):
        left, top = random.integers(0, width), random.integers(0, height)
        w, h = random.integers(8, width // 3), random.integers(8, height // 3)
        image[top : top + h, left : left + w] += random.uniform(-80, 80, 3)
    image += 128 + 12 * random.standard_normal((height, width, 3))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def train_case() -> tuple[dict, list[dict], dict[str, list[np.ndarray]]]:
    """What the losses in aios_losses.npz were computed from: outputs, targets and the data's annotations."""
    random = generator("train_case")
    normal, uniform = random.standard_normal, random.uniform

    def boxes(*shape: int) -> np.ndarray:
        return np.concatenate([uniform(0.2, 0.8, (*shape, 2)), uniform(0.05, 0.4, (*shape, 2))], -1)

    def points(count: int, *shape: int) -> np.ndarray:
        """x0 y0 x1 y1 ... and then visibilities."""
        return np.concatenate([uniform(0.1, 0.9, (*shape, 2 * count)), uniform(0.5, 0.9, (*shape, count))], -1)

    def layer(index: int) -> dict[str, np.ndarray]:
        queries = 900 if index < 2 else 100
        out = {"pred_logits": normal((2, queries, 2)) - 2, "pred_boxes": boxes(2, queries)}
        if index < 2:
            return out
        for part in ("lhand", "rhand", "face"):
            out[f"pred_{part}_boxes"] = boxes(2, queries)
            if index >= 4:
                out[f"pred_{part}_keypoints"] = points(6, 2, queries)
        out["pred_keypoints"] = points(17, 2, queries)
        for name, count in (("pose", 22), ("lhand_pose", 15), ("rhand_pose", 15), ("jaw_pose", 1)):
            out[f"pred_smpl_{name}"] = normal((2, queries, count, 3, 3)) * 0.5
        out["pred_smpl_beta"], out["pred_smpl_expr"] = normal((2, queries, 10)), normal((2, queries, 10))
        scale = uniform(0.03, 0.08, (2, queries, 1))
        out["pred_smpl_cam"] = np.concatenate([scale, normal((2, queries, 2)) * 0.002], -1)
        out["pred_smpl_kp3d"] = normal((2, queries, 137, 3)) * 0.4
        return out

    layers = [layer(index) for index in range(6)]
    clean = boxes(2, 100)
    for out in layers:
        out |= {"dn_bbox_input": clean, "dn_class_pred": normal((2, 100, 2)), "dn_bbox_pred": boxes(2, 100)}
    proposals = {"pred_logits": normal((2, 900, 2)) - 2, "pred_boxes": boxes(2, 900)}
    targets, annotations = [], {}
    for picture, count in enumerate((2, 3)):
        target = {"boxes": boxes(count), "keypoints": points(17, count)}
        target["keypoints"][:, 34:] = uniform(0, 1, (count, 17)) < 0.8
        for part in ("lhand", "rhand", "face"):
            target[f"{part}_boxes"] = boxes(count)
            target[f"{part}_keypoints"] = points(6, count)
            target[f"{part}_keypoints"][:, 12:] = uniform(0, 1, (count, 6)) < 0.7
        targets.append(target)
        new = {"smplx_pose": normal((count, 159)) * 0.4, "smplx_pose_valid": np.ones((count, 53))}
        new["smplx_pose_valid"][0, 22:37] = 0
        new |= {"smplx_shape": normal((count, 10)), "smplx_shape_valid": np.arange(count) != 1}
        new |= {"smplx_expr": normal((count, 10)), "smplx_expr_valid": np.arange(count) != 0}
        for name in ("joint_cam", "smplx_joint_cam"):
            joints = normal((count, 137, 3)) * 0.4
            new[name] = np.concatenate([joints, uniform(0, 1, (count, 137, 1)) < 0.9], -1)
        new["is_3D"] = np.array(picture == 0)
        x, y = uniform(0, 12, (count, 137, 1)), uniform(0, 16, (count, 137, 1))
        new["joint_img"] = np.concatenate([x, y, uniform(0, 1, (count, 137, 1)) < 0.85], -1)
        new["img_shape"] = np.array([480 + 32 * picture, 640 - 64 * picture])
        for part in ("body", "lhand", "rhand", "face"):
            new[f"{part}_bbox_valid"] = np.ones(count)
        new["lhand_bbox_valid"][-1] = 0
        new["face_bbox_valid"][0] = 1 - picture
        for name, value in new.items():
            annotations.setdefault(name, []).append(value)
    return {"layers": layers, "proposals": proposals}, targets, annotations
