"""How the promoted trial was chosen, in words and as a table."""

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
        parts.append(_optimism(choice.optimism, unit, folds=bool(choice.folds)))
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
    head = ("trial", f"search ({unit})", f"mean of reruns ({unit})")
    rows: list[tuple[str, ...]] = [
        (*head, "difference to the lowest", "s/epoch", "parameters", "verdict"),
        ("---:", "---:", "---:", "---:", "---:", "---:", "---"),
    ]
    rows += [_row(c, chosen=c.trial == choice.trial) for c in choice.contenders]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(contender: Contender, *, chosen: bool) -> tuple[str, ...]:
    failed = sum(value is None for value in contender.values)
    verdict = f"failed {failed} of {len(contender.values)}" if failed else ""
    verdict = verdict or contender.verdict
    return (
        str(contender.trial),
        _number(contender.search_value),
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


def _optimism(optimism: Optimism, unit: str, *, folds: bool) -> str:
    too = "too good" if optimism.measured >= 0 else "too bad"
    text = (
        f"Optimism of the search: it had {optimism.search_value:.4g} {unit} for this "
        f"trial, its reruns have {optimism.rerun_mean:.4g}: "
        f"{abs(optimism.measured):.2g} {too}."
    )
    if folds:
        text += " The folds validate on other crystals, which is part of that."
    if optimism.expected is None or optimism.noise is None:
        return text
    return (
        f"{text} Expected of the best of {optimism.compared}, where one training is "
        f"uncertain by {optimism.noise:.2g} {unit}: {optimism.expected:.2g} too good."
    )


def _number(value: float | None, digits: int = 4) -> str:
    return "–" if value is None else f"{value:.{digits}g}"
