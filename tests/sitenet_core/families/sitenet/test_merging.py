"""Merged sites and pairs change neither predictions nor gradients of Site-Net.

Merging replaces distances by those of their ids and is exact after that: with the
same distances to begin with, merged and unmerged crystals agree to float64 rounding.
"""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice, Structure
from support.crystals import sample
from support.sitenet_records import Record, make_batch, make_model, relative_difference
from support.transforms import scrambled

from sitenet_core.families.sitenet import featurise as module
from sitenet_core.families.sitenet.featurise import featurise
from sitenet_core.families.sitenet.settings import CellSettings
from sitenet_core.structures.quotient import Quotient, identified, quotient

EXACT, ROUNDED = 1e-10, 1e-6
MERGED = CellSettings(max_atoms=40)
UNMERGED = CellSettings(max_atoms=40, merge_tolerance=None)
POOLINGS: list[dict[str, Any]] = [
    {"pooling": "mean"},
    {"pooling": "max"},
    {"pooling": "self_attention", "pooling_heads": 2, "pooling_queries": 3},
]
LOGITS: list[dict[str, Any]] = [
    {},
    {"cutoff": 4.0, "identity_bias": 1.0, "values": "per_head"},
]
OPTIONS = [
    {"normalization": norm} | pooling | logits
    for norm, pooling, logits in itertools.product(
        ("batch", "layer", "none"), POOLINGS, LOGITS
    )
]


@pytest.fixture(scope="module")
def structures() -> list[Structure]:
    """Return real crystals, among them perovskites and carbon where there are any."""
    return [
        structure
        for source in ("prototypes", "mp_gap_20k", "perovskites", "carbon")
        for structure in sample(source, 6)
    ]


@pytest.fixture(scope="module")
def merged(structures: list[Structure]) -> list[Record]:
    """Return the crystals as they are stored by default."""
    return [featurise(structure, MERGED) for structure in structures]


@pytest.fixture(scope="module")
def unmerged(structures: list[Structure]) -> list[Record]:
    """Return the crystals with their own distances, every site and pair by itself."""
    return [featurise(structure, UNMERGED) for structure in structures]


@pytest.fixture(scope="module")
def written_out(structures: list[Structure]) -> list[Record]:
    """Return the crystals unmerged, but with the distances of the ids."""

    def without_merging(
        distances: np.ndarray, species: np.ndarray, tolerance: float
    ) -> Quotient:
        pairs, values = identified(distances, tolerance)
        same = values[pairs.ids[pairs.blocks()]].reshape(distances.shape)
        return quotient(same, species, None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "quotient", without_merging)
        return [featurise(structure, MERGED) for structure in structures]


