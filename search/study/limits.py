"""The budget of a study file as the engine counts it, and how it stands, in words."""

from search.engine.budget import Budget, Spent
from search.study.config import BudgetConfig


def study_budget(given: BudgetConfig) -> Budget:
    """Return the limits in seconds."""
    minutes, hours = given.wall_clock_minutes, given.gpu_hours
    return Budget(
        trials=given.trials,
        epochs=given.epochs,
        seconds=None if minutes is None else minutes * 60,
        gpu_seconds=None if hours is None else hours * 3600,
    )


def used_of_budget(spent: Spent, budget: Budget) -> list[str]:
    """Return `4 of 10 trials` and the like; GPU-hours where there were any."""
    gpu_hours = None if budget.gpu_seconds is None else budget.gpu_seconds / 3600
    minutes = None if budget.seconds is None else budget.seconds / 60
    words = [
        _used(f"{spent.trials}", budget.trials, "trials"),
        _used(f"{spent.epochs}", budget.epochs, "epochs"),
        _used(f"{spent.seconds / 60:.1f}", minutes, "min"),
    ]
    if spent.gpu_seconds or gpu_hours is not None:
        words.append(_used(f"{spent.gpu_seconds / 3600:.2f}", gpu_hours, "GPU-hours"))
    return words


def _used(used: str, limit: float | None, unit: str) -> str:
    return f"{used} {unit}" if limit is None else f"{used} of {limit:g} {unit}"
