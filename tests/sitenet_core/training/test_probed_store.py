"""A machine is not measured on a damaged store."""

from pathlib import Path

import pytest
from support.sitenet_training import build_prototypes
from support.toy_store import change_a_byte

from sitenet_core.errors import StoreError
from sitenet_core.families.sitenet.config import SiteNetConfig
from sitenet_core.training.probe import Probe, measure


def test_a_probe_refuses_a_store_with_a_changed_byte(tmp_path: Path) -> None:
    store = build_prototypes(tmp_path, 4)
    change_a_byte(store.path / "array-pair_distance.bin")
    config = SiteNetConfig.from_preset("test").model_dump(mode="json")
    with pytest.raises(StoreError, match=r"array-pair_distance\.bin; delete"):
        measure(Probe(store.path, config, "cpu", 1))
