"""What every crop is, for those who need to know it and cut none: a name that is part of every encoder's id,
and a size.
"""

GEOMETRY = "arcface-112-replicate-1"
CROP_PX = 112
