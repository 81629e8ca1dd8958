"""The elementwise work on pairs as a few differentiable operations on a CPU.

`can_fuse` says whether they take some rows; everything else goes through torch's own
operations, which compute the same and are their oracle in the tests.
"""

from sitenet_core.models.sitenet.fused.attention import fused_attention
from sitenet_core.models.sitenet.fused.batch import fused_affine, fused_moments
from sitenet_core.models.sitenet.fused.projection import fused_projection
from sitenet_core.models.sitenet.fused.sites import Scale, SiteParts, can_fuse
from sitenet_core.models.sitenet.fused.unit import fused_unit
from sitenet_core.models.sitenet.sizes import LANES

__all__ = [
    "LANES",
    "Scale",
    "SiteParts",
    "can_fuse",
    "fused_affine",
    "fused_attention",
    "fused_moments",
    "fused_projection",
    "fused_unit",
]
