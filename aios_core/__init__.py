"""AiOS: expressive pose and shape of everybody in a picture, from one network."""

__version__ = "0.1.0"
