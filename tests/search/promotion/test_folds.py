"""Official folds as validation sets, and the test set in none of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from support.promotable_study import make_study

from search.promotion.folds import fold_split, inner_folds, overlap
from sitenet_core.config import SplitConfig
from sitenet_core.data import Split
from sitenet_core.errors import ConfigError, DataError

IDS = [f"c{n:02d}" for n in range(15)]


def store(folds: list[int] | None) -> Any:
    header = SimpleNamespace(source="toy.parquet")
    found = None if folds is None else np.array(folds)
    return cast("Any", SimpleNamespace(ids=IDS, folds=found, header=header))


def split() -> Split:
    """Return fold 0 as test set, one crystal of fold 1 left out."""
    test = tuple(n for k, n in enumerate(IDS) if k % 5 == 0)
    pool = [n for k, n in enumerate(IDS) if k % 5 and n != "c01"]
    return Split(
        column="y",
        config=SplitConfig(kind="fold"),
        cell_limit=9,
        store_digest="d",
        train=tuple(pool[2:]),
        validation=tuple(pool[:2]),
        test=test,
    )


FOLDS = [k % 5 for k in range(15)]


def test_every_crystal_validates_once_and_the_test_set_never() -> None:
    whole, source = split(), store(FOLDS)
    folds = inner_folds(whole, source)
    assert folds == (1, 2, 3, 4)
    parts = [fold_split(whole, source, fold) for fold in folds]
    validated = [name for part in parts for name in part.validation]
    assert sorted(validated) == sorted((*whole.train, *whole.validation))
    for part in parts:
        assert part.test == whole.test
        assert not set(whole.test) & {*part.train, *part.validation}
        assert not set(part.train) & set(part.validation)
        assert len(part.train) + len(part.validation) == 11
    assert len({part.digest for part in parts}) == 4
    assert "c01" not in validated


def test_the_overlap_is_validation_per_training_crystal() -> None:
    assert overlap(split(), 4) == pytest.approx(1 / 3)


def test_a_source_without_folds_or_with_one_left_is_refused() -> None:
    with pytest.raises(DataError, match="no official folds"):
        inner_folds(split(), store(None))
    with pytest.raises(DataError, match="in 1 official fold"):
        inner_folds(split(), store([k % 5 and 1 for k in range(15)]))


def test_folds_of_a_split_that_has_none_are_an_error_with_its_line(
    tmp_path: Path,
) -> None:
    with pytest.raises(
        ConfigError, match=r"study\.yaml:\d+:\d+: promotion\.folds: .*ran"
    ):
        make_study(tmp_path, reruns="folds: true")
