"""Who wins a study: the code of `search.promotion`, on trainings that are known."""

from dataclasses import dataclass

from experiments.benchmarks.winner_noise.studies import Search
from experiments.benchmarks.winner_noise.tables import Table
from search.journal import PromotionRerun, PromotionReruns, StudyState
from search.promotion import Choice, choose
from search.promotion.ranking import ranked
from search.study.config import PromotionConfig

TIE_WITHIN: float = PromotionConfig.model_fields["tie_within"].default


@dataclass(frozen=True)
class Rule:
    """How a winner is named."""

    top_k: int
    seeds: int
    tie_within: float = TIE_WITHIN

    @property
    def name(self) -> str:
        """Short, for files."""
        return f"{self.top_k}x{self.seeds}@{self.tie_within:g}"


NO_RERUNS = Rule(1, 0)
DEFAULT = Rule(
    PromotionConfig.model_fields["top_k"].default,
    PromotionConfig.model_fields["seeds"].default,
)


@dataclass(frozen=True)
class Named:
    """A winner, and whether it is what it is called."""

    within: bool
    within_error: bool
    choice: Choice
    true_optimism: float
    """True mean of the search's best trial − its value in the search."""


def name_winner(table: Table, found: Search, rule: Rule) -> Named:
    """Return the winner of a study by a rule, journalled as a promotion would."""
    state = journalled(table, found, rule)
    choice = choose(state)
    rows = list(found.rows)
    row = rows[choice.trial]
    best = rows[ranked(state.trials)[0].trial]
    optimism = table.errors[best].mean() - table.errors[best, found.search_seed]
    return Named(
        within=table.within(row, rows),
        within_error=table.within_error(row, rows),
        choice=choice,
        true_optimism=float(optimism),
    )


def journalled(table: Table, found: Search, rule: Rule) -> StudyState:
    """Return the state of a study with the reruns of its best trials."""
    trials = found.records(table)
    candidates = ranked(trials)[: rule.top_k]
    seeds = found.further_seeds(table)[: rule.seeds] if rule.top_k > 1 else []
    plan = PromotionReruns(
        started="2026-11-01T00:00:00+00:00",
        candidates=candidates,
        seeds=seeds,
        folds=[],
        tie_within=rule.tie_within,
        without="" if seeds else "promotion.top_k is 1",
    )
    reruns = [
        PromotionRerun(
            trial=candidate.trial,
            seed=seed,
            value=float(table.errors[row, seed]),
            seconds=float(table.seconds[row, seed]),
            epochs=1,
            parameters=int(table.parameters[row]),
        )
        for candidate in candidates
        for seed in seeds
        for row in (found.rows[candidate.trial],)
    ]
    return StudyState(trials=trials, promotion=(plan, *reruns))


def with_search_value(table: Table, found: Search, rule: Rule) -> bool:
    """Return whether the winner is right if the search's value counts in the mean.

    This is not what promotion does; it is measured beside it.
    """
    trials = found.records(table)
    seeds = [found.search_seed, *found.further_seeds(table)[: rule.seeds]]
    rows = [found.rows[c.trial] for c in ranked(trials)[: rule.top_k]]
    means = table.errors[rows][:, seeds].mean(axis=1)
    return table.within(rows[int(means.argmin())], list(found.rows))
