"""`python -m aios_blender import MOCAP.npz -o OUT.blend`, with PyPI's bpy instead of Blender."""

import importlib.util
import os
import sys

if importlib.util.find_spec("bpy") is None:
    print("aios: writing a .blend needs bpy: pip install bpy==4.5.15 (Python 3.11), or use Blender.", file=sys.stderr)
    sys.exit(2)

from aios_blender.command_line import main

code = main(sys.argv[1:])
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)  # bpy may crash while the interpreter goes down; everything is written by now
