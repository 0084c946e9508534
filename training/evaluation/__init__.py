"""Measuring weights: COCO's and AGORA's rules, errors of parts, what is true of a picture, the sheet of pictures."""
