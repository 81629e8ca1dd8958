"""The one function that trains: a trial's segment and the final long training."""

from sitenet_core.config import TrialConfig
from sitenet_core.training.options import FitOptions, FitResult, OnEpoch, TrainingData


def fit(
    config: TrialConfig,
    data: TrainingData,
    options: FitOptions,
    on_epoch: OnEpoch | None = None,
) -> FitResult:
    """Train `config` on `data` and return how far it came.

    Each epoch ends with `checkpoints/last.ckpt`, `checkpoints/best.ckpt` and
    `curve.csv` in `options.folder`, and only then with a call of `on_epoch`; what
    `on_epoch` raises ends the training and reaches the caller. On a CPU, a training
    that is resumed ends with the same bits as one that was never interrupted, given
    the same number of threads. Torch's global random state and number of threads are
    given back at the end. It may run in any thread.

    Raises:
        ConfigError: the precision, device, epochs or checkpoint do not fit.
        DataError: a crystal has no target, or there is nothing to train on.
        NonFiniteLossError: the loss became NaN or infinite.
        OutOfMemoryError: host or device had no memory left.
        TrialTimeoutError: `options.deadline_seconds` are used up.
    """
    # Lightning takes seconds to import; who only describes a training needs none of it.
    from sitenet_core.training.session import run_session

    return run_session(config, data, options, on_epoch)
