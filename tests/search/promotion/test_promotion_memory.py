"""Long trainings that run out of memory: halved and carried on, or infeasible."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from support.promotable_study import make_study
from support.tracked_studies import empty_store

from search.journal import read_journal
from search.journal.events import PromotionDivided
from search.promotion import promote
from search.study import StudyFolder
from sitenet_core.errors import OutOfMemoryError
from sitenet_core.training.module import TrainingModule


@contextmanager
def memory_for(crystals: int, *, from_group: int = 0) -> Iterator[None]:
    """Stand in for an allocator with room for groups of so many crystals."""
    error, seen = TrainingModule._error, iter(range(10**9))

    def group(self: TrainingModule, batch: Any) -> torch.Tensor:
        if next(seen) >= from_group and batch.n_crystals > crystals:
            raise MemoryError("nothing is left")
        return error(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingModule, "_error", group)
        yield


def divisions(folder: StudyFolder, model: str) -> list[PromotionDivided]:
    events = (entry.event for entry in read_journal(folder.journal))
    return [e for e in events if isinstance(e, PromotionDivided) and e.model == model]


def simple_study(folder: Path, references: str = "constant") -> StudyFolder:
    empty_store(folder / "studies")
    return make_study(folder, references=references)


def test_a_long_training_is_halved_and_ends_as_it_would_have(tmp_path: Path) -> None:
    whole = promote(simple_study(tmp_path / "whole"), threads=1)
    folder = simple_study(tmp_path / "halved")
    with memory_for(2, from_group=5):
        halved = promote(folder, threads=1)
    begun, *later = divisions(folder, "winner")
    assert begun.micro_batch is not None
    assert begun.predicted_bytes is not None
    assert begun.memory_bytes is not None
    assert begun.message == ""
    assert later
    sizes = [event.micro_batch or 0 for event in later]
    assert sizes == sorted(set(sizes), reverse=True)
    assert all("nothing is left" in event.message for event in later)
    values = [result.models[0].val_mae for result in (whole, halved)]
    assert values[1] == pytest.approx(values[0], rel=1e-4), "float32"


def test_a_reference_that_cannot_fit_costs_a_row_and_says_so(tmp_path: Path) -> None:
    folder = simple_study(tmp_path, "preset:test, constant")
    with memory_for(99):
        promote_until_reference(folder)
    with memory_for(0):
        result = promote(folder, threads=1)
    (row,) = [model for model in result.models if model.model == "preset:test"]
    assert row.message is not None
    assert row.message.startswith(
        "infeasible: does not fit with one crystal at a time: no memory left"
    )


def promote_until_reference(folder: StudyFolder) -> None:
    """Promote until the first group of the reference."""
    from search.promotion import networks

    run = networks.run_training

    def until_reference(training: Any, *args: Any) -> Any:
        if training.model != "winner":
            raise KeyboardInterrupt
        return run(training, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "run_training", until_reference)
        with pytest.raises(KeyboardInterrupt):
            promote(folder, threads=1)


def test_a_winner_that_cannot_fit_ends_the_promotion_with_the_reason(
    tmp_path: Path,
) -> None:
    folder = simple_study(tmp_path)
    with memory_for(0), pytest.raises(OutOfMemoryError, match="infeasible: does not"):
        promote(folder, threads=1)
    tried = [event.micro_batch for event in divisions(folder, "winner")]
    assert len(tried) > 1
    promote(folder, threads=1)
    assert [event.micro_batch for event in divisions(folder, "winner")] == tried, (
        "a promotion that goes on keeps the division that the journal tells"
    )
