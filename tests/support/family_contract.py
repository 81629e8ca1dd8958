"""What every model family must do: one class of tests that each family inherits.

A family's test module derives `FamilyContract`, names the family, and declares whether
its predictions are the same for a supercell of a crystal.
"""

import pickle
from collections.abc import Callable
from functools import cache
from typing import ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from pymatgen.core import Structure
from support import transforms

from sitenet_core.config import TargetConfig, TrialConfig, flatten, unflatten
from sitenet_core.data.schema import CRYSTAL
from sitenet_core.errors import ConfigError
from sitenet_core.families import (
    ModelFamily,
    ModelMeta,
    batch_of,
    family_names,
    get_family,
    recipe,
)

Change = Callable[[Structure, np.random.Generator], Structure]

TARGET = TargetConfig(column="y", name="y", unit="eV")
SAME_CRYSTAL: dict[str, Change] = {
    "translated": transforms.translated,
    "rotated": transforms.rotated,
    "permuted": transforms.permuted,
    "rebased": transforms.rebased,
    "rewrapped": transforms.rewrapped,
    "scrambled": transforms.scrambled,
}
SECTIONS = ("cell", "model", "batch", "optimizer", "training")


class FamilyContract:
    """The contract; `structures` may be overridden by a fixture of the same name."""

    family_name: ClassVar[str]
    same_for_supercells: ClassVar[bool]
    tolerance: ClassVar[float] = 1e-6
    """Largest relative change of a float64 prediction for the same crystal written
    differently; distances in stores are float32."""

    @pytest.fixture
    def family(self) -> ModelFamily:
        return get_family(self.family_name)

    @pytest.fixture
    def config(self, family: ModelFamily) -> TrialConfig:
        return family.Config.from_preset("test")

    @pytest.fixture
    def structures(self) -> list[Structure]:
        """Return eight real crystals of different symmetry, 1 to 16 sites."""
        return embedded_crystals(
            "A_tI2_139_a",
            "AB_cP6_221_c_d",
            "AB3C_hR10_148_c_f_c",
            "A_aP4_2_aci",
            "A_oC8_64_f",
            "AB3_oP16_18_ab_3c",
            "A2B3C7D_oP13_47_t_aq_eqrs_h",
            "AB_hP12_194_af_bf",
        )

    def records(
        self, family: ModelFamily, config: TrialConfig, structures: list[Structure]
    ) -> list[dict[str, np.ndarray]]:
        settings = family.settings(config)
        return [family.featurise(s, settings) for s in structures]

    def predict(
        self, family: ModelFamily, config: TrialConfig, structures: list[Structure]
    ) -> np.ndarray:
        """Return float64 predictions (n_crystals,) of a model with random weights."""
        model = built(family, config).double().eval()
        batch = batch_of(family, self.records(family, config, structures))
        with torch.no_grad():
            return np.asarray(model(batch))[:, 0]

    def test_it_is_registered_under_its_name(self, family: ModelFamily) -> None:
        assert self.family_name in family_names()
        assert family.name == self.family_name
        assert family.Config.model_fields["family"].default == self.family_name

    @pytest.mark.parametrize("name", SAME_CRYSTAL)
    def test_the_same_crystal_written_differently_is_predicted_alike(
        self,
        family: ModelFamily,
        config: TrialConfig,
        structures: list[Structure],
        name: str,
    ) -> None:
        rng = np.random.default_rng(0)
        changed = [SAME_CRYSTAL[name](s, rng) for s in structures]
        expected = self.predict(family, config, structures)
        assert np.ptp(expected) > 1e3 * self.tolerance, "crystals are told apart"
        found = self.predict(family, config, changed)
        np.testing.assert_allclose(found, expected, rtol=self.tolerance)

    def test_a_supercell_is_predicted_as_declared(
        self, family: ModelFamily, config: TrialConfig, structures: list[Structure]
    ) -> None:
        rng = np.random.default_rng(0)
        changed = [transforms.enlarged(s, rng) for s in structures]
        expected = self.predict(family, config, structures)
        found = self.predict(family, config, changed)
        same = np.allclose(found, expected, rtol=self.tolerance)
        assert same == self.same_for_supercells

    def test_a_batch_of_one_equals_a_batch_of_many(
        self, family: ModelFamily, config: TrialConfig, structures: list[Structure]
    ) -> None:
        together = self.predict(family, config, structures)
        alone = [self.predict(family, config, [s])[0] for s in structures]
        np.testing.assert_allclose(alone, together, rtol=1e-11)
        backwards = self.predict(family, config, structures[::-1])
        np.testing.assert_allclose(backwards[::-1], together, rtol=1e-11)

    def test_it_overfits_eight_crystals(
        self, family: ModelFamily, config: TrialConfig, structures: list[Structure]
    ) -> None:
        targets = np.random.default_rng(0).normal(size=(len(structures), 1))
        batch = batch_of(family, self.records(family, config, structures), targets)
        model = built(family, config).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        losses: list[float] = []
        while len(losses) < 400 and (not losses or losses[-1] > 0.05 * losses[0]):
            optimizer.zero_grad()
            loss = (model(batch) - batch.targets).abs().mean()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] <= 0.05 * losses[0]

    def test_every_parameter_gets_a_gradient(
        self, family: ModelFamily, config: TrialConfig, structures: list[Structure]
    ) -> None:
        batch = batch_of(family, self.records(family, config, structures))
        model = built(family, config)
        model(batch).square().sum().backward()
        without = [n for n, p in model.named_parameters() if p.grad is None]
        assert without == []

    def test_the_seed_decides_the_weights(
        self, family: ModelFamily, config: TrialConfig
    ) -> None:
        one, other = (built(family, config).state_dict() for _ in range(2))
        assert all(torch.equal(one[name], other[name]) for name in one)
        third = built(family, config, seed=1).state_dict()
        assert any(not torch.equal(one[name], third[name]) for name in one)

    def test_loaded_weights_give_the_same_predictions(
        self, family: ModelFamily, config: TrialConfig, structures: list[Structure]
    ) -> None:
        batch = batch_of(family, self.records(family, config, structures))
        model, copy = built(family, config), built(family, config, seed=1)
        copy.load_state_dict(model.state_dict())
        with torch.no_grad():
            assert torch.equal(model.eval()(batch), copy.eval()(batch))

    def test_there_is_one_prediction_per_crystal_and_target(
        self, family: ModelFamily, config: TrialConfig, structures: list[Structure]
    ) -> None:
        batch = batch_of(family, self.records(family, config, structures))
        model = family.build(config, ModelMeta(target=TARGET, n_targets=3))
        assert model(batch).shape == (len(structures), 3)

    def test_a_non_negative_target_is_predicted_without_negative_values(
        self, family: ModelFamily, config: TrialConfig, structures: list[Structure]
    ) -> None:
        batch = batch_of(family, self.records(family, config, structures))
        target = TARGET.model_copy(update={"clamp": "non_negative"})
        clamped = family.build(config, ModelMeta(target=target)).eval()
        n_negative = 0
        for seed in range(5):
            free = built(family, config, seed=seed).eval()
            clamped.load_state_dict(free.state_dict())
            with torch.no_grad():
                signed, found = free(batch), clamped(batch)
            n_negative += int((signed < 0).sum())
            assert torch.equal(found, signed.clamp(min=0))
        assert n_negative > 0

    def test_collate_takes_targets_and_moves_between_devices(
        self, family: ModelFamily, config: TrialConfig, structures: list[Structure]
    ) -> None:
        records = self.records(family, config, structures)
        targets = np.linspace(0, 1, 2 * len(records)).reshape(-1, 2)
        batch = batch_of(family, records, targets).to("cpu")
        assert batch.n_crystals == len(records)
        np.testing.assert_allclose(batch.targets.numpy(), targets, rtol=1e-6)
        to_predict = batch_of(family, records)
        assert bool(torch.isnan(to_predict.targets).all())
        assert batch_of(family, records, targets).to("meta").targets.is_meta

    def test_featurise_is_pure_and_picklable(
        self, family: ModelFamily, config: TrialConfig, structures: list[Structure]
    ) -> None:
        made = recipe(family, family.settings(config))
        copy = pickle.loads(pickle.dumps(made))  # noqa: S301
        for structure in structures:
            before = structure.copy()
            one = made.featurise(structure, made.settings)
            other = copy.featurise(structure, copy.settings)
            assert structure == before
            assert one.keys() == other.keys()
            assert all(np.array_equal(one[name], other[name]) for name in one)

    def test_featurise_returns_the_declared_arrays(
        self, family: ModelFamily, config: TrialConfig, structures: list[Structure]
    ) -> None:
        for record in self.records(family, config, structures):
            rows: dict[str, set[int]] = {}
            assert set(record) == {spec.name for spec in family.schema}
            for spec in family.schema:
                array = record[spec.name]
                assert array.dtype == np.dtype(spec.dtype), spec.name
                ragged = spec.scope != CRYSTAL
                assert array.shape[int(ragged) :] == spec.shape, spec.name
                if ragged:
                    rows.setdefault(spec.scope, set()).add(len(array))
            assert all(len(lengths) == 1 for lengths in rows.values()), rows

    def test_settings_are_part_of_the_configuration(
        self, family: ModelFamily, config: TrialConfig
    ) -> None:
        default = family.Config.from_preset("paper")
        assert family.settings(default) == family.default_settings
        assert family.settings(config).model_dump() == config.model_dump()["cell"]

    @pytest.mark.parametrize("section", SECTIONS)
    def test_an_unknown_key_is_an_error(
        self, family: ModelFamily, config: TrialConfig, section: str
    ) -> None:
        content = config.model_dump()
        content[section]["not_a_key"] = 1
        with pytest.raises(ValidationError, match=rf"{section}\.not_a_key"):
            family.Config.model_validate(content)

    @pytest.mark.parametrize("preset", ["paper", "small", "test"])
    def test_presets_are_complete_and_survive_flattening(
        self, family: ModelFamily, preset: str
    ) -> None:
        config = family.Config.from_preset(preset)
        flat = flatten(config.model_dump())
        assert family.Config.model_validate(unflatten(flat)) == config

    def test_the_batch_budget_is_a_stored_count_or_crystals(
        self, family: ModelFamily, config: TrialConfig
    ) -> None:
        unit, total = family.batch_budget(config)
        counted = {s.name for s in family.schema if s.scope == CRYSTAL and not s.shape}
        assert unit in counted | {"crystals"}
        assert total >= 1

    def test_groups_are_measured_by_a_stored_count_and_grow_with_memory(
        self, family: ModelFamily, config: TrialConfig
    ) -> None:
        counted = {s.name for s in family.schema if s.scope == CRYSTAL and not s.shape}
        found = [family.micro_batch(config, n) for n in (None, 1, 10**9, 10**10)]
        assert {micro.unit for micro in found} <= counted
        assert len({micro.splits for micro in found}) == 1
        budgets = [micro.budget for micro in found]
        assert min(budgets) >= 1
        assert budgets[1] < budgets[2] < budgets[3]

    def test_batches_are_made_of_declared_arrays(self, family: ModelFamily) -> None:
        declared = {spec.name: spec for spec in family.schema}
        for name in family.inputs:
            spec = declared[name]
            is_count = not spec.shape and np.dtype(spec.dtype).kind in "iu"
            assert spec.scope != CRYSTAL or is_count

    def test_the_cost_of_a_crystal_grows_with_it(
        self, family: ModelFamily, config: TrialConfig
    ) -> None:
        names = [s.name for s in family.schema if s.scope == CRYSTAL and not s.shape]
        for in_parts in (False, True):
            for name in names:
                sizes = {n: np.array([2, 2, 2]) for n in names}
                sizes[name] = np.array([2, 3, 300])
                cost = family.cost(sizes, config, in_parts=in_parts)
                for values in (cost.bytes, cost.flops, cost.numbers):
                    assert values.shape == (3,)
                    assert values[0] > 0
                    assert (np.diff(values) >= 0).all()
            every = {n: np.array([2, 20]) for n in names}
            cost = family.cost(every, config, in_parts=in_parts)
            for values in (cost.bytes, cost.flops, cost.numbers):
                assert values[1] > values[0]
            assert cost.group_bytes >= 0

    def test_the_cost_of_a_crystal_is_its_own(
        self, family: ModelFamily, config: TrialConfig
    ) -> None:
        names = [s.name for s in family.schema if s.scope == CRYSTAL and not s.shape]
        together = family.cost({n: np.array([2, 30]) for n in names}, config)
        alone = family.cost({n: np.array([30]) for n in names}, config)
        assert together.bytes[1] == alone.bytes[0]
        assert together.flops[1] == alone.flops[0]

    def test_probes_are_configurations_of_the_family(self, family: ModelFamily) -> None:
        made = [family.Config.from_preset("paper", dict(p)) for p in family.probes]
        assert len({repr(config) for config in made}) == len(made) > 1

    def test_another_familys_configuration_is_refused(
        self, family: ModelFamily
    ) -> None:
        with pytest.raises(ConfigError, match="'other'"):
            family.settings(TrialConfig(family="other"))


def built(
    family: ModelFamily, config: TrialConfig, *, seed: int = 0
) -> torch.nn.Module:
    """Return a module with the weights that `seed` gives."""
    torch.manual_seed(seed)
    return family.build(config, ModelMeta(target=TARGET))


@cache
def prototypes() -> dict[str, Structure]:
    """Return the crystals that pymatgen ships, by their AFLOW prototype names."""
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    return {p["tags"]["aflow"]: p["snl"].structure for p in AFLOW_PROTOTYPE_LIBRARY}


def embedded_crystals(*names: str) -> list[Structure]:
    """Return copies of shipped crystals, by their AFLOW prototype names."""
    return [prototypes()[name].copy() for name in names]
