"""What `sitenet space check` says of a space without errors."""

from dataclasses import asdict, dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np

from search.space.acceptance import Acceptance, measure_acceptance, percent
from search.space.space import Space
from search.space.values import Value, spoken

_ENUMERATED = 100_000


@dataclass(frozen=True)
class ConstraintRow:
    """One constraint and the share of random configurations that break it."""

    constraint: str
    rejects: float


@dataclass(frozen=True)
class AcceptanceRow:
    """Share of random configurations that every constraint allows, 95 % interval."""

    rate: float
    low: float
    high: float
    draws: int


@dataclass(frozen=True)
class SpaceReport:
    """A summary in plain values; the keys of `as_dict` are what `--json` prints."""

    name: str
    family: str
    description: str
    preset: str
    digest: str
    fixed: dict[str, Value]
    parameters: dict[str, str]
    """Key → range in words."""
    conditionals: dict[str, str]
    """Key of a conditional parameter → when it is active, in words."""
    priors: dict[str, str]
    """Key of a parameter with a prior → what is believed, in words."""
    n_continuous: int
    """Parameters without an end of values."""
    n_discrete_combinations: int | None
    """Distinct combinations of the others; None if too many to count."""
    constraints: list[ConstraintRow]
    acceptance: AcceptanceRow | None
    """What the constraints leave over; None without constraints."""
    known_good: list[dict[str, Value]]
    samples: list[dict[str, Value]]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        width = max(len(name) for name in self.parameters)
        lines = [f"space {self.name}: {self.description}".rstrip(": ")]
        lines.append(f"family {self.family}, preset {self.preset}, {self._counts()}")
        lines += [f"  {key} = {_word(value)}" for key, value in self.fixed.items()]
        for name, words in self.parameters.items():
            condition, prior = self.conditionals.get(name), self.priors.get(name)
            lines.append(
                f"  {name:<{width}}  {words}"
                + f"  when {condition}" * bool(condition)
                + f"  prior {prior}" * bool(prior)
            )
        lines += self._constraint_lines()
        for title, flats in (("known good", self.known_good), ("sample", self.samples)):
            for index, flat in enumerate(flats, start=1):
                shown = {key: v for key, v in flat.items() if v is not None}
                words = ", ".join(f"{k}={_word(v)}" for k, v in shown.items())
                lines.append(f"{title} {index}: {words}")
        return lines

    def _constraint_lines(self) -> list[str]:
        if self.acceptance is None:
            return []
        lines = [
            f"  {row.constraint}  rejects {percent(row.rejects)}"
            for row in self.constraints
        ]
        found = self.acceptance
        lines.append(
            f"constraints allow {percent(found.rate)} of random configurations "
            f"({percent(found.low)} to {percent(found.high)}, 95 % interval of "
            f"{found.draws:,} draws)"
        )
        return lines

    def _counts(self) -> str:
        count = self.n_discrete_combinations
        combinations = "countless" if count is None else f"{count:,}"
        before = " before constraints" if self.constraints else ""
        return (
            f"{len(self.parameters)} parameters ({len(self.conditionals)} conditional, "
            f"{self.n_continuous} continuous), {combinations} discrete combinations"
            f"{before}"
        )


def check_report(space: Space, *, seed: int = 0, n_samples: int = 3) -> SpaceReport:
    """Return the summary of `space` with `n_samples` random configurations."""
    generator = np.random.default_rng(seed)
    parameters = space.parameters
    found = measure_acceptance(space) if space.constraints else None
    return SpaceReport(
        name=space.name,
        family=space.family,
        description=space.description,
        preset=space.preset,
        digest=space.digest,
        fixed=dict(space.fixed),
        parameters={name: p.describe() for name, p in parameters.items()},
        conditionals={
            name: " and ".join(condition.describe() for condition in p.when)
            for name, p in parameters.items()
            if p.when
        },
        priors={
            name: p.prior.describe()
            for name, p in parameters.items()
            if p.prior is not None
        },
        n_continuous=sum(p.size is None for p in parameters.values()),
        n_discrete_combinations=discrete_combinations(space),
        constraints=_constraint_rows(found),
        acceptance=None
        if found is None
        else AcceptanceRow(found.rate, *found.interval, found.draws),
        known_good=[space.resolve(flat) for flat in space.known_good],
        samples=[space.sample(generator) for _ in range(n_samples)],
    )


def _constraint_rows(found: Acceptance | None) -> list[ConstraintRow]:
    if found is None:
        return []
    counts = found.rejections.items()
    return [ConstraintRow(text, count / found.draws) for text, count in counts]


def discrete_combinations(space: Space) -> int | None:
    """Return how many distinct configurations there are, continuous values apart.

    None if a continuous parameter decides on another, or if the deciding parameters
    have over 100,000 combinations.
    """
    deciders = {c.parameter for p in space.parameters.values() for c in p.when}
    sizes = [space.parameters[name].size for name in deciders]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes) or prod(known) > _ENUMERATED:
        return None
    names = [name for name in space.parameters if name in deciders]
    seen: dict[tuple[Value, ...], int] = {}
    for values in product(*(_all_values(space, name) for name in names)):
        chosen = dict(zip(names, values, strict=True))
        full: dict[str, Value] = dict.fromkeys(space.parameters) | chosen
        active = space.active(full)
        key = tuple(chosen[name] if name in active else None for name in names)
        free = [name for name in active if name not in deciders]
        seen[key] = prod(space.parameters[name].size or 1 for name in free)
    return sum(seen.values())


def _all_values(space: Space, name: str) -> list[Value]:
    parameter = space.parameters[name]
    size = parameter.size or 1
    return [parameter.from_unit((index + 0.5) / size) for index in range(size)]


def _word(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return spoken(value)
