"""`sitenet train` from its file on: when a name is taken and when it is not."""

from pathlib import Path

import pytest
from support.command_line import write_salts, write_training

from sitenet_core.errors import ConfigError, DataError
from sitenet_core.training.job import JobOptions, load_job, run_job


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITENET_STORES", str(tmp_path / "stores"))
    monkeypatch.delenv("SITENET_DATA", raising=False)
    # Stores are built in this process: to start workers would take longer.
    monkeypatch.setattr("os.cpu_count", lambda: 1)


@pytest.mark.parametrize("resume", [False, True])
def test_a_mended_file_is_accepted_until_there_is_a_checkpoint(
    tmp_path: Path, *, resume: bool
) -> None:
    source = write_salts(tmp_path / "set").parent
    options = JobOptions(tmp_path / "job", resume=resume)
    file = tmp_path / "job.yaml"
    with pytest.raises(DataError):
        run_job(load_job(write_training(file, tmp_path / "nowhere")), options)
    half = {"split": {"test_fraction": 0.5}}
    precision = {"training": {"precision": "16-mixed"}}
    with pytest.raises(ConfigError, match="16-mixed"):
        run_job(
            load_job(write_training(file, source, data=half, configuration=precision)),
            options,
        )
    job = load_job(write_training(file, source))
    assert run_job(job, options).fit.n_train == 5, "of the first split nothing is left"
    other = load_job(write_training(file, source, data=half))
    with pytest.raises(ConfigError, match="other settings" if resume else "--resume"):
        run_job(other, options)
