"""A search space: which keys of a configuration vary and within what."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError, field_validator

from search.space.conditions import evaluation_order
from search.space.constraints import Constraint, parse_constraint
from search.space.density import Floats
from search.space.enumeration import every_configuration
from search.space.parameters import Parameter
from search.space.values import DeclaredValue, FlatConfiguration, Value
from sitenet_core.config import (
    Problem,
    StrictModel,
    TrialConfig,
    flatten,
    merge,
    nearest,
    problems_of,
    unflatten,
)
from sitenet_core.errors import ConfigError

MAX_DRAWS = 20_000
"""Of one configuration; where 0.1 % is allowed, all are rejected once in 5e8 times."""


class Space(StrictModel):
    """A checked space file. `search.space.load_space` makes it and finds all errors."""

    version: Literal[1] = 1
    name: str
    """As it was asked for: a shipped name or a path."""
    family: str
    description: str = ""
    preset: str
    """Preset of the family that gives every key that is not named here."""
    fixed: dict[str, DeclaredValue] = Field(default_factory=dict)
    """Dotted key → value, laid over the preset."""
    parameters: dict[str, Parameter]
    known_good: tuple[dict[str, DeclaredValue], ...] = ()
    """Complete flat configurations, tried first and in this order."""
    constraints: tuple[str, ...] = ()
    """What every configuration satisfies (see `search.space.constraints`)."""

    @field_validator("constraints")
    @classmethod
    def _readable(cls, constraints: tuple[str, ...]) -> tuple[str, ...]:
        for text in constraints:
            parse_constraint(text)
        return constraints

    @cached_property
    def rules(self) -> tuple[Constraint, ...]:
        """The constraints, read."""
        return tuple(parse_constraint(text) for text in self.constraints)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The parameters, each after those that decide whether it is active."""
        return evaluation_order(
            {
                name: sorted({condition.parameter for condition in parameter.when})
                for name, parameter in self.parameters.items()
            }
        )

    @cached_property
    def every_configuration(self) -> tuple[dict[str, Value], ...] | None:
        """Every allowed configuration; None if there is no end of them, or too many."""
        return every_configuration(self)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything but the name and the description.

        What a space does not use leaves no trace, so that a space from before there
        were priors and constraints keeps its digest.
        """
        content = self.model_dump(mode="json", exclude={"name", "description"})
        if not self.constraints:
            del content["constraints"]
        for parameter in content["parameters"].values():
            if parameter["prior"] is None:
                del parameter["prior"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def resolve(self, values: Mapping[str, Value]) -> dict[str, Value]:
        """Return the flat configuration of `values`: None where inactive.

        Args:
            values: a value of the declared type for every parameter that turns out
                active; others are ignored.

        Raises:
            KeyError: if an active parameter has no value.
        """
        active: dict[str, Value] = {}
        for name in self.order:
            conditions = self.parameters[name].when
            if all(
                condition.parameter in active
                and condition.holds(active[condition.parameter])
                for condition in conditions
            ):
                active[name] = values[name]
        return {name: active.get(name) for name in self.parameters}

    def active(self, flat: FlatConfiguration) -> tuple[str, ...]:
        """Return the active parameters of a flat configuration, in declared order."""
        live: set[str] = set()
        for name in self.order:
            if all(
                condition.parameter in live
                and condition.holds(flat[condition.parameter])
                for condition in self.parameters[name].when
            ):
                live.add(name)
        return tuple(name for name in self.parameters if name in live)

    def sample(self, generator: np.random.Generator) -> dict[str, Value]:
        """Return a random flat configuration that the constraints allow.

        What they reject is drawn anew, as a whole.

        Raises:
            ConfigError: if nothing allowed is found in 20,000 draws; a space file of
                which less than 0.1 % is allowed is refused when it is read.
        """
        for _ in range(MAX_DRAWS):
            flat = self.draw(generator)
            if self.allows(flat):
                return flat
        raise ConfigError(
            f"space {self.name}: none of {MAX_DRAWS:,} random configurations satisfies "
            f"the constraints ({'; '.join(self.constraints)}); loosen one of them"
        )

    def allows(self, flat: FlatConfiguration) -> bool:
        """Return whether `flat` satisfies every constraint."""
        return all(rule.holds(flat) for rule in self.rules)

    def draw(self, generator: np.random.Generator) -> dict[str, Value]:
        """Return a random flat configuration, allowed or not.

        Each parameter is drawn independently, by its prior if it has one. One number is
        drawn for every parameter, active or not, so that a condition does not shift the
        numbers of the parameters after it.
        """
        shares = generator.random(len(self.parameters))
        return self.from_units(self.drawn_units(shares).tolist())

    def drawn_units(self, shares: Floats) -> Floats:
        """Return the unit coordinates that uniform numbers draw: priors are followed.

        Args:
            shares: (…, n_parameters) in [0, 1), such as points of a Sobol sequence.
        """
        units = np.array(shares)
        for column, parameter in enumerate(self.parameters.values()):
            if parameter.prior is not None:
                units[..., column] = parameter.density.quantile(units[..., column])
        return units

    def from_units(self, units: Sequence[float]) -> dict[str, Value]:
        """Return the flat configuration at `units`, (n_parameters,) in [0, 1)."""
        pairs = zip(self.parameters.items(), units, strict=True)
        return self.resolve({name: p.from_unit(unit) for (name, p), unit in pairs})

    def from_raw(self, raw: Mapping[str, float]) -> dict[str, Value]:
        """Return the flat configuration at raw coordinates (see `parameters`)."""
        return self.resolve({n: p.from_raw(raw[n]) for n, p in self.parameters.items()})

    def faults(self, flat: FlatConfiguration) -> dict[str, str]:
        """Return what keeps `flat` from being a configuration of this space, by key.

        Empty if it is one. An inactive parameter may be left out or None.
        """
        faults = {
            name: f"is not a parameter of this space; {nearest(name, self.parameters)}"
            for name in flat
            if name not in self.parameters
        }
        full = {name: flat.get(name) for name in self.parameters}
        active = self.active(full)
        for name, parameter in self.parameters.items():
            if name not in active:
                if flat.get(name) is not None:
                    faults[name] = "is inactive here: leave it out or write null"
            elif name not in flat:
                faults[name] = "has no value; a known-good configuration is complete"
            elif (fault := parameter.fault(flat[name])) is not None:
                faults[name] = fault
        return faults

    def override_problems(self, overrides: Mapping[str, Any]) -> list[Problem]:
        """Return what is wrong with a study's nested `overrides` of this space."""
        problems = []
        for key in flatten(overrides):
            clashes = [name for name in self.parameters if _overlap(key, name)]
            if clashes:
                message = (
                    f"{clashes[0]} is sampled by space {self.name}; leave it out here, "
                    "or copy the space and move the key to its `fixed`"
                )
                problems.append(Problem(tuple(key.split(".")), message))
        return problems

    def configuration(
        self, flat: FlatConfiguration, overrides: Mapping[str, Any] | None = None
    ) -> TrialConfig:
        """Return the complete configuration: preset < fixed < overrides < sampled.

        Args:
            flat: a flat configuration of this space; its inactive parameters become
                null in the result.
            overrides: the study's nested changes.

        Raises:
            ConfigError: if an override names a sampled key, or the family refuses the
                result.
        """
        from sitenet_core.families.registry import get_family

        return build_configuration(
            get_family(self.family).Config, self, flat, overrides or {}
        )


def build_configuration(
    config_class: type[TrialConfig],
    space: Space,
    flat: FlatConfiguration,
    overrides: Mapping[str, Any],
) -> TrialConfig:
    """Return `space.configuration(flat, overrides)` as a `config_class`.

    Raises:
        ConfigError: see `Space.configuration`.
    """
    problems = space.override_problems(overrides)
    if not problems:
        changes = merge(unflatten(space.fixed), overrides)
        changes = merge(changes, unflatten(flat))
        try:
            return config_class.from_preset(space.preset, changes)
        except ValidationError as error:
            problems = problems_of(config_class, error)
    raise ConfigError(
        "\n".join(
            f"space {space.name}: {'.'.join(map(str, p.location))}: {p.message}"
            for p in problems
        )
    )


def _overlap(key: str, other: str) -> bool:
    """Return whether one of two dotted keys is, or lies under, the other."""
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")
