"""A windowed Blender, used as people use it: `make test-gui`."""
