"""Made-up records of the Site-Net store, for tests that need no real crystal."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sitenet_core.families.sitenet.batch import CrystalBatch
from sitenet_core.families.sitenet.collate import collate
from sitenet_core.models.sitenet.config import ModelSection
from sitenet_core.models.sitenet.network import OutputSection, SiteNet

Record = dict[str, np.ndarray]

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
    """Return a record with random elements and distances, the self pair first."""
    rng = np.random.default_rng(seed)
    n, m = shape.n_sites, shape.n_images
    distance = rng.uniform(1.0, 9.0, (n, n, m))
    distance[np.arange(n), np.arange(n), 0] = 0.0
    partner = np.broadcast_to(np.arange(n)[:, None], (n, m)).reshape(-1)
    rows = []
    for i in range(n):
        order = np.argsort(distance[i].reshape(-1) != 0, kind="stable")
        rows.append((partner[order], distance[i].reshape(-1)[order]))
    ones = np.ones(n * n * m, np.uint16)
    return _record(
        rng.integers(1, 104, n),
        rng.integers(-2, 3, n),
        np.ones(n),
        (
            np.concatenate([r[0] for r in rows]),
            np.concatenate([r[1] for r in rows]),
            ones,
        ),
        np.full(n, n * m),
    )


def make_merged_record(n_sites: int, seed: int) -> Record:
    """Return a record whose sites and pairs stand for several equal ones."""
    record = make_record(Shape(n_sites, 2), seed)
    rng = np.random.default_rng(seed + 1)
    copies = rng.integers(1, 4, n_sites)
    n_pairs = len(record["pair_partner"])
    multiplicity = rng.integers(1, 4, n_pairs)
    multiplicity[record["pair_distance"] == 0] = 1
    return record | {
        "site_multiplicity": copies.astype(np.uint16),
        "pair_multiplicity": multiplicity.astype(np.uint16),
    }


def expand(record: Record) -> Record:
    """Return the record with every merged site and pair written out, one by one."""
    copies = record["site_multiplicity"].astype(int)
    first = np.concatenate([[0], np.cumsum(copies)])
    ends = np.cumsum(record["pairs_per_site"])
    partners, distances, lengths = [], [], []
    for site, end in enumerate(ends):
        row = slice(end - record["pairs_per_site"][site], end)
        count = record["pair_multiplicity"][row].astype(int)
        old_partner = record["pair_partner"][row].astype(int)
        distance = record["pair_distance"][row]
        for copy in range(copies[site]):
            partner = first[old_partner]
            partner[distance == 0] += copy
            partners.append(np.repeat(partner, count))
            distances.append(np.repeat(distance, count))
            lengths.append(count.sum())
    total = sum(lengths)
    return _record(
        np.repeat(record["atomic_numbers"], copies),
        np.repeat(record["oxidation_states"], copies),
        np.ones(copies.sum()),
        (
            np.concatenate(partners),
            np.concatenate(distances),
            np.ones(total),
        ),
        np.array(lengths),
    )


def permute_sites(record: Record, order: np.ndarray) -> Record:
    """Return the record with its unique sites in another order."""
    rows = np.split(
        np.arange(len(record["pair_partner"])), np.cumsum(record["pairs_per_site"])[:-1]
    )
    pairs = np.concatenate([rows[i] for i in order])
    new_index = np.argsort(order)
    permuted = {k: v[order] for k, v in record.items() if not k.startswith("pair_")}
    permuted |= {k: v[pairs] for k, v in record.items() if k.startswith("pair_")}
    permuted["pair_partner"] = new_index[permuted["pair_partner"]].astype(np.uint16)
    return permuted


def make_batch(
    records: list[Record], targets: np.ndarray | None = None
) -> CrystalBatch:
    """Return the batch of `records`."""
    return collate(records, targets)


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


def _record(
    numbers: np.ndarray,
    oxidation: np.ndarray,
    copies: np.ndarray,
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
    lengths: np.ndarray,
) -> Record:
    partner, distance, multiplicity = pairs
    return {
        "atomic_numbers": numbers.astype(np.uint8),
        "oxidation_states": oxidation.astype(np.float32),
        "site_multiplicity": copies.astype(np.uint16),
        "pairs_per_site": lengths.astype(np.int32),
        "pair_partner": partner.astype(np.uint16),
        "pair_distance": distance.astype(np.float32),
        "pair_multiplicity": multiplicity.astype(np.uint16),
    }
