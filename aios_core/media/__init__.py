"""Footage: images, image sequences and videos as upright RGB frames with exact timestamps."""

from aios_core.media.footage import Footage, Frame, open_footage

__all__ = ["Footage", "Frame", "open_footage"]
