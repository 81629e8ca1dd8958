"""From the stored arrays of several crystals to one batch, on the device they lie on.

A store holds the blocks of pairs a ≤ b of each crystal. A batch holds rows: site a has
its blocks with every site b, and block (a, b) with a > b has the distances of (b, a)
and multiplicities c_ab = c_ba · size_b / size_a, an integer.

Every size is known on the host, so that nothing here waits for a device.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sitenet_core.data.ragged import Ragged, upload
from sitenet_core.families.sitenet.batch import CrystalBatch


def collate(ragged: Ragged, targets: np.ndarray | None) -> CrystalBatch:
    """Return the batch of the crystals in `ragged`, in their order.

    Args:
        ragged: the arrays that the family names as its inputs.
        targets: (n_crystals, n_targets) in the target's unit; None to predict, which
            gives one column of NaN.
    """
    n_crystals, arrays = ragged.n_crystals, ragged.arrays
    if not n_crystals:
        raise ValueError("a batch needs at least one crystal; none was given")
    if targets is None:
        targets = np.full((n_crystals, 1), np.nan)
    rows = _rows(ragged)
    size = arrays["site_multiplicity"].to(torch.float32)
    blocks = _blocks(rows, arrays["pairs_per_block"].to(torch.int64), size)
    n_pairs = int(ragged.sizes["n_pairs"].sum())
    block = torch.repeat_interleave(blocks.length, output_size=n_pairs)
    source = torch.arange(n_pairs, device=ragged.device)
    source += blocks.shift.index_select(0, block)
    multiplicity = arrays["pair_multiplicity"].to(torch.float32)
    counted = multiplicity.index_select(0, source)
    return CrystalBatch(
        atomic_numbers=arrays["atomic_numbers"].to(torch.int64),
        oxidation_states=arrays["oxidation_states"].to(torch.float32),
        site_multiplicity=size,
        site_crystal=rows.crystal,
        pair_offsets=blocks.offsets.index_select(0, rows.first_block),
        pair_site=blocks.row.index_select(0, block),
        pair_partner=blocks.partner.index_select(0, block),
        pair_distance=arrays["pair_distance"].index_select(0, source),
        # At most 65,535, so that a rounded product of float32 is the exact integer.
        pair_multiplicity=counted.mul_(blocks.ratio.index_select(0, block)).round_(),
        site_offsets=rows.site_offsets,
        targets=_targets(targets, ragged.device),
    )


class _Rows(NamedTuple):
    """What is known of each site of the batch before any pair is looked at."""

    n_blocks: int
    crystal: Tensor
    """(n_sites,) its crystal."""
    length: Tensor
    """(n_sites,) its blocks: the sites of its crystal."""
    to_partner: Tensor
    """(n_sites,) from the number of one of its blocks to the partner in the batch."""
    stored: Tensor
    """(n_sites,) plus b: the stored block (a, b) of site a."""
    local: Tensor
    """(n_sites,) its number in its crystal."""
    first_block: Tensor
    """(n_sites + 1,) its first block, and at last the number of blocks."""
    site_offsets: Tensor
    """(n_crystals + 1,)."""


def _rows(ragged: Ragged) -> _Rows:
    """Return the rows of the batch, computed on the host and sent in one copy."""
    sites_of = ragged.sizes["site"]
    site_offsets = _offsets(sites_of)
    crystal = np.repeat(np.arange(len(sites_of)), sites_of)
    n, first_site = sites_of[crystal], site_offsets[crystal]
    first_stored = _offsets(sites_of * (sites_of + 1) // 2)[crystal]
    first_block = _offsets(n)
    a = np.arange(len(crystal)) - first_site
    stored = first_stored + a * n - a * (a - 1) // 2 - a
    to_partner = first_site - first_block[:-1]
    columns = (crystal, n, to_partner, stored, a, first_block, site_offsets)
    return _Rows(int(first_block[-1]), *upload(ragged.device, *columns))


class _Blocks(NamedTuple):
    """All blocks (a, b) of all crystals, row by row."""

    row: Tensor
    """(n_blocks,) site a in the batch."""
    partner: Tensor
    """(n_blocks,) site b in the batch."""
    length: Tensor
    """(n_blocks,) pairs."""
    shift: Tensor
    """(n_blocks,) from the number of one of its pairs to the stored pair."""
    ratio: Tensor
    """(n_blocks,) size_b / size_a where a > b, else 1."""
    offsets: Tensor
    """(n_blocks + 1,) first pair."""


def _blocks(rows: _Rows, stored_lengths: Tensor, size: Tensor) -> _Blocks:
    row = torch.repeat_interleave(rows.length, output_size=rows.n_blocks)
    partner = torch.arange(rows.n_blocks, device=row.device)
    partner += rows.to_partner.index_select(0, row)
    low, high = torch.minimum(row, partner), torch.maximum(row, partner)
    stored = rows.stored.index_select(0, low) + rows.local.index_select(0, high)
    length = stored_lengths.index_select(0, stored)
    stored_first = stored_lengths.cumsum(0) - stored_lengths
    ends = length.cumsum(0)
    return _Blocks(
        row=row,
        partner=partner,
        length=length,
        shift=stored_first.index_select(0, stored) - (ends - length),
        # min(a, b) is b where a > b, else a.
        ratio=size.index_select(0, low) / size.index_select(0, row),
        offsets=torch.cat([ends.new_zeros(1), ends]),
    )


def _targets(values: np.ndarray, device: torch.device) -> Tensor:
    host = torch.from_numpy(np.array(values, dtype=np.float32))
    if device.type == "cuda":
        return host.pin_memory().to(device, non_blocking=True)
    return host.to(device)


def _offsets(lengths: np.ndarray) -> np.ndarray:
    """Return where each item begins, and at last where the last one ends."""
    return np.concatenate([[0], np.cumsum(lengths)])
