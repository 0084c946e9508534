"""The few kinds of error a user can cause. Each carries one sentence saying what is wrong and what to do."""

from __future__ import annotations


class AiosError(Exception):
    """A user's mistake: the message is one clear sentence; command lines exit with code 2 and no traceback."""

    exit_code = 2


class FootageError(AiosError):
    """The footage is missing, is not a picture or a video, or cannot be decoded."""


class CheckpointError(AiosError):
    """The weights file is missing, unsafe, incomplete or of the wrong shape."""


class BodyFileError(AiosError):
    """The body model file is missing, unsafe, or not in SMPL-X's layout."""


class MocapFileError(AiosError):
    """The Mocap file is missing, damaged, or of a version this program does not know."""


class DataSetError(AiosError):
    """A file of a training or evaluation data set is missing, unsafe, damaged, or lacks what is needed of it."""


class OutputError(AiosError):
    """The output cannot be written."""


class ExportError(AiosError):
    """There is nobody to export or to retarget to, or the format, preset or bone map does not fit."""


class MissingDependencyError(AiosError):
    """A package needed for this step (torch, bpy, ...) is not installed."""
