"""Promotions that were killed without a word: from the second time on, less at once."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.promotable_study import divisions, simple_study

import search.promotion.networks as networks_module
from search.journal import (
    Event,
    Journal,
    SessionEnded,
    SessionStarted,
    read_journal,
)
from search.journal.events import PromotionDivided, PromotionEpoch
from search.promotion import promote
from search.promotion.kills import kills_that_halve
from search.study import StudyFolder


def told(path: Path, sessions: Sequence[tuple[Event | str, ...]]) -> int:
    """Return the answer for model `a` in a journal of promotion sessions, one running.

    In a session `search` makes it one that searched.
    """
    journal = Journal.open(path)
    for number, events in enumerate((*sessions, ()), start=1):
        purpose: Any = "search" if "search" in events else "promotion"
        journal.append(
            SessionStarted(session=number, host="here", pid=1, purpose=purpose)
        )
        for event in events:
            if isinstance(event, Event):
                journal.append(event)
    return kills_that_halve(read_journal(path), "a")


def divided(model: str = "a") -> PromotionDivided:
    return PromotionDivided(model=model, micro_batch=8)


def epoch(model: str = "a") -> PromotionEpoch:
    return PromotionEpoch(model=model, epoch=1, metrics={})


ENDED = SessionEnded(reason="interrupted")


@pytest.mark.parametrize(
    ("sessions", "kills"),
    [
        ([], 0),
        ([(divided(),)], 0),
        ([(divided(),), ()], 2),
        ([(divided(),), (), ()], 3),
        # Halved once, and not killed since.
        ([(divided(),), (), (divided(), ENDED)], 0),
        ([(divided(),), (), (divided(), ENDED), ()], 3),
        # An end in good order is no kill, whatever it was.
        ([(divided(), ENDED), (ENDED,)], 0),
        ([(divided(),), (ENDED,), ()], 2),
        # An epoch shows that it fits.
        ([(divided(), epoch()), ()], 0),
        ([(divided(),), (epoch(),), ()], 0),
        ([(divided(),), (epoch(),), (), ()], 2),
        # What another model or a search was killed at.
        ([(divided("b"),), (divided("b"), epoch("b"), divided()), ()], 2),
        ([(divided("b"),), ()], 0),
        ([(divided("b"),), (epoch("b"),), (divided(),)], 0),
        ([(divided(),), ("search",), ("search",)], 0),
        ([(divided(),), ("search",), ()], 2),
        # Lack of memory that Python told of halved it meanwhile.
        ([(divided(), divided()), (divided(),)], 2),
        ([(divided(),), (divided(), ENDED)], 0),
    ],
)
def test_only_kills_without_an_epoch_count_and_each_of_them_once(
    tmp_path: Path, sessions: Sequence[tuple[Event | str, ...]], kills: int
) -> None:
    assert told(tmp_path / "journal.jsonl", sessions) == kills


class Killed(BaseException):
    """The driver died."""


def killed_at_once(folder: StudyFolder) -> None:
    """Promote until the first training begins, and leave what a kill leaves."""

    def dying(*_: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(networks_module, "fit", dying)
        with pytest.raises(Killed):
            promote(folder, threads=1)
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    assert b"session_ended" in lines[-1]
    folder.journal.write_bytes(b"".join(lines[:-1]))


def weights(folder: StudyFolder) -> bytes:
    return (folder.promotion / "bundle" / "weights.safetensors").read_bytes()


def test_one_kill_changes_no_bit_and_many_make_nothing_infeasible(
    tmp_path: Path,
) -> None:
    whole = simple_study(tmp_path / "whole")
    value = promote(whole, threads=1).models[0].val_mae
    once = simple_study(tmp_path / "once")
    killed_at_once(once)
    promote(once, threads=1)
    assert len(divisions(once)) == 1
    assert weights(once) == weights(whole)
    often = simple_study(tmp_path / "often")
    for _ in range(5):
        killed_at_once(often)
    result = promote(often, threads=1)
    first, *later = [d.micro_batch or 0 for d in divisions(often)]
    assert later[0] < first / 2, "half of what a batch has, which is less"
    assert all(half == before // 2 for before, half in pairwise(later))
    assert later[-1] >= 1
    assert len(later) < 4, "once it is crystal by crystal, nothing is halved"
    assert divisions(often)[1].message.startswith("killed 2 times before")
    assert result.models[0].val_mae == pytest.approx(value, rel=1e-4), "float32"
