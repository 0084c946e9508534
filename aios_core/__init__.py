"""AiOS: expressive pose and shape of everybody in a picture, from one network.

mocap = aios_core.estimate("clip.mp4")     # needs torch
aios_core.save(mocap, "clip.npz")
mocap = aios_core.load("clip.npz")         # needs numpy only
"""

from aios_core.mocap import Camera, Mocap, Track, load, save

__version__ = "0.1.0"

__all__ = ["Camera", "CaptureConfig", "Mocap", "Track", "__version__", "estimate", "load", "save"]


def __getattr__(name: str) -> object:
    """`estimate` and `CaptureConfig` on first use, so that importing the package does not import torch."""
    if name == "estimate":
        from aios_core.pipeline.capture import estimate

        return estimate
    if name == "CaptureConfig":
        from aios_core.config import CaptureConfig

        return CaptureConfig
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
