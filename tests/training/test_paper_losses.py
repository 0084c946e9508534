"""The published recipe's losses and assignments against numbers of the published program, term by term."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from aios_core.model.predictions import LayerPredictions, Predictions, Proposals
from tests import aios_synth
from tests.conformance import FIELDS
from training.paper.config import PAPER
from training.paper.criterion import Losses, total_loss
from training.paper.losses import weight_of
from training.paper.matcher import match
from training.paper.normalisers import normalisers
from training.paper.targets import BatchTargets, PictureTargets, join

FIXTURES = Path(__file__).parent.parent / "fixtures"
with np.load(FIXTURES / "aios_losses.npz") as stored:
    PUBLISHED = dict(stored)
TERMS = {
    str(name): (float(value), float(weight))
    for name, value, weight in zip(
        PUBLISHED["loss.names"], PUBLISHED["loss.values"], PUBLISHED["loss.weight"], strict=True
    )
    if not np.isnan(weight)
}
"""Value and weight of every published term that counts."""
PARTS = {"body": "body", "lhand": "left_hand", "rhand": "right_hand", "face": "face"}


def our_name(published: str) -> tuple[str, str]:
    """Our name of a published term, and its place."""
    name, _, place = published.removeprefix("loss_").rpartition("_")
    if place not in {"interm", *"01234"}:
        name, place = f"{name}_{place}" if name else place, "5"
    place = "proposals" if place == "interm" else place
    if name.startswith("dn_"):
        return {"ce": "denoising_classification", "bbox": "denoising_box", "giou": "denoising_giou"}[name[8:]], place
    words = name.removeprefix("smpl_").split("_")
    part = next((PARTS[word] for word in words if word in PARTS), "body")
    kind = [word for word in words if word not in PARTS]
    kinds = {
        "ce": "classification", "bbox": f"box.{part}", "giou": f"giou.{part}", "keypoints": f"keypoints.{part}",
        "oks": f"oks.{part}", "pose root": "global_orient", "pose": f"pose.{part}", "pose jaw": "pose.face",
        "beta": "betas", "expr": "expression", "kp3d": f"joints_3d.{part}", "kp3d ra": f"joints_3d_aligned.{part}",
        "kp2d": f"joints_2d.{part}",
    }  # fmt: skip
    return kinds[" ".join(kind)], place


@dataclass(frozen=True)
class LayerWithJoints(LayerPredictions):
    """As the fixture's outputs: the 137 joints come with them instead of from a body."""

    joints: torch.Tensor | None = None


