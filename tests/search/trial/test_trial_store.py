"""A trial looks at the bytes of its store on the machine that it runs on."""

from pathlib import Path

import pytest
from support.toy_store import ToySource, build_toy, change_a_byte, toys

from search.trial.payload import SegmentData, SegmentPayload
from search.trial.training import train
from sitenet_core.config import TargetConfig
from sitenet_core.data import verification
from sitenet_core.errors import StoreError
from sitenet_core.families import get_family


def payload(folder: Path, store: Path) -> SegmentPayload:
    config = get_family("sitenet").Config.from_preset("test")
    target = TargetConfig(column="gap", name="gap", unit="eV")
    split = str(folder / "split.json")
    return SegmentPayload(
        trial=0,
        attempt=1,
        configuration=config.model_dump(mode="json"),
        data=SegmentData(store=str(store), split=split, target=target),
        from_epoch=0,
        until_epoch=1,
        is_last=True,
        checkpoint=None,
        folder=str(folder / "trial"),
        bundle=str(folder / "bundle"),
    )


@pytest.mark.parametrize("verified_by", [None, "this_host", "another_host"])
def test_a_trial_refuses_a_store_with_a_changed_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verified_by: str | None
) -> None:
    store = build_toy(tmp_path / "stores", ToySource(toys(5)))
    monkeypatch.setattr(verification, "host_name", lambda: verified_by)
    if verified_by is not None:
        verification.open_verified(store.path)
    change_a_byte(store.path / "array-distance.bin")
    if verified_by == "another_host":
        # What it saw there is said of these very bytes, and for it alone.
        (stamp,) = store.path.glob(f"{verification.PREFIX}*")
        verification._write(stamp, verification._state(store))
    monkeypatch.setattr(verification, "host_name", lambda: "this_host")
    with pytest.raises(StoreError, match=r"array-distance\.bin; delete the folder"):
        train(payload(tmp_path, store.path), lambda _: None)
