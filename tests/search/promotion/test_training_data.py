"""The long trainings look at the bytes of their stores."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.toy_store import ToySource, build_toy, change_a_byte, toys

from search.promotion.networks import Promotion, Running
from sitenet_core.config import TargetConfig
from sitenet_core.errors import StoreError
from sitenet_core.families import get_family


def promotion(store: Path) -> Promotion:
    target = TargetConfig(column="gap", name="gap", unit="eV")
    parts: dict[str, Any] = {
        "folder": None,
        "study": SimpleNamespace(
            config=SimpleNamespace(data=SimpleNamespace(target=target))
        ),
        "data": SimpleNamespace(store_of=lambda _: store, split=None),
        "plan": SimpleNamespace(train_on="train"),
        "ledger": None,
    }
    return Promotion(**cast("Any", parts), running=Running(progress=False, threads=1))


def test_a_promotion_refuses_a_store_with_a_changed_byte(tmp_path: Path) -> None:
    store = build_toy(tmp_path, ToySource(toys(5)))
    config = get_family("sitenet").Config.from_preset("test")
    whole = promotion(store.path)
    assert whole.training_data(config).store.digest == store.digest
    change_a_byte(store.path / "array-distance.bin")
    with pytest.raises(StoreError, match=r"array-distance\.bin; delete the folder"):
        whole.training_data(config)
