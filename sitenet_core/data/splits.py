"""Making a split: test set, limits, cut to size, validation set, in this order.

Every choice is a permutation by a numpy generator seeded with (seed, stage), applied to
groups in the order of their keys: nothing but ids, values present, group keys, cell
sizes and the data configuration decides, and one stage does not disturb the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from sitenet_core.config.data import DataConfig
from sitenet_core.data.split import ExcludedRow, Split
from sitenet_core.data.store import PackedStore
from sitenet_core.errors import DataError

_TEST_STAGE, _CUT_STAGE, _VALIDATION_STAGE = range(3)
_SITES = "n_unique_sites"


@dataclass(frozen=True)
class _Crystals:
    """Crystals that are still to be given a part, sorted by id."""

    ids: np.ndarray
    """(n,) of Python's strings."""
    rows: np.ndarray
    """(n,) index in the store."""
    groups: np.ndarray
    """(n,) int; crystals of one group stay together."""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, chosen: np.ndarray) -> "_Crystals":
        """Return those that a mask or an index array names."""
        return _Crystals(self.ids[chosen], self.rows[chosen], self.groups[chosen])


@dataclass
class _Exclusions:
    """Gathers a row for every crystal that is left out."""

    rows: list[ExcludedRow] = field(default_factory=list)

    def drop(
        self, crystals: _Crystals, mask: np.ndarray, reasons: list[str] | str
    ) -> _Crystals:
        """Return the crystals that `mask` does not name, and list those it names."""
        names = crystals.ids[mask].tolist()
        texts = [reasons] * len(names) if isinstance(reasons, str) else reasons
        self.rows += [
            ExcludedRow(id=n, reason=r) for n, r in zip(names, texts, strict=True)
        ]
        return crystals.take(~mask)


def make_split(
    store: PackedStore,
    data: DataConfig,
    cell_limit: int,
    prototypes: Mapping[str, str] | None = None,
) -> Split:
    """Return the split of `store` that `data` asks for.

    Crystals without a value of the target are in no part. Those with a primitive cell
    of more than `cell_limit` sites are never trained or validated on, but tested on.
    What is in no part has a row that says why.

    Args:
        store: Any store of the data set; only ids, folds, labels, formulas and cell
            sizes are looked at.
        data: Target column and split.
        cell_limit: Largest `n_unique_sites` to train and validate on.
        prototypes: Prototype of each crystal by id, from `prototype_keys`; only a split
            by prototype needs and uses it.

    Raises:
        DataError: if the source lacks the column, the folds or the fold, or there are
            too few crystals or groups to put one in each part, or a crystal has no
            prototype where the split is by prototype.
    """
    excluded = _Exclusions()
    crystals = _with_value(store, data, excluded)
    crystals = _grouped(store, data, crystals, prototypes or {})
    tested, pool = _test_set(store, data, crystals, excluded)
    pool = _within_limit(store, pool, cell_limit, excluded)
    pool = _cut(pool, data, excluded)
    n_groups = len(np.unique(pool.groups))
    if n_groups < 2:
        raise DataError(
            f"{_what(store, data)} leaves {_counted(pool, data)} to train and validate"
            f" on, with at most {cell_limit} sites in the primitive cell; at least 2"
            " are needed. Add data, or raise the unit-cell limit"
        )
    validated = _share(
        pool, data.split.validation_fraction, 1, _generator(data, _VALIDATION_STAGE)
    )
    return Split(
        column=data.target.column,
        config=data.split,
        cell_limit=cell_limit,
        store_digest=store.digest,
        train=tuple(pool.ids[~validated].tolist()),
        validation=tuple(pool.ids[validated].tolist()),
        test=tuple(tested.ids.tolist()),
        excluded=tuple(sorted(excluded.rows, key=lambda row: row.id)),
    )


def _with_value(
    store: PackedStore, data: DataConfig, excluded: _Exclusions
) -> _Crystals:
    names = np.array(store.ids, dtype=object)
    rows = np.argsort(names, kind="stable")
    crystals = _Crystals(names[rows], rows, np.arange(len(rows)))
    missing = ~np.isfinite(store.labels(data.target.column)[rows])
    column = data.target.column
    return excluded.drop(crystals, missing, f"no number in column {column!r}")


def _grouped(
    store: PackedStore,
    data: DataConfig,
    crystals: _Crystals,
    prototypes: Mapping[str, str],
) -> _Crystals:
    kind = data.split.kind
    if kind == "composition":
        keys = [store.reduced_formulas[row] for row in crystals.rows.tolist()]
    elif kind == "prototype":
        keys = [_prototype(store, prototypes, name) for name in crystals.ids.tolist()]
    else:
        return crystals
    groups = np.unique(np.array(keys, dtype=object), return_inverse=True)[1]
    return replace(crystals, groups=groups)