def layer(out: dict[str, np.ndarray]) -> LayerPredictions:
    values = {}
    for name, field in FIELDS.items():
        if name in out:
            value = torch.from_numpy(out[name])
            if name.endswith("keypoints"):
                value = value[..., : value.shape[-1] // 3 * 2].unflatten(-1, (-1, 2))
            values[field] = value
    joints = torch.from_numpy(out["pred_smpl_kp3d"]) if "pred_smpl_kp3d" in out else None
    return LayerWithJoints(**values, joints=joints)


def picture_targets(target: dict[str, np.ndarray], data: dict[str, np.ndarray]) -> PictureTargets:
    parts = ("lhand", "rhand", "face")

    def points(name: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        return target[name][:, : 2 * count].reshape(-1, count, 2), target[name][:, 2 * count :]

    def stacked(arrays) -> np.ndarray:
        return np.stack(list(arrays), 1)

    height, width = data["img_shape"]
    part_points = [points(f"{part}_keypoints", 6) for part in parts]
    # The fixture's body joints are those that the published reader has already taken relative to each part.
    aligned = data["smplx_joint_cam"][..., :3] - data["smplx_joint_cam"][:, :1, :3]
    body = aligned.copy()
    for part, origin in ((slice(25, 45), 12), (slice(45, 65), 13), (slice(65, 137), 7)):
        body[:, part] += aligned[:, origin : origin + 1]
    arrays = {
        "boxes": target["boxes"], "boxes_valid": data["body_bbox_valid"],
        "part_boxes": stacked(target[f"{part}_boxes"] for part in parts),
        "part_boxes_valid": stacked(data[f"{part}_bbox_valid"] for part in parts),
        "keypoints": points("keypoints", 17)[0], "keypoints_valid": points("keypoints", 17)[1],
        "part_keypoints": stacked(p for p, _ in part_points),
        "part_keypoints_valid": stacked(v for _, v in part_points),
        "pose": data["smplx_pose"].reshape(-1, 53, 3), "pose_valid": data["smplx_pose_valid"],
        "betas": data["smplx_shape"], "betas_valid": data["smplx_shape_valid"],
        "expression": data["smplx_expr"], "expression_valid": data["smplx_expr_valid"],
        "joints_3d": data["joint_cam"][..., :3], "joints_3d_valid": data["joint_cam"][..., 3],
        "body_joints_3d": body, "body_joints_3d_valid": data["smplx_joint_cam"][..., 3],
        "joints_2d": data["joint_img"][..., :2] / [12, 16], "joints_2d_valid": data["joint_img"][..., 2],
    }  # fmt: skip
    return PictureTargets(
        **{name: torch.from_numpy(np.asarray(array, np.float64)) for name, array in arrays.items()},
        image_size_px=(int(width), int(height)),
        has_3d=bool(data["is_3D"]),
    )


@pytest.fixture(scope="module")
def case() -> tuple[Predictions, BatchTargets, torch.Tensor]:
    """Predictions, targets and the copies' clean boxes."""
    outputs, targets, data = aios_synth.train_case()
    layers = tuple(layer(out) for out in outputs["layers"])
    copies = tuple(
        LayerPredictions(torch.from_numpy(out["dn_class_pred"]), torch.from_numpy(out["dn_bbox_pred"]))
        for out in outputs["layers"]
    )
    proposals = Proposals(*(torch.from_numpy(outputs["proposals"][name]) for name in ("pred_logits", "pred_boxes")))
    pictures = [picture_targets(t, {k: v[i] for k, v in data.items()}) for i, t in enumerate(targets)]
    clean = torch.from_numpy(outputs["layers"][0]["dn_bbox_input"])
    return Predictions(layers[-1], layers, proposals, None, copies), join(pictures, torch.float64), clean


@pytest.fixture(scope="module")
def losses(case) -> Losses:
    return computed(case)


def computed(case, **changes) -> Losses:
    predictions, targets, clean = case
    config = replace(PAPER, **changes)
    (divisors,) = normalisers([targets], config)
    return total_loss(predictions, targets, divisors, clean, config, lambda found, _: found.joints, 5000.0)


def test_the_published_program_has_159_terms_and_we_have_the_same(losses):
    assert len(TERMS) == 159
    expected = {"{}/{}".format(*our_name(name)) for name, (value, _) in TERMS.items() if value != 0}
    assert set(losses.terms) == expected


@pytest.mark.parametrize("published", TERMS)
def test_a_term_and_its_weight_are_the_published_ones(losses, published):
    term, place = our_name(published)
    value, weight = TERMS[published]
    assert weight_of(term, replace(PAPER, layer4_divisor=1), 0) == weight
    found = losses.terms.get(f"{term}/{place}", torch.zeros(()))  # what a layer does not compute counts nothing
    assert float(found) == pytest.approx(value, rel=1e-6, abs=1e-12)


def test_the_sum_is_the_published_one_with_and_without_the_lighter_terms(case, losses):
    assert float(losses.total) == pytest.approx(float(PUBLISHED["loss.total_with_layer4_scaling"]), rel=1e-7)
    plain = computed(case, layer4_divisor=1.0)
    assert float(plain.total) == pytest.approx(float(PUBLISHED["loss.total_plain"]), rel=1e-7)
    lighter = {"{}/{}".format(*our_name(str(name))) for name in PUBLISHED["loss.layer4_scaled_keys"]}
    assert lighter == {f"{term}/4" for term in {name.split("/")[0] for name in losses.terms} if scaled(term)}


def scaled(term: str) -> bool:
    return weight_of(term, PAPER, 1) != weight_of(term, PAPER, 0)


def test_one_device_counts_the_same_with_and_without_the_other_devices_counts(case, losses):
    own = computed(case, global_normalisers=False)
    assert {k: float(v) for k, v in own.terms.items()} == pytest.approx({k: float(v) for k, v in losses.terms.items()})


@pytest.mark.parametrize("place", ["interm", "aux0", "aux1", "aux2", "aux3", "aux4", "final"])
def test_people_get_the_published_queries(case, place):
    predictions, targets, _ = case
    if place == "interm":
        layer = LayerPredictions(predictions.proposals.logits, predictions.proposals.boxes)
    else:
        layer = predictions.layers[int(place[-1]) if place != "final" else 5]
    people, queries = match(layer.logits, layer.boxes, layer.keypoints, targets, PAPER.costs)
    for picture in range(2):
        first = int((targets.picture < picture).sum())
        of_picture = targets.picture[people] == picture
        found = dict(zip((people[of_picture] - first).tolist(), queries[of_picture].tolist(), strict=True))
        gt, query = (PUBLISHED[f"match.{place}.{picture}.{name}"].tolist() for name in ("gt", "query"))
        assert found == dict(zip(gt, query, strict=True))


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("jaw_is_summed", {"pose.face"}),
        ("face_points_counted_as_left_hand", {"keypoints.face", "oks.face"}),
        ("part_oks_by_body_area", {"oks.left_hand", "oks.right_hand", "oks.face"}),
    ],
)
def test_a_published_fault_can_be_switched_off_and_touches_nothing_else(case, field, changed):
    predictions, targets, clean = case
    # Somebody's left hand is not known, and boxes of parts are so large that their points are near enough to count.
    seen = targets.part_keypoints_valid.clone()
    seen[0, 0] = 0
    showing = predictions, replace(targets, part_keypoints_valid=seen, part_boxes=targets.part_boxes * 50), clean
    published, mended = computed(showing), computed(showing, **{field: False})
    differ = {
        name.split("/")[0] for name, value in mended.terms.items() if float(value) != float(published.terms[name])
    }
    assert differ == changed


def test_a_mean_over_people_replaces_the_summed_jaw(case, losses):
    mended = computed(case, jaw_is_summed=False)
    assert float(mended.terms["pose.face/5"]) * 5 == pytest.approx(float(losses.terms["pose.face/5"]), rel=1e-5)
