"""Every configuration of a space that has an end of them."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from search.space.values import Value

if TYPE_CHECKING:
    from search.space.space import Space

MOST = 10_000
"""Configurations, before constraints, up to which a space is listed: a few tenths of a
second, once. No study comes near the end of a larger one."""


def every_configuration(space: "Space") -> tuple[dict[str, Value], ...] | None:
    """Return each configuration that `space` allows, once; None if it is not listed.

    A space with a continuous parameter has no end of them, one with more than `MOST`
    has too many.
    """
    if any(parameter.size is None for parameter in space.parameters.values()):
        return None
    chosen: list[dict[str, Value]] = [{}]
    for name in space.order:
        longer = (new for values in chosen for new in _with(space, values, name))
        # It never shrinks again; and one range alone may hold more than memory does.
        chosen = list(islice(longer, MOST + 1))
        if len(chosen) > MOST:
            return None
    flats = (space.resolve(values) for values in chosen)
    return tuple(flat for flat in flats if space.allows(flat))


def _with(
    space: "Space", active: dict[str, Value], name: str
) -> Iterator[dict[str, Value]]:
    """Yield the `active` values with each value of `name`, or as they are without it.

    Args:
        space: that has the parameters.
        active: values of the active ones among those that come before `name`.
        name: the next parameter in the space's order.
    """
    parameter = space.parameters[name]
    if not all(
        c.parameter in active and c.holds(active[c.parameter]) for c in parameter.when
    ):
        yield active
        return
    size = parameter.size or 0
    for index in range(size):
        yield {**active, name: parameter.from_unit((index + 0.5) / size)}
