"""The Site-Net plug-in: registry, presets, cost and elemental features."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from support.family_contract import TARGET, built, embedded_crystals

from sitenet_core.errors import ConfigError
from sitenet_core.families import ModelMeta, batch_of, family_names, get_family
from sitenet_core.families.sitenet.config import SiteNetConfig
from sitenet_core.families.sitenet.cost import cost
from sitenet_core.features.elements import element_table, standardised

SIZES = {"n_sites": np.array([4, 40]), "n_pairs": np.array([400, 40_000])}
WIDER: list[dict[str, Any]] = [
    {"embedding_dim": 93},
    {"site_dim_per_head": 31},
    {"interaction_dim_per_head": 17},
    {"attention_blocks": 3},
    {"attention_heads": 4},
    {"attention_weights": {"width": 226}},
    {"attention_weights": {"depth": 2}},
    {"pre_pooling": {"width": 95}},
    {"pre_pooling": {"depth": 2}},
    {"post_pooling": {"width": 201}},
    {"post_pooling": {"depth": 4}},
    {"values": "per_head"},
    {"pooling": "self_attention", "pooling_heads": 1, "pooling_queries": 1},
]


def test_an_unknown_family_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'sitnet'; did you mean 'sitenet'"):
        get_family("sitnet")
    with pytest.raises(ConfigError, match="allowed: sitenet"):
        get_family("xyz")
    assert family_names() == ("sitenet",)


def test_torch_is_not_imported_to_read_a_configuration_or_featurise() -> None:
    code = (
        "import sys; from sitenet_core.families import get_family; "
        "get_family('sitenet').Config.from_preset('paper'); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_paper_preset_is_table_1() -> None:
    config = SiteNetConfig.from_preset("paper")
    model = config.model
    assert (model.embedding_dim, model.site_dim_per_head) == (92, 30)
    assert (model.interaction_dim_per_head, model.attention_blocks) == (16, 2)
    assert model.attention_heads == 3
    weights, pre, post = model.attention_weights, model.pre_pooling, model.post_pooling
    assert (weights.depth, weights.width) == (1, 225)
    assert (pre.depth, pre.width, post.depth, post.width) == (1, 94, 3, 200)
    assert (model.normalization, model.pooling) == ("layer", "mean")
    assert config.optimizer.learning_rate == pytest.approx(8.12597e-4, rel=1e-6)
    assert (config.batch.unique_sites, config.batch.crystals) == (1200, None)
    assert config.cell.max_atoms == 500
    n_parameters = sum(
        p.numel() for p in built(get_family("sitenet"), config).parameters()
    )
    assert n_parameters == 285_545


@pytest.mark.parametrize("changes", WIDER, ids=str)
def test_a_larger_network_never_costs_less(changes: dict[str, Any]) -> None:
    base = cost(SIZES, SiteNetConfig())
    larger = cost(SIZES, SiteNetConfig.from_preset("paper", {"model": changes}))
    assert (larger.bytes >= base.bytes).all()
    assert (larger.flops > base.flops).all()
    assert (larger.numbers >= base.numbers).all()


def test_depth_0_costs_less_than_depth_1() -> None:
    shallow = {"attention_weights": {"depth": 0, "width": None}}
    less = cost(SIZES, SiteNetConfig.from_preset("paper", {"model": shallow}))
    more = cost(SIZES, SiteNetConfig())
    assert (less.flops < more.flops).all()
    assert (less.bytes < more.bytes).all()


@pytest.mark.parametrize("norm", ["layer", "none", "batch"])
def test_parts_keep_less_and_do_more(norm: str) -> None:
    config = SiteNetConfig.from_preset("paper", {"model": {"normalization": norm}})
    whole, parts = (cost(SIZES, config, in_parts=p) for p in (False, True))
    assert (parts.bytes < 0.5 * whole.bytes).all()
    assert (parts.flops > whole.flops).all()
    assert (parts.numbers > whole.numbers).all()


def test_what_batch_norm_does_in_parts_grows_with_its_levels() -> None:
    """Each level of norms takes the levels below it once more."""

    def flops(depth: int) -> float:
        weights = {"depth": depth, "width": 225}
        model = {"normalization": "batch", "attention_weights": weights}
        config = SiteNetConfig.from_preset("paper", {"model": model})
        return float(cost(SIZES, config, in_parts=True).flops[1])

    assert flops(3) - flops(2) > 1.3 * (flops(2) - flops(1))


@pytest.mark.parametrize(("norm", "most"), [("layer", 160), ("batch", 700)])
def test_a_group_keeps_a_bounded_amount_whatever_the_widths(
    norm: str, most: float
) -> None:
    wide = {"normalization": norm, "attention_heads": 8, "interaction_dim_per_head": 32}
    for model in ({"normalization": norm}, wide):
        config = SiteNetConfig.from_preset("paper", {"model": model})
        budget = get_family("sitenet").micro_batch(config, None).budget
        sizes = {"n_pairs": np.array([budget]), "n_sites": np.array([100])}
        assert float(cost(sizes, config).bytes[0]) < most * 2**20


def test_batches_of_crystals_are_filled_with_crystals() -> None:
    changes = {"batch": {"unique_sites": None, "crystals": 18}}
    config = SiteNetConfig.from_preset("paper", changes)
    family = get_family("sitenet")
    assert family.batch_budget(config) == ("crystals", 18)
    assert family.batch_budget(SiteNetConfig()) == ("n_unique_sites", 1200)


@pytest.mark.parametrize("scaling", ["standard", "none"])
def test_scaling_decides_the_elemental_properties(scaling: str) -> None:
    config = SiteNetConfig.from_preset("test", {"features": {"scaling": scaling}})
    family = get_family("sitenet")
    crystals = embedded_crystals("AB_cP6_221_c_d")
    records = [family.featurise(c, family.settings(config)) for c in crystals]
    model = family.build(config, ModelMeta(target=TARGET))
    batch = batch_of(family, records)
    sites, pairs = model.get_submodule("features")(batch)
    table = element_table() if scaling == "none" else standardised(element_table())
    expected = torch.from_numpy(table[records[0]["atomic_numbers"]]).float()
    assert torch.equal(sites[:, 4:12], expected)
    assert sites[:, 12].tolist() == [0.0] * len(sites)
    assert torch.equal(pairs[:, 0], batch.pair_distance)


def test_oxidation_states_reach_the_network() -> None:
    config = SiteNetConfig.from_preset("test")
    family = get_family("sitenet")
    plain = embedded_crystals("AB_cP6_221_c_d")[0]
    decorated = plain.copy()
    decorated.add_oxidation_state_by_guess()
    records = [family.featurise(c, config.cell) for c in (plain, decorated)]
    assert set(records[1]["oxidation_states"].tolist()) != {0.0}
    with torch.no_grad():
        predicted = built(family, config).double()(batch_of(family, records))
    assert abs(float(predicted[0] - predicted[1])) > 1e-6


def test_a_crystal_of_one_site_is_predicted() -> None:
    config = SiteNetConfig.from_preset("test", {"model": {"normalization": "batch"}})
    family = get_family("sitenet")
    record = family.featurise(embedded_crystals("A_tI2_139_a")[0], config.cell)
    assert record["n_unique_sites"] == 1
    predicted = built(family, config).train()(batch_of(family, [record]))
    assert bool(torch.isfinite(predicted).all())
