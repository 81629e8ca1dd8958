"""Made-up records of the Site-Net store, for tests that need no real crystal."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sitenet_core.families.protocol import batch_of
from sitenet_core.families.sitenet.batch import CrystalBatch, declared_fields
from sitenet_core.families.sitenet.plugin import FAMILY
from sitenet_core.models.sitenet.config import ModelSection
from sitenet_core.models.sitenet.network import OutputSection, SiteNet

Record = dict[str, np.ndarray]
"""Arrays of the store: blocks of pairs a ≤ b."""
Rows = dict[str, np.ndarray]
"""Pairs row by row, with `pairs_per_site` and `pair_partner`."""

TINY = {
    "embedding_dim": 3,
    "site_dim_per_head": 2,
    "interaction_dim_per_head": 2,
    "attention_blocks": 2,
    "attention_heads": 3,
    "attention_weights": {"depth": 1, "width": 5},
    "pre_pooling": {"depth": 2, "width": 6},
    "post_pooling": {"depth": 2, "width": 4},
}


@dataclass(frozen=True)
class Shape:
    """Size of a made-up crystal: unique sites, and images of each."""

    n_sites: int
    n_images: int


def make_record(shape: Shape, seed: int) -> Record:
    """Return a record with random elements and distances, nothing merged."""
    rng = np.random.default_rng(seed)
    n, m = shape.n_sites, shape.n_images
    blocks = []
    for a, b in triangle(n):
        distance = rng.uniform(1.0, 9.0, m)
        if a == b:
            distance[0] = 0.0
        blocks.append((np.sort(distance), np.ones(m)))
    return record_of_blocks(
        (rng.integers(1, 104, n), rng.integers(-2, 3, n), np.ones(n)), blocks
    )


def make_merged_record(n_sites: int, seed: int) -> Record:
    """Return a record whose sites and pairs stand for several equal ones."""
    rng = np.random.default_rng(seed)
    copies = rng.integers(1, 4, n_sites)
    blocks = []
    for a, b in triangle(n_sites):
        distance = np.sort(rng.uniform(1.0, 9.0, 2))
        # whole numbers of atoms b around one a, and of atoms a around one b
        least = copies[b] // math.gcd(copies[a], copies[b])
        count = least * rng.integers(1, 4, 2)
        if a == b:
            distance[0], count[0] = 0.0, 1
        blocks.append((distance, count))
    numbers = rng.integers(1, 104, n_sites)
    return record_of_blocks((numbers, rng.integers(-2, 3, n_sites), copies), blocks)


def triangle(n: int) -> list[tuple[int, int]]:
    """Return the blocks (a, b), a ≤ b, of `n` sites in the order of the store."""
    return [(a, b) for a in range(n) for b in range(a, n)]


def record_of_blocks(
    sites: tuple[np.ndarray, np.ndarray, np.ndarray],
    blocks: list[tuple[np.ndarray, np.ndarray]],
) -> Record:
    """Return a record from its sites and its blocks.

    Args:
        sites: atomic numbers, oxidation states and multiplicities, (n_sites,) each.
        blocks: distances and multiplicities of the blocks of `triangle`.
    """
    numbers, oxidation, copies = sites
    lengths = np.array([len(distance) for distance, _ in blocks])
    twice = np.array([1 + (a < b) for a, b in triangle(len(numbers))])
    return {
        "n_unique_sites": np.array(copies.sum(), np.int32),
        "n_sites": np.array(len(numbers), np.int32),
        "n_pairs": np.array((twice * lengths).sum(), np.int64),
        "site_index": np.repeat(np.arange(len(numbers)), copies.astype(int)).astype(
            np.uint16
        ),
        "atomic_numbers": numbers.astype(np.uint8),
        "oxidation_states": oxidation.astype(np.float32),
        "site_multiplicity": copies.astype(np.uint16),
        "pairs_per_block": lengths.astype(np.uint16),
        "pair_distance": np.concatenate([d for d, _ in blocks]).astype(np.float32),
        "pair_multiplicity": np.concatenate([c for _, c in blocks]).astype(np.uint16),
    }


def blocks_of(record: Record) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
    """Return distances and multiplicities of every block (a, b), also where a > b."""
    sizes = record["site_multiplicity"].astype(int)
    ends = np.cumsum(record["pairs_per_block"].astype(int))[:-1]
    distances = np.split(record["pair_distance"], ends)
    counts = np.split(record["pair_multiplicity"].astype(int), ends)
    found = {}
    for k, (a, b) in enumerate(triangle(len(sizes))):
        found[b, a] = (distances[k], counts[k] * sizes[a] // sizes[b])
        found[a, b] = (distances[k], counts[k])
    return found


def rows_of(record: Record) -> Rows:
    """Return the pairs of the record row by row, block after block."""
    n = len(record["atomic_numbers"])
    blocks = blocks_of(record)
    order = [(a, b) for a in range(n) for b in range(n)]
    lengths = np.array([len(blocks[key][0]) for key in order])
    return {
        "atomic_numbers": record["atomic_numbers"],
        "oxidation_states": record["oxidation_states"],
        "site_multiplicity": record["site_multiplicity"],
        "pairs_per_site": lengths.reshape(n, n).sum(axis=1),
        "pair_partner": np.repeat([b for _, b in order], lengths),
        "pair_distance": np.concatenate([blocks[key][0] for key in order]),
        "pair_multiplicity": np.concatenate([blocks[key][1] for key in order]),
    }


def expand(record: Record) -> Rows:
    """Return the record with every merged site and pair written out, one by one."""
    rows = rows_of(record)
    copies = rows["site_multiplicity"].astype(int)
    first = np.concatenate([[0], np.cumsum(copies)])
    ends = np.cumsum(rows["pairs_per_site"])
    partners, distances, lengths = [], [], []
    for site, end in enumerate(ends):
        row = slice(end - rows["pairs_per_site"][site], end)
        count = rows["pair_multiplicity"][row]
        distance = rows["pair_distance"][row]
        for copy in range(copies[site]):
            partner = first[rows["pair_partner"][row]]
            partner[distance == 0] += copy
            partners.append(np.repeat(partner, count))
            distances.append(np.repeat(distance, count))
            lengths.append(count.sum())
    return {
        "atomic_numbers": np.repeat(rows["atomic_numbers"], copies),
        "oxidation_states": np.repeat(rows["oxidation_states"], copies),
        "site_multiplicity": np.ones(copies.sum()),
        "pairs_per_site": np.array(lengths),
        "pair_partner": np.concatenate(partners),
        "pair_distance": np.concatenate(distances),
        "pair_multiplicity": np.ones(sum(lengths)),
    }


def permute_sites(record: Record, order: np.ndarray) -> Record:
    """Return the record with its sites in another order."""
    blocks = blocks_of(record)
    names = ("atomic_numbers", "oxidation_states", "site_multiplicity")
    numbers, oxidation, copies = (record[name][order] for name in names)
    return record_of_blocks(
        (numbers, oxidation, copies),
        [blocks[int(order[a]), int(order[b])] for a, b in triangle(len(order))],
    )


def batch_of_rows(crystals: list[Rows]) -> CrystalBatch:
    """Return the batch of crystals whose pairs are given row by row, to predict."""
    sites_of = [len(one["atomic_numbers"]) for one in crystals]
    offsets = np.concatenate([[0], np.cumsum(sites_of)])
    shifted = [
        one | {"pair_partner": one["pair_partner"] + first}
        for one, first in zip(crystals, offsets[:-1], strict=True)
    ]
    columns = {
        name: np.concatenate([one[name] for one in shifted]) for name in shifted[0]
    }
    lengths = columns.pop("pairs_per_site").astype(np.int64)
    columns |= {
        "site_crystal": np.repeat(np.arange(len(crystals)), sites_of),
        "pair_offsets": np.concatenate([[0], np.cumsum(lengths)]),
        "pair_site": np.repeat(np.arange(len(lengths)), lengths),
        "site_offsets": offsets,
        "targets": np.full((len(crystals), 1), np.nan),
    }
    declared = declared_fields(CrystalBatch)
    return CrystalBatch(
        **{k: torch.from_numpy(v).to(declared[k].dtype) for k, v in columns.items()}
    )


def make_batch(
    records: list[Record], targets: np.ndarray | None = None
) -> CrystalBatch:
    """Return the batch of `records`."""
    batch = batch_of(FAMILY, records, targets)
    assert isinstance(batch, CrystalBatch)
    return batch


def mixed_batch(seed: int = 0) -> CrystalBatch:
    """Return five made-up crystals of different sizes, one of them with one site."""
    shapes = [Shape(3, 4), Shape(1, 6), Shape(5, 1), Shape(2, 3), Shape(4, 2)]
    return make_batch([make_record(s, seed + k) for k, s in enumerate(shapes)])


def make_model(changes: dict[str, object] | None = None, *, seed: int = 0) -> SiteNet:
    """Return a tiny float64 model whose parameters are all random, norms included."""
    torch.manual_seed(seed)
    section = ModelSection.model_validate(TINY | (changes or {}))
    table = torch.randn(104, 8, dtype=torch.float64)
    model = SiteNet(section, table, OutputSection()).double()
    randomise(model)
    return model


def randomise(model: nn.Module) -> None:
    """Move every parameter and buffer of a norm away from its initial value."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.add_(0.3 * torch.randn_like(value))
            if name.endswith("embedding.weight"):
                value.mul_(0.9 / value.norm(dim=1, keepdim=True).clamp(min=0.9))
        for name, value in model.named_buffers():
            if name.endswith("running_mean"):
                value.copy_(0.5 * torch.randn_like(value))
            if name.endswith("running_var"):
                value.copy_(0.5 + torch.rand_like(value))


def relative_difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference as a share of the largest value."""
    scale = max(float(other.detach().abs().max()), 1e-30)
    return float((one - other).detach().abs().max()) / scale
