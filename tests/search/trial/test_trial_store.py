"""A trial looks at the bytes of its store on the machine that it runs on."""

import re
from pathlib import Path

import pytest
from support.sitenet_training import CONFIG, build_prototypes, prototype_data
from support.toy_store import ToySource, build_toy, change_a_byte, toys

from search.trial.messages import FailedMessage, read_message
from search.trial.outcome import Outcome
from search.trial.payload import SegmentData, SegmentPayload
from search.trial.segment import run_segment
from search.trial.training import train
from sitenet_core.config import TargetConfig
from sitenet_core.data import verification
from sitenet_core.errors import InfrastructureError
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
    words = r"could not read its data: .*array-distance\.bin; delete the folder"
    with pytest.raises(InfrastructureError, match=words):
        train(payload(tmp_path, store.path), lambda _: None)


@pytest.fixture
def trainable(tmp_path: Path) -> SegmentPayload:
    """A segment that could be trained, of two epochs."""
    data = prototype_data(build_prototypes(tmp_path / "stores", 12))
    data.split.save(tmp_path / "split.json")
    segment = payload(tmp_path, data.store.path)
    named = SegmentData(
        store=str(data.store.path),
        split=str(tmp_path / "split.json"),
        target=data.target,
    )
    config = CONFIG.model_dump(mode="json")
    return segment.model_copy(update={"data": named, "configuration": config})


@pytest.mark.parametrize("gone", ["store", "split"])
def test_data_that_went_away_blame_no_configuration(
    trainable: SegmentPayload, gone: str
) -> None:
    assert trainable.data is not None
    path = Path(getattr(trainable.data, gone))
    path.rename(path.with_name("elsewhere"))
    said = run(trainable)
    assert said.outcome is Outcome.CANCELLED
    assert said.message.startswith(f"could not read its data: {path}")
    assert not said.checkpoint_lost


def test_a_gpu_that_went_away_blames_no_configuration(
    trainable: SegmentPayload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    texts: list[str] = []
    with pytest.raises(InfrastructureError, match=r"could not use its GPU: "):
        # The worker is not used again either.
        run_segment(trainable.model_copy(update={"device": "gpu"}), texts.append)
    said = read_message(texts[-1])
    assert isinstance(said, FailedMessage)
    assert said.outcome is Outcome.CANCELLED


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("gone", "there is no such file any more"),
        ("empty", r"is damaged \(it is empty\)"),
        ("cut", r"is damaged \(\w+"),
    ],
)
def test_a_segment_says_that_its_checkpoint_is_lost(
    trainable: SegmentPayload, tmp_path: Path, state: str, words: str
) -> None:
    train(trainable, lambda _: None)
    last = tmp_path / "trial/checkpoints/last.ckpt"
    content = last.read_bytes()
    last.write_bytes({"gone": b"", "empty": b"", "cut": content[:999]}[state])
    if state == "gone":
        last.unlink()
    further = {
        "from_epoch": 1,
        "until_epoch": 2,
        "checkpoint": str(last),
        "folder": str(tmp_path / "further"),
    }
    said = run(trainable.model_copy(update=further))
    assert said.checkpoint_lost
    assert re.search(words, said.message)


def run(segment: SegmentPayload) -> FailedMessage:
    """Return how a segment says that it failed."""
    texts: list[str] = []
    run_segment(segment, texts.append)
    said = read_message(texts[-1])
    assert isinstance(said, FailedMessage)
    return said
