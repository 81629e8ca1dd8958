"""From the stored arrays of several crystals to one batch."""

from collections.abc import Sequence

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
    pairs_of = np.array([len(r["pair_partner"]) for r in records])
    site_offsets = np.concatenate([[0], np.cumsum(sites_of)])
    row_lengths = _joined(records, "pairs_per_site", np.int64)
    pair_offsets = np.concatenate([[0], np.cumsum(row_lengths)])
    partner = _joined(records, "pair_partner", np.int64)
    columns = {
        "atomic_numbers": _joined(records, "atomic_numbers", np.int64),
        "oxidation_states": _joined(records, "oxidation_states", np.float32),
        "site_multiplicity": _joined(records, "site_multiplicity", np.float32),
        "site_crystal": np.repeat(np.arange(len(records)), sites_of),
        "pair_offsets": pair_offsets,
        "pair_site": np.repeat(np.arange(len(row_lengths)), row_lengths),
        "pair_partner": partner + np.repeat(site_offsets[:-1], pairs_of),
        "pair_distance": _joined(records, "pair_distance", np.float32),
        "pair_multiplicity": _joined(records, "pair_multiplicity", np.float32),
        "site_offsets": site_offsets,
        "targets": np.array(targets, dtype=np.float32),
    }
    return CrystalBatch(**{k: torch.from_numpy(v) for k, v in columns.items()})


def _joined(
    records: Sequence[FeatureArrays], name: str, dtype: type[np.generic]
) -> np.ndarray:
    """Return array `name` of all crystals as one new array of `dtype`."""
    return np.concatenate([r[name] for r in records], dtype=dtype, casting="unsafe")
