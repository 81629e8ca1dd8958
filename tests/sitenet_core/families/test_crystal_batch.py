"""Batches: declarations, offsets, partners, and what is refused."""

from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import torch
from support.sitenet_records import (
    Shape,
    batch_of_rows,
    make_batch,
    make_merged_record,
    make_model,
    make_record,
    mixed_batch,
    permute_sites,
    relative_difference,
    rows_of,
)

from sitenet_core.families.sitenet.batch import CrystalBatch, declared_fields


def test_every_field_declares_scope_dtype_and_unit() -> None:
    declared = declared_fields(CrystalBatch)
    assert set(declared) == {f.name for f in fields(CrystalBatch)}
    assert all(spec.unit and spec.description for spec in declared.values())


def test_an_undeclared_field_is_refused() -> None:
    @dataclass(frozen=True, eq=False)
    class Longer(CrystalBatch):
        charges: torch.Tensor

    batch = mixed_batch()
    values = {f.name: getattr(batch, f.name) for f in fields(batch)}
    with pytest.raises(TypeError, match=r"Longer\.charges declares no scope"):
        Longer(**values, charges=torch.zeros(batch.n_sites))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("pair_distance", torch.zeros(3), "3 rows"),
        ("pair_partner", torch.zeros(1), "1-dimensional torch.float32"),
        ("targets", torch.zeros(5), "1-dimensional torch.float32; 2"),
    ],
)
def test_a_field_unlike_its_declaration_is_refused(
    name: str, value: torch.Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=rf"batch field {name}: {message}"):
        replace(mixed_batch(), **{name: value})


def test_offsets_partners_and_rows_of_two_crystals() -> None:
    records = [make_record(Shape(2, 2), 0), make_record(Shape(1, 3), 1)]
    batch = make_batch(records, np.array([[1.0], [2.0]]))
    assert (batch.n_crystals, batch.n_sites) == (2, 3)
    assert batch.site_offsets.tolist() == [0, 2, 3]
    assert batch.site_crystal.tolist() == [0, 0, 1]
    assert batch.pair_offsets.tolist() == [0, 4, 8, 11]
    assert batch.pair_site.tolist() == [0] * 4 + [1] * 4 + [2] * 3
    assert batch.pair_partner[:8].tolist() == [0, 0, 1, 1] * 2
    assert batch.pair_partner[8:].tolist() == [2, 2, 2]
    assert batch.targets.tolist() == [[1.0], [2.0]]
    itself = batch.pair_distance == 0
    assert torch.equal(batch.pair_site[itself], batch.pair_partner[itself])
    assert batch.pair_site[itself].tolist() == [0, 1, 2]


def test_blocks_are_expanded_as_written_out_by_hand() -> None:
    records = [make_merged_record(n, n) for n in (3, 1, 5, 2)]
    found, expected = make_batch(records), batch_of_rows([rows_of(r) for r in records])
    for entry in fields(found):
        one, other = getattr(found, entry.name), getattr(expected, entry.name)
        assert torch.equal(one, other) or entry.name == "targets", entry.name


def test_a_mirrored_block_counts_as_many_pairs_as_its_image() -> None:
    batch = make_batch([make_merged_record(5, 0)])
    total = torch.zeros(5, 5)
    weight = batch.pair_multiplicity * batch.site_multiplicity[batch.pair_site]
    total.index_put_((batch.pair_site, batch.pair_partner), weight, accumulate=True)
    assert len(batch.site_multiplicity.unique()) > 1
    assert torch.equal(total, total.T)


def test_a_batch_does_not_share_memory_with_a_read_only_store() -> None:
    record = make_record(Shape(2, 2), 0)
    for array in record.values():
        array.setflags(write=False)
    batch = make_batch([record])
    batch.pair_distance.zero_()
    assert record["pair_distance"].max() > 0


def test_a_batch_needs_a_crystal() -> None:
    with pytest.raises(ValueError, match="at least one crystal"):
        make_batch([])


def test_the_order_of_sites_does_not_change_a_prediction() -> None:
    model = make_model()
    record = make_record(Shape(6, 3), 3)
    order = np.array([4, 0, 5, 2, 1, 3])
    one = model(make_batch([record]))
    other = model(make_batch([permute_sites(record, order)]))
    assert relative_difference(one, other) < 1e-11


def test_micro_batches_sum_to_the_gradients_of_the_whole() -> None:
    records = [make_record(Shape(n, 2), n) for n in (1, 4, 2, 3)]
    gradients = []
    for groups in ([records], [records[:1], records[1:3], records[3:]]):
        model = make_model()
        for group in groups:
            model(make_batch(group)).abs().sum().backward()
        found = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        gradients.append(torch.cat(found))
    assert relative_difference(*gradients) < 1e-11
