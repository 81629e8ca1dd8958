"""How the promoted trial was chosen, in words and as a table."""

from search.journal.events import PromotionCandidate
from search.promotion.contenders import Choice, Contender, Optimism
from search.promotion.outlying import OUTLIER_LEVEL


def account_of(choice: Choice, unit: str) -> str:
    """Return the Markdown text that tells a person how the trial was chosen."""
    if choice.without:
        return (
            f"Trial {choice.trial} was chosen by the search's own value alone "
            f"({choice.without}, so nothing was trained again). As the best of many "
            "that value is expected to be too good, and how much is not known."
        )
    parts = [_setting(choice), _table(choice, unit), _reason(choice)]
    parts += [_disagreement(c, unit) for c in choice.contenders if c.outlying_variance]
    if choice.standard_error is not None:
        left_out = any(map(_is_left_out, choice.contenders))
        those = "those whose reruns agree" if left_out else "all of these trials"
        parts.append(
            f"Standard error of a mean: {choice.standard_error:.2g} {unit}. Intervals: "
            f"paired t, {choice.level:.0%} each, one variance for {those}; "
            "the search's own values are in no mean."
        )
    if choice.optimism is not None:
        parts.append(_optimism(choice, choice.optimism, unit))
    return "\n\n".join(parts)


def _setting(choice: Choice) -> str:
    seeds = ", ".join(map(str, choice.seeds))
    folds = ", ".join(map(str, choice.folds))
    where = f"each over folds {folds}" if folds else "on the study's own split"
    n_pairs = len(choice.seeds) * max(len(choice.folds), 1)
    plural = "" if len(choice.seeds) == 1 else "s"
    return (
        f"The {len(choice.contenders)} best trials of the search were trained again "
        f"from scratch with seed{plural} {seeds}, {where} "
        f"({n_pairs * len(choice.contenders)} trainings)."
    )


def _table(choice: Choice, unit: str) -> str:
    head = ("trial", f"search ({unit})", "at epoch", f"mean of reruns ({unit})")
    rows: list[tuple[str, ...]] = [
        (*head, "difference to the lowest", "s/epoch", "parameters", "verdict"),
        (*["---:"] * 7, "---"),
    ]
    rows += [_row(c, chosen=c.trial == choice.trial) for c in choice.contenders]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    if len({c.epoch for c in choice.contenders}) == 1:
        return table
    return f"{table}\n\nThe search's values of different epochs are not comparable."


def _row(contender: Contender, *, chosen: bool) -> tuple[str, ...]:
    failed = sum(value is None for value in contender.values)
    verdict = f"failed {failed} of {len(contender.values)}" if failed else ""
    verdict = verdict or contender.verdict
    return (
        str(contender.trial),
        _number(contender.search_value),
        "–" if contender.epoch is None else str(contender.epoch),
        _number(contender.mean),
        _difference(contender),
        _number(contender.seconds_per_epoch, 3),
        "–" if contender.parameters is None else str(contender.parameters),
        f"{verdict}, promoted" if chosen else verdict,
    )


def _difference(contender: Contender) -> str:
    if contender.difference is None:
        return "–"
    text = f"{contender.difference:+.2g}"
    if contender.interval is None:
        return f"{text} (no interval)"
    low, high = contender.interval
    return f"{text} [{low:+.2g}, {high:+.2g}]"


def _reason(choice: Choice) -> str:
    ties = [str(c.trial) for c in choice.contenders if c.verdict == "tie"]
    tied = (
        f" The reruns cannot tell it from trial {' or '.join(ties)}."
        if ties and choice.decided_by == "mean"
        else ""
    )
    if choice.decided_by == "mean":
        return f"Trial {choice.trial} has the lowest mean and is promoted.{tied}"
    if choice.decided_by == "cost":
        return (
            f"Trial {choice.trial} is tied with trial {choice.contenders[0].trial}, "
            "whose mean is lowest, and is promoted because it is cheaper."
        )
    return (
        f"A rerun of every one of these trials failed. Trial {choice.trial} failed "
        "least often and is promoted; look at its tracebacks and at the learning rate."
    )


def _disagreement(contender: Contender, unit: str) -> str:
    """Return what to think of reruns that disagree far more than the others' do."""
    values = ", ".join(map(_number, contender.values))
    text = (
        f"**The reruns of trial {contender.trial} disagree far more than those of the "
        f"other trials** ({values} {unit}; Cochran's test of an outlying variance, "
        f"{OUTLIER_LEVEL:.0%})."
    )
    if _is_left_out(contender):
        return (
            f"{text} The intervals and the noise of one training are those of the "
            "other trials, also where they are stated for this one."
        )
    return (
        f"{text} Its mean is the lowest all the same, so the intervals count them and "
        "are wide: look at its learning curves before you trust it."
    )


def _is_left_out(contender: Contender) -> bool:
    return contender.outlying_variance and contender.verdict != "lowest"


def _optimism(choice: Choice, optimism: Optimism, unit: str) -> str:
    """Return what is measured of the promoted trial, and expected of the best."""
    parts = [_measured(choice, optimism, unit)]
    if choice.folds and optimism.measured is not None:
        parts.append("The folds validate on other crystals, which is part of that.")
    if optimism.expected is not None and optimism.noise is not None:
        best = f"best of {optimism.compared}"
        if optimism.best is not None:
            best = f"search's own {best}, {_value(optimism.best, unit)}"
        parts.append(
            f"Expected of the {best}, where one training is uncertain by "
            f"{optimism.noise:.2g} {unit}: {optimism.expected:.2g} too good."
        )
    return " ".join(parts)


def _measured(choice: Choice, optimism: Optimism, unit: str) -> str:
    if optimism.measured is None or optimism.rerun_mean is None:
        return (
            f"Optimism of the search: not measured of trial {choice.trial}, which it "
            "compared by nothing that its reruns have too."
        )
    too = "too good" if optimism.measured >= 0 else "too bad"
    return (
        f"Optimism of the search: it had {optimism.search_value:.4g} {unit} for the "
        f"promoted trial {choice.trial} at epoch {choice.epoch}, its reruns have "
        f"{optimism.rerun_mean:.4g} there: {abs(optimism.measured):.2g} {too}."
    )


def _value(best: PromotionCandidate, unit: str) -> str:
    return f"trial {best.trial} with {best.value:.4g} {unit} at epoch {best.epoch}"


def _number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}g}"
