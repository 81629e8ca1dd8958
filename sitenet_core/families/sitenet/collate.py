"""From the stored arrays of several crystals to one batch.

A store holds the blocks of pairs a ≤ b of each crystal. A batch holds rows: site a has
its blocks with every site b, and block (a, b) with a > b has the distances of (b, a)
and multiplicities c_ab = c_ba · size_b / size_a, an integer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sitenet_core.data.schema import FeatureArrays
from sitenet_core.families.sitenet.batch import CrystalBatch


def collate(
    records: Sequence[FeatureArrays], targets: np.ndarray | None
) -> CrystalBatch:
    """Return the batch of `records`, in their order.

    Args:
        records: arrays of the Site-Net schema, one mapping per crystal.
        targets: (n_crystals, n_targets) in the target's unit; None to predict, which
            gives one column of NaN.
    """
    if not records:
        raise ValueError("a batch needs at least one crystal; none was given")
    if targets is None:
        targets = np.full((len(records), 1), np.nan)
    sites_of = np.array([len(r["atomic_numbers"]) for r in records])
    sizes = _joined(records, "site_multiplicity", np.int64)
    blocks = _blocks(sites_of)
    lengths = _joined(records, "pairs_per_block", np.int64)
    pairs_of = lengths[blocks.stored]
    source = _ranges(_offsets(lengths)[blocks.stored], pairs_of)
    multiplicity = _joined(records, "pair_multiplicity", np.int64)[source]
    mirrored = blocks.row > blocks.partner
    times = np.repeat(np.where(mirrored, sizes[blocks.partner], 1), pairs_of)
    over = np.repeat(np.where(mirrored, sizes[blocks.row], 1), pairs_of)
    row_lengths = np.bincount(blocks.row, pairs_of, len(sizes)).astype(np.int64)
    columns = {
        "atomic_numbers": _joined(records, "atomic_numbers", np.int64),
        "oxidation_states": _joined(records, "oxidation_states", np.float32),
        "site_multiplicity": sizes.astype(np.float32),
        "site_crystal": np.repeat(np.arange(len(records)), sites_of),
        "pair_offsets": _offsets(row_lengths),
        "pair_site": np.repeat(blocks.row, pairs_of),
        "pair_partner": np.repeat(blocks.partner, pairs_of),
        "pair_distance": _joined(records, "pair_distance", np.float32)[source],
        "pair_multiplicity": (multiplicity * times // over).astype(np.float32),
        "site_offsets": _offsets(sites_of),
        "targets": np.array(targets, dtype=np.float32),
    }
    return CrystalBatch(**{k: torch.from_numpy(v) for k, v in columns.items()})


@dataclass(frozen=True)
class _Blocks:
    """All blocks (a, b) of all crystals, row by row."""

    row: np.ndarray
    """(n_blocks,) site a in the batch."""
    partner: np.ndarray
    """(n_blocks,) site b in the batch."""
    stored: np.ndarray
    """(n_blocks,) the stored block of (a, b) or (b, a)."""


def _blocks(sites_of: np.ndarray) -> _Blocks:
    """Return the blocks of crystals with `sites_of` sites each."""
    crystal = np.repeat(np.arange(len(sites_of)), sites_of**2)
    n = sites_of[crystal]
    row, partner = np.divmod(_ranges(np.zeros_like(sites_of), sites_of**2), n)
    low, high = np.minimum(row, partner), np.maximum(row, partner)
    first_site = _offsets(sites_of)[crystal]
    first_stored = _offsets(sites_of * (sites_of + 1) // 2)[crystal]
    return _Blocks(
        row=row + first_site,
        partner=partner + first_site,
        stored=first_stored + low * n - low * (low - 1) // 2 + high - low,
    )


def _offsets(lengths: np.ndarray) -> np.ndarray:
    """Return where each item begins, and at last where the last one ends."""
    return np.concatenate([[0], np.cumsum(lengths)])


def _ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return start, start + 1, … of each of several ranges, one after the other."""
    offsets = _offsets(lengths)
    indices: np.ndarray = np.arange(offsets[-1])
    indices += np.repeat(starts - offsets[:-1], lengths)
    return indices


def _joined(
    records: Sequence[FeatureArrays], name: str, dtype: type[np.generic]
) -> np.ndarray:
    """Return array `name` of all crystals as one new array of `dtype`."""
    return np.concatenate([r[name] for r in records], dtype=dtype, casting="unsafe")
