"""Body, hands and face as rows of tables: their tokens, their heads, and what each SMPL-X head reads.

A person's tokens grow by stage (paper section 3.2-3.4): the body box; then body joints and the boxes of hands and
face; then the joints of hands and face. A new part or head is a new row, never a new block of code. The names of
heads and embeddings are those of the published checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass

BOX_STAGE, BODY_STAGE, WHOLE_BODY_STAGE = 0, 1, 2


@dataclass(frozen=True)
class Part:
    """One part of a person: a box, some points in it, and the decoder stages in which they appear."""

    name: str
    points: int
    box_stage: int
    points_stage: int
    box_embed: str
    """Head that moves the box's centre (body: the whole box)."""
    box_size_embed: str | None
    """Head that changes the box's size; None where box_embed does both."""
    point_embed: str
    point_size_embed: str
    box_content: str | None
    """Embedding added to the body's content to make the box token; None for the body itself."""
    box_size: str | None
    """Embedding with the new box's size relative to the body's."""
    point_content: str
    point_size: str

    @property
    def box_field(self) -> str:
        """Field of LayerPredictions with the boxes."""
        return "boxes" if self.name == "body" else f"{self.name}_boxes"

    @property
    def points_field(self) -> str:
        """Field of LayerPredictions with the keypoints."""
        return "keypoints" if self.name == "body" else f"{self.name}_keypoints"


PARTS = (
    Part("body", 17, BOX_STAGE, BODY_STAGE, "bbox_embed", None, "pose_embed", "pose_hw_embed",
         None, None, "keypoint_embed", "hw"),
    Part("left_hand", 6, BODY_STAGE, WHOLE_BODY_STAGE, "bbox_hand_embed", "bbox_hand_hw_embed", "pose_hand_embed",
         "pose_hand_hw_embed", "lhand_box_embed", "hw_lhand_bbox", "lhand_keypoint_embed", "hw_lhand_kps"),
    Part("right_hand", 6, BODY_STAGE, WHOLE_BODY_STAGE, "bbox_hand_embed", "bbox_hand_hw_embed", "pose_hand_embed",
         "pose_hand_hw_embed", "rhand_box_embed", "hw_rhand_bbox", "rhand_keypoint_embed", "hw_rhand_kps"),
    Part("face", 6, BODY_STAGE, WHOLE_BODY_STAGE, "bbox_face_embed", "bbox_face_hw_embed", "pose_face_embed",
         "pose_face_hw_embed", "face_box_embed", "hw_face_bbox", "face_keypoint_embed", "hw_face_kps"),
)  # fmt: skip
BODY = PARTS[0]


@dataclass(frozen=True)
class Slot:
    """Consecutive tokens of a person: a part's box (one token) or its points."""

    part: Part
    is_box: bool
    start: int
    stop: int

    @property
    def name(self) -> str:
        return f"{self.part.name} {'box' if self.is_box else 'points'}"


def _layout(stage: int) -> tuple[Slot, ...]:
    slots, start = [], 0
    for part in PARTS:
        for is_box, count, first in ((True, 1, part.box_stage), (False, part.points, part.points_stage)):
            if stage >= first:
                slots.append(Slot(part, is_box, start, start + count))
                start += count
    return tuple(slots)


LAYOUTS = tuple(_layout(stage) for stage in (BOX_STAGE, BODY_STAGE, WHOLE_BODY_STAGE))
"""The tokens of a person in each stage: 1, 21 and 39 of them."""


def tokens_per_person(stage: int) -> int:
    """Number of tokens of one person in a stage."""
    return LAYOUTS[stage][-1].stop


def named_slots(stage: int, names: tuple[str, ...]) -> tuple[Slot, ...]:
    """The slots of a stage with these names, in the order of the tokens."""
    return tuple(slot for slot in LAYOUTS[stage] if slot.name in names)


@dataclass(frozen=True)
class Regressor:
    """One SMPL-X output: the head that makes it and the tokens the head reads in the last two stages."""

    field: str
    """Field of LayerPredictions."""
    embed: str
    outputs: int
    is_rotation: bool
    """Outputs are read as six numbers a joint."""
    body_stage: tuple[str, ...]
    whole_body_stage: tuple[str, ...]

    def slots(self, stage: int) -> tuple[Slot, ...]:
        """The tokens read in a stage; the head concatenates them in the order of the tokens."""
        return named_slots(stage, self.body_stage if stage == BODY_STAGE else self.whole_body_stage)


_BODY = ("body box", "body points", "left_hand box", "right_hand box", "face box")
_LEFT = ("body box", "left_hand box", "left_hand points", "right_hand box")
_RIGHT = ("body box", "left_hand box", "right_hand box", "right_hand points")
_FACE = ("body box", "face box", "face points")

REGRESSORS = (
    Regressor("body_rotmats", "smpl_pose_embed", 22 * 6, True, _BODY, _BODY),
    Regressor("betas", "smpl_beta_embed", 10, False, _BODY, _BODY),
    Regressor("camera", "smpl_cam_embed", 3, False, _BODY, _BODY),
    Regressor("left_hand_rotmats", "smpl_hand_pose_embed", 15 * 6, True, ("left_hand box",), _LEFT),
    Regressor("right_hand_rotmats", "smpl_hand_pose_embed", 15 * 6, True, ("right_hand box",), _RIGHT),
    Regressor("expression", "smpl_expr_embed", 10, False, ("face box",), _FACE),
    Regressor("jaw_rotmats", "smpl_jaw_embed", 6, True, ("face box",), _FACE),
)
