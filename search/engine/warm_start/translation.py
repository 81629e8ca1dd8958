"""A configuration of an earlier study in the words of a new space.

* A parameter that the earlier configuration lacks, or that was inactive there, takes
  its *known* value: that of the first known-good configuration, else that of the
  preset and the fixed values, else the middle of its range.
* A number outside the new range is moved to the nearest end of it; a fraction where a
  whole number is wanted is rounded.
* A choice that the new space does not offer has no nearest value: the configuration is
  left out. So is one that breaks a constraint of the space, and one that says nothing
  about any parameter of it.

What was filled in or moved is said by name. Only a configuration that is carried over
as it was can count as an observation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from search.space.parameters import ChoiceParameter, Parameter
from search.space.space import Space
from search.space.values import FlatConfiguration, Value


class UntranslatableError(ValueError):
    """A configuration cannot be carried over; the message is the reason."""


@dataclass(frozen=True)
class Translation:
    """A configuration of the new space, and how it differs from the earlier one."""

    configuration: dict[str, Value]
    moved: tuple[str, ...] = ()
    """Parameters whose value lay outside the new range."""
    filled: tuple[str, ...] = ()
    """Parameters that the earlier configuration does not know."""

    @property
    def is_exact(self) -> bool:
        """Whether the earlier study really tried this configuration."""
        return not self.moved and not self.filled


def translate(
    earlier: FlatConfiguration, space: Space, known: Mapping[str, Value]
) -> Translation:
    """Return `earlier` in `space`.

    Args:
        earlier: dotted key → value, of whatever is known.
        space: of the new study.
        known: see `known_values`.

    Raises:
        UntranslatableError: with the reason, if it cannot be carried over.
    """
    values: dict[str, Value] = {}
    moved, filled, foreign = set(), set(), {}
    for name, parameter in space.parameters.items():
        value = earlier.get(name)
        if value is None and parameter.fault(None) is not None:
            values[name] = _default(parameter, known.get(name))
            filled.add(name)
        elif isinstance(parameter, ChoiceParameter) or not _is_number(value):
            # An inactive parameter may have any value; an active one is refused below.
            values[name] = value
            fault = parameter.fault(value)
            if fault is not None:
                foreign[name] = fault
        else:
            values[name] = parameter.from_raw(float(value))  # type: ignore[arg-type]
            if values[name] != value:
                moved.add(name)
    flat = space.resolve(values)
    active = space.active(flat)
    for name in active:
        if name in foreign:
            raise UntranslatableError(f"{name}: {foreign[name]}")
    if filled.issuperset(active):
        raise UntranslatableError("it has none of the parameters of this space")
    if not space.allows(flat):
        raise UntranslatableError("a constraint of the space rules it out")
    return Translation(
        flat,
        moved=tuple(name for name in active if name in moved),
        filled=tuple(name for name in active if name in filled),
    )


def known_values(space: Space, base: Mapping[str, Value]) -> dict[str, Value]:
    """Return the value that a parameter has where nothing else is said.

    Args:
        space: the new space.
        base: dotted key → value of the configuration before anything is sampled.
    """
    known = {name: base[name] for name in space.parameters if name in base}
    if space.known_good:
        good = space.known_good[0].items()
        known.update({name: value for name, value in good if value is not None})
    return known


def _default(parameter: Parameter, value: Value) -> Value:
    if parameter.fault(value) is None:
        return value
    if isinstance(parameter, ChoiceParameter) or not _is_number(value):
        return parameter.from_unit(0.5)
    return parameter.from_raw(float(value))  # type: ignore[arg-type]


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