def _prototype(store: PackedStore, prototypes: Mapping[str, str], name: str) -> str:
    if name not in prototypes:
        raise DataError(
            f"source {store.header.source}: crystal {name!r} is in the store and has no"
            " prototype: the source changed since the store was built; build it again"
        )
    return prototypes[name]


def _test_set(
    store: PackedStore, data: DataConfig, crystals: _Crystals, excluded: _Exclusions
) -> tuple[_Crystals, _Crystals]:
    """Return the test set and what is left for training and validation."""
    if data.split.kind == "fold":
        return _by_fold(store, data, crystals, excluded)
    if len(np.unique(crystals.groups)) < 3:
        raise DataError(
            f"{_what(store, data)} finds {_counted(crystals, data)} with a number in"
            f" column {data.target.column!r}; at least 3 are needed: one each to train,"
            " to validate and to test on"
        )
    generator = _generator(data, _TEST_STAGE)
    tested = _share(crystals, data.split.tested_fraction, 2, generator)
    return crystals.take(tested), crystals.take(~tested)


def _by_fold(
    store: PackedStore, data: DataConfig, crystals: _Crystals, excluded: _Exclusions
) -> tuple[_Crystals, _Crystals]:
    if store.folds is None:
        raise DataError(
            f"source {store.header.source}: has no official folds (a column `fold`);"
            " set `split.kind` to random, composition or prototype"
        )
    folds = store.folds[crystals.rows]
    crystals = excluded.drop(crystals, folds < 0, "in no official fold")
    folds = folds[folds >= 0]
    wanted = data.split.tested_fold
    if wanted not in folds:
        there = ", ".join(str(f) for f in np.unique(folds).tolist()) or "none"
        raise DataError(
            f"source {store.header.source}: no crystal with a number in column"
            f" {data.target.column!r} is in fold {wanted}; folds that are there:"
            f" {there}. Set `split.test_fold` to one of them"
        )
    return crystals.take(folds == wanted), crystals.take(folds != wanted)


def _within_limit(
    store: PackedStore, pool: _Crystals, cell_limit: int, excluded: _Exclusions
) -> _Crystals:
    sites = store.column(_SITES)[pool.rows]
    too_large = sites > cell_limit
    reasons = [
        f"{n} sites in the primitive cell, over the training limit of {cell_limit}"
        for n in sites[too_large].tolist()
    ]
    return excluded.drop(pool, too_large, reasons)


def _cut(pool: _Crystals, data: DataConfig, excluded: _Exclusions) -> _Crystals:
    size = data.split.max_training_structures
    if size is None or len(pool) <= size:
        return pool
    left_out = np.ones(len(pool), dtype=bool)
    left_out[_generator(data, _CUT_STAGE).permutation(len(pool))[:size]] = False
    return excluded.drop(pool, left_out, f"cut to {size} training structures")


def _share(
    crystals: _Crystals, fraction: float, keep: int, generator: np.random.Generator
) -> np.ndarray:
    """Return a mask of whole groups that is as near to `fraction` as they permit.

    Groups are gone through in random order; one that would exceed the target is passed
    over. If then the smallest group that is left brings the total nearer to the target,
    it is taken too, so the total is off by at most half of it. At least one group is
    taken, and at least `keep` are left.
    """
    names, counts = np.unique(crystals.groups, return_counts=True)
    target = fraction * len(crystals)
    order = generator.permutation(len(names))
    taken: list[int] = []
    total = 0
    for group in order.tolist():
        if len(taken) == len(names) - keep:
            break
        if total + counts[group] <= target:
            taken.append(group)
            total += int(counts[group])
    done = set(taken)
    rest = [group for group in order.tolist() if group not in done]
    smallest = min(rest, key=lambda group: int(counts[group]))
    nearer = abs(total + counts[smallest] - target) < abs(total - target)
    if not taken or (nearer and len(rest) > keep):
        taken.append(smallest)
    return np.isin(crystals.groups, names[taken])


def _generator(data: DataConfig, stage: int) -> np.random.Generator:
    return np.random.default_rng([data.split.seed, stage])


def _what(store: PackedStore, data: DataConfig) -> str:
    return f"source {store.header.source}: the {data.split.kind} split"


def _counted(crystals: _Crystals, data: DataConfig) -> str:
    n = len(crystals)
    if data.split.kind in {"fold", "random"}:
        return f"{n} crystal{'' if n == 1 else 's'}"
    n_groups = len(np.unique(crystals.groups))
    return f"{n} crystals in {n_groups} different {data.split.kind}s"
