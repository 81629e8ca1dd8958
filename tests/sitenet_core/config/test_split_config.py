"""Which keys of a split belong to which kind."""

import pytest
from pydantic import ValidationError

from sitenet_core.config import SplitConfig


def test_the_defaults_are_fold_0_and_a_fifth() -> None:
    assert SplitConfig(kind="fold").tested_fold == 0
    assert SplitConfig(kind="fold", test_fold=3).tested_fold == 3
    assert SplitConfig(kind="random").tested_fraction == 0.2
    assert SplitConfig(kind="random", test_fraction=0.5).tested_fraction == 0.5


@pytest.mark.parametrize("kind", ["random", "composition", "prototype"])
def test_a_fold_is_refused_where_no_fold_is_read(kind: str) -> None:
    with pytest.raises(ValidationError, match=f"kind {kind}; remove it, or set kind"):
        SplitConfig.model_validate({"kind": kind, "test_fold": 0})


def test_a_fraction_is_refused_where_folds_decide() -> None:
    with pytest.raises(ValidationError, match="remove it, or choose the fold by"):
        SplitConfig.model_validate({"kind": "fold", "test_fraction": 0.2})
