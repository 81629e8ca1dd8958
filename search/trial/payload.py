"""Everything a worker is told about the segment it runs, as plain JSON values."""

from typing import Any, Literal

from sitenet_core.config import StrictModel, TargetConfig


class SegmentData(StrictModel):
    """Where the crystals of a trial lie. A trial opens them and never builds them."""

    store: str
    """Folder of the packed store that the configuration needs."""
    split: str
    target: TargetConfig
    share: float = 1.0
    """Of the split's training structures, as `training_share`."""
    share_seed: int = 0


class SegmentPayload(StrictModel):
    """One segment. All paths are absolute."""

    work: str = "train"
    """What is run: `train`, or `module:function` given by a program, never by YAML."""
    trial: int
    attempt: int
    configuration: dict[str, Any]
    """Complete and nested: a `TrialConfig` of the family it names."""
    data: SegmentData | None = None
    """None where `work` needs no crystals."""
    from_epoch: int
    until_epoch: int
    begins_after: int = 0
    """Epochs of the trial before this training began; `from_epoch` and `until_epoch`
    count on from them."""
    is_last: bool
    checkpoint: str | None
    folder: str
    bundle: str
    """Folder that the bundle goes to when the trial is complete."""
    threads: int = 1
    device: Literal["auto", "cpu", "gpu"] = "auto"
    micro_batch: int | None = None
    """As in `FitOptions`."""
    seconds_left: float | None = None
    """What the trial's time-out has left."""
    grace_seconds: float = 10.0
    """After the time-out, how long until the worker is ended from within."""