def outcome(
    records: list[Record], changes: dict[str, Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return predictions and all gradients of a random float64 model in training."""
    model = make_model(changes).train()
    predicted = model(make_batch(records))
    weights = torch.linspace(1.0, 2.0, len(records)).double()[:, None]
    (weights * predicted).sum().backward()
    gradients = [
        torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()
    ]
    return predicted, torch.cat([g.flatten() for g in gradients])


def test_half_of_the_pairs_and_many_sites_are_merged(
    merged: list[Record], unmerged: list[Record], written_out: list[Record]
) -> None:
    for name in ("n_pairs", "n_sites"):
        few, many = (sum(int(r[name]) for r in rs) for rs in (merged, unmerged))
        assert many > 1.5 * few
        assert many == sum(int(r[name]) for r in written_out)
    assert sum(int(r["n_sites"] < r["n_unique_sites"]) for r in merged) > 5


@pytest.mark.parametrize("changes", OPTIONS, ids=str)
def test_merging_equal_distances_is_exact(
    merged: list[Record], written_out: list[Record], changes: dict[str, Any]
) -> None:
    one, other = outcome(merged, changes), outcome(written_out, changes)
    assert relative_difference(one[0], other[0]) < EXACT
    assert relative_difference(one[1], other[1]) < EXACT


@pytest.mark.parametrize("changes", OPTIONS, ids=str)
def test_merging_real_crystals_moves_no_prediction(
    merged: list[Record], unmerged: list[Record], changes: dict[str, Any]
) -> None:
    model = make_model(changes).eval()
    with torch.no_grad():
        one, other = model(make_batch(merged)), model(make_batch(unmerged))
    assert relative_difference(one, other) < ROUNDED
    assert float(other.std()) > 1e3 * ROUNDED


@pytest.mark.parametrize("changes", LOGITS, ids=str)
def test_each_copy_of_a_pair_has_its_share_of_the_attention(
    merged: list[Record], written_out: list[Record], changes: dict[str, Any]
) -> None:
    for one, other in zip(merged, written_out, strict=True):
        found, expected = shares(one, changes), shares(other, changes)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=EXACT)


def shares(record: Record, changes: dict[str, Any]) -> np.ndarray:
    """Return the attention of every pair of all unique sites, written out and sorted.

    (n_pairs of the unmerged crystal, blocks × heads), each column for itself in the
    order of distances.
    """
    batch = make_batch([record])
    with torch.no_grad():
        blocks = make_model(changes).eval().attention(batch)
    together = torch.cat(blocks, dim=1).numpy()
    sums = np.zeros((len(batch.atomic_numbers), together.shape[1]))
    np.add.at(sums, batch.pair_site.numpy(), together)
    np.testing.assert_allclose(sums, 1.0, atol=EXACT)
    share = together / batch.pair_multiplicity.numpy()[:, None]
    of_sites = batch.site_multiplicity[batch.pair_site]
    copies = (batch.pair_multiplicity * of_sites).numpy().astype(np.int64)
    distance = np.repeat(batch.pair_distance.numpy(), copies)
    share = np.repeat(share, copies, axis=0)
    columns = [column[np.lexsort((column, distance))] for column in share.T]
    return np.stack(columns, axis=1)


def test_the_counts_matter(merged: list[Record], written_out: list[Record]) -> None:
    """The comparison can fail: without the multiplicities it does."""
    for name in ("pair_multiplicity", "site_multiplicity"):
        ones = [r | {name: np.ones_like(r[name])} for r in merged]
        one, other = outcome(ones, {}), outcome(written_out, {})
        assert relative_difference(one[0], other[0]) > 1e3 * EXACT


def test_what_is_merged_does_not_depend_on_how_a_crystal_is_written(
    structures: list[Structure], merged: list[Record]
) -> None:
    rng = np.random.default_rng(0)
    for structure, expected in zip(structures, merged, strict=True):
        found = featurise(scrambled(structure, rng), MERGED)
        for name in ("n_sites", "n_pairs", "n_atoms"):
            assert found[name] == expected[name]
        for name in ("site_multiplicity", "pair_distance"):
            one, other = np.sort(found[name]), np.sort(expected[name])
            np.testing.assert_allclose(one, other, rtol=1e-6)


def test_sites_of_different_oxidation_states_are_never_merged() -> None:
    iron = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(2.8), ["Fe2+", "Fe3+"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    plain = iron.copy()
    plain.remove_oxidation_states()
    settings = MERGED.model_copy(update={"primitive_tolerance": None})
    one, two = featurise(plain, settings), featurise(iron, settings)
    assert (one["n_sites"], one["n_unique_sites"]) == (1, 2)
    assert (two["n_sites"], two["n_unique_sites"]) == (2, 2)
    assert sorted(two["oxidation_states"].tolist()) == [2.0, 3.0]


def test_rock_salt_is_two_sites_and_a_pair_for_each_shell() -> None:
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(4.0), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    conventional = CellSettings(max_atoms=8, primitive_tolerance=None)
    record = featurise(salt, conventional)
    assert (record["n_unique_sites"], record["n_sites"], record["n_atoms"]) == (8, 2, 8)
    assert record["site_multiplicity"].tolist() == [4, 4]
    assert record["pairs_per_block"].tolist() == [2, 2, 2]
    shells = np.array([0.0, 8**0.5, 2.0, 12**0.5, 0.0, 8**0.5])
    np.testing.assert_allclose(record["pair_distance"], shells, rtol=1e-6)
    assert record["pair_multiplicity"].tolist() == [1, 3, 3, 1, 1, 3]
    assert record["n_pairs"] == 8
