"""The configurations that a machine is calibrated with."""

from collections.abc import Mapping
from typing import Any


def _model(
    norm: str, blocks: int, heads: int, per_head: tuple[int, int], g_w: tuple[int, int]
) -> dict[str, Any]:
    depth, width = g_w
    return {
        "model": {
            "normalization": norm,
            "attention_blocks": blocks,
            "attention_heads": heads,
            "site_dim_per_head": per_head[0],
            "interaction_dim_per_head": per_head[1],
            "attention_weights": {"depth": depth, "width": width or None},
        }
    }


PROBES: tuple[Mapping[str, Any], ...] = (
    {},
    {**_model("none", 1, 2, (8, 6), (1, 64)), "batch": {"unique_sites": 100}},
    _model("none", 2, 6, (24, 20), (2, 192)),
    _model("layer", 1, 8, (24, 24), (3, 96)),
    _model("layer", 3, 7, (20, 28), (0, 0)),
    _model("batch", 2, 2, (16, 16), (1, 48)),
    _model("batch", 2, 4, (16, 12), (2, 128)),
)
"""Each norm narrow and wide; the last is above the budget of pairs at 500 atoms."""
