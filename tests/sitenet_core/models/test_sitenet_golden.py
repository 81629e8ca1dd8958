"""The published code's numbers: a float64 forward pass of a tiny reference model.

`tests/golden/sitenet_model.json` was written by running the authors' 2023 release on
three crystals with 12-atom supercells. Bond columns of its weights are ordered
[s_i | s_j | e]; its predictions come before the output clamp; the last block's g^I is
never used.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.dense_sitenet import DenseSiteNet, copied_weights, padded
from support.sitenet_records import batch_of_rows

from sitenet_core.families.sitenet.batch import CrystalBatch
from sitenet_core.models.sitenet.config import ModelSection
from sitenet_core.models.sitenet.network import OutputSection, SiteNet

TOLERANCE = 1e-9
NORM = {"weight": "weight", "bias": "bias"}


@pytest.fixture(scope="module")
def reference(golden: Path) -> dict[str, Any]:
    """Return the reference model's file."""
    text = (golden / "sitenet_model.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


def double(values: Any) -> torch.Tensor:
    """Return a float64 tensor of what the file holds."""
    return torch.tensor(values, dtype=torch.float64)


def section(changes: dict[str, Any]) -> ModelSection:
    """Return the reference model's architecture."""
    return ModelSection.model_validate(
        {
            "embedding_dim": 3,
            "site_dim_per_head": 2,
            "interaction_dim_per_head": 2,
            "attention_blocks": 2,
            "attention_heads": 3,
            "attention_weights": {"depth": 1, "width": 5},
            "pre_pooling": {"depth": 1, "width": 6},
            "post_pooling": {"depth": 2, "width": 4},
        }
        | changes
    )


def reference_weights(reference: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the reference model's weights under our names."""
    old = {k: double(v) for k, v in reference["weights"].items()}
    pairs = {
        "site_unit.linear": "encoder.site_featurization",
        "site_unit.norm": "encoder.site_featurization_norm.Norm",
        "interaction_unit.linear": "encoder.interaction_featurization",
        "interaction_unit.norm": "encoder.interaction_featurization_norm.Norm",
        "pre_pooling.units.0.linear": "encoder.pre_pool_layers.0",
        "pre_pooling.units.0.norm": "encoder.pre_pool_layers_norm.0.Norm",
        "output": "decoder",
    }
    for k in range(2):
        pairs[f"post_pooling.units.{k}.linear"] = f"encoder.post_pool_layers.{k}"
        pairs[f"post_pooling.units.{k}.norm"] = f"encoder.post_pool_layers_norm.{k}"
        pairs |= block_names(k)
    new = {f"{a}.{e}": old[f"{b}.{e}"] for a, b in pairs.items() for e in NORM}
    for k in range(2):
        new |= bond_weights(old, k)
    return new


def block_names(k: int) -> dict[str, str]:
    """Return our names of block `k` and the reference's, first bond layers apart."""
    block, theirs = f"blocks.{k}", f"encoder.Attention_Blocks.{k}"
    names = {
        f"{block}.weights_norm": f"{theirs}.ije_to_multihead.norm_layers.0.Norm",
        f"{block}.logits": f"{theirs}.pre_softmax_linear",
        f"{block}.values_norm": (
            f"{theirs}.ije_to_attention_features.norm_layers.0.Norm"
        ),
        f"{block}.site_unit.linear": f"{theirs}.global_linear.linear_layers.0",
        f"{block}.site_unit.norm": f"{theirs}.global_linear.norm_layers.0.Norm",
    }
    if k == 0:
        names[f"{block}.interactions_norm"] = (
            f"{theirs}.ije_to_Interaction_Features.norm_layers.0.Norm"
        )
    return names


def bond_weights(old: dict[str, torch.Tensor], k: int) -> dict[str, torch.Tensor]:
    """Return the joint first layer of block `k`, columns ordered [s_i | e | s_j]."""
    kinds = ["ije_to_multihead", "ije_to_attention_features"]
    kinds += ["ije_to_Interaction_Features"] if k == 0 else []
    name = f"encoder.Attention_Blocks.{k}.{{}}.linear_layers.0.{{}}"
    weight = torch.cat([old[name.format(kind, "weight")] for kind in kinds])
    s_i, s_j, e = weight.split(6, dim=1)
    bias = torch.cat([old[name.format(kind, "bias")] for kind in kinds])
    return {
        f"blocks.{k}.bond.linear.weight": torch.cat([s_i, e, s_j], dim=1),
        f"blocks.{k}.bond.linear.bias": bias,
    }


def reference_model(reference: dict[str, Any], changes: dict[str, Any]) -> SiteNet:
    """Return our model with the reference's weights, in float64."""
    table = torch.zeros(104, 8, dtype=torch.float64)
    model = SiteNet(section(changes), table, OutputSection()).double()
    missing, unexpected = model.load_state_dict(
        reference_weights(reference), strict=False
    )
    assert set(missing) == {"features.embedding.weight", "features.elements"}
    assert not unexpected
    return model.eval()


def reference_batch(reference: dict[str, Any]) -> CrystalBatch:
    """Return the three crystals, padding left out."""
    real = ~np.array(reference["attention_mask"])
    partner = np.array(reference["attention_j"])
    distance = np.array(reference["interaction"])[..., 0]
    records = []
    for begin, n, m in zip(
        reference["csr"], reference["prim_sizes"], reference["images"], strict=False
    ):
        rows = slice(begin, begin + n)
        records.append(
            {
                "atomic_numbers": np.array(reference["atomic_number"][rows]),
                "oxidation_states": np.zeros(n),
                "site_multiplicity": np.ones(n),
                "pairs_per_site": np.full(n, n * m),
                "pair_partner": partner[rows][real[rows]] - begin,
                "pair_distance": distance[rows][real[rows]],
                "pair_multiplicity": np.ones(n * n * m),
            }
        )
    return batch_of_rows(records)


def reference_inputs(reference: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return site and pair vectors as the reference read them."""
    real = ~torch.tensor(reference["attention_mask"])
    return (
        double(reference["x_input"]),
        double(reference["interaction"])[real],
    )


def largest_difference(found: torch.Tensor, expected: Any) -> float:
    """Return the largest absolute difference."""
    return float((found - double(expected)).detach().abs().max())


@pytest.mark.parametrize(
    ("key", "changes"),
    [("-1", {}), ("3.0", {"cutoff": 3.0}), ("max_pool", {"pooling": "max"})],
)
def test_predictions_equal_the_published_code(
    reference: dict[str, Any], key: str, changes: dict[str, Any]
) -> None:
    model = reference_model(reference, changes)
    sites, pairs = reference_inputs(reference)
    layout = model.layout(reference_batch(reference))
    representation: list[torch.Tensor] = []
    model.post_pooling.register_forward_hook(
        lambda _module, _inputs, result: representation.append(result)
    )
    predicted = model.predict(sites, pairs, layout)[:, 0]
    expected = reference["outputs"][key]
    assert largest_difference(predicted, expected["prediction"]) < TOLERANCE
    if "global_repr" in expected:
        assert (
            largest_difference(representation[0], expected["global_repr"]) < TOLERANCE
        )


def test_every_block_equals_the_published_code(reference: dict[str, Any]) -> None:
    model = reference_model(reference, {})
    sites, pairs = reference_inputs(reference)
    layout = model.layout(reference_batch(reference))
    outputs: list[Any] = []
    for block in model.blocks:
        block.register_forward_hook(lambda _m, _i, result: outputs.append(result))
    model.predict(sites, pairs, layout)
    real = ~torch.tensor(reference["attention_mask"])
    expected = reference["block_outputs_no_cutoff"]
    for k, found in enumerate(outputs):
        new_sites, new_pairs, _joined = expected[f"block{k}_out(x,I,concat)"]
        assert largest_difference(found.sites, new_sites) < TOLERANCE
        if k == 0:
            masked = double(new_pairs)[real]
            pairs_found = torch.cat(found.interactions)
            assert largest_difference(pairs_found, masked.tolist()) < TOLERANCE
    assert outputs[-1].interactions is None


def test_log_coulomb_values_equal_the_published_code(reference: dict[str, Any]) -> None:
    model = reference_model(reference, {})
    _, pairs = model.features(reference_batch(reference))
    _, expected = reference_inputs(reference)
    assert largest_difference(pairs, expected.tolist()) < 1e-6


@pytest.mark.parametrize(
    ("key", "changes"),
    [("-1", {}), ("3.0", {"cutoff": 3.0}), ("max_pool", {"pooling": "max"})],
)
def test_the_dense_oracle_equals_the_published_code(
    reference: dict[str, Any], key: str, changes: dict[str, Any]
) -> None:
    weights = copied_weights(reference_model(reference, changes))
    oracle = DenseSiteNet(section(changes), weights, training=False)
    crystals = padded(reference_batch(reference), torch.float64)
    sites, pairs = double(reference["x_input"]), double(reference["interaction"])
    predicted = oracle.predict(sites, pairs[:, : crystals.real.shape[1]], crystals)
    expected = reference["outputs"][key]["prediction"]
    assert largest_difference(predicted[:, 0], expected) < TOLERANCE
