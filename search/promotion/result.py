"""What a promotion found, as JSON, as a table and in words; all from the journal."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search.journal.events import Metrics
from search.promotion.account import account_of
from search.promotion.contenders import Choice
from search.promotion.ledger import Ledger
from search.promotion.plan import PromotionPlan
from search.tracking import WINNER, RegisteredModel
from sitenet_core.config import TargetConfig

RESULT_VERSION = 1


@dataclass(frozen=True)
class ModelResult:
    """One model: the winner or a reference. Errors are in the target's unit."""

    model: str
    test_mae: float | None
    """None if the model failed."""
    test_rmse: float | None
    val_mae: float | None
    """Of the tested weights; None without validation and for what is no network."""
    epoch: int | None
    """Epochs that the tested weights have seen."""
    n_parameters: int | None
    train_seconds: float | None
    """Wall-clock seconds of all epochs, those before an interruption included."""
    message: str
    """Why it failed; empty if it did not."""


@dataclass(frozen=True)
class PromotionResult:
    """The end of a promotion."""

    study: str
    trial: int
    chosen_at_epoch: int
    chosen_by: float
    """Validation objective of the trial there."""
    choice: Choice | None
    """How it was chosen; None for a promotion that began before there were reruns."""
    train_on: str
    epochs: int
    seed: int
    threads: int | None
    target: str
    unit: str
    data_digest: str
    split_digest: str
    n_train: int
    n_test: int
    configuration: dict[str, Any]
    """Of the winner: complete and flat."""
    models: tuple[ModelResult, ...]
    """The winner first."""
    bundle: Path
    registered: str | None
    """`models:/NAME@champion`; None if it is not in the registry (yet)."""
    registered_version: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return the document of `--json` and of `result.json`."""
        return {
            "version": RESULT_VERSION,
            **asdict(self),
            "choice": self.choice and self.choice.model_dump(mode="json"),
            "bundle": str(self.bundle),
            "models": [asdict(model) for model in self.models],
        }

    def as_text(self) -> str:
        """Return what a person wants to know."""
        chosen = (
            f"Study {self.study}: trial {self.trial} was promoted (validation MAE "
            f"{self.chosen_by:.4g} {self.unit} at epoch {self.chosen_at_epoch})."
        )
        trained = (
            f"Trained on {self.n_train} crystals ({self.train_on}), {self.epochs} "
            f"epochs; tested once on {self.n_test} crystals."
        )
        lines = [chosen, trained, "", self.report(), "", f"bundle: {self.bundle}"]
        if self.registered is not None:
            lines.append(f"registered: {self.registered}, v{self.registered_version}")
        model = self.registered or self.bundle
        lines.append(f"predict with: sitenet predict {model} FILE.cif")
        return "\n".join(lines)

    def report(self) -> str:
        """Return the table of all models and how the winner was chosen."""
        if self.choice is None:
            return self.table()
        return f"{self.table()}\n\n{account_of(self.choice, self.unit)}"

    def table(self) -> str:
        """Return the Markdown table of all models."""
        head = ("model", f"test MAE ({self.unit})", f"test RMSE ({self.unit})")
        rows: list[tuple[str, ...]] = [
            (*head, f"validation MAE ({self.unit})", "epochs", "parameters"),
            ("---", "---:", "---:", "---:", "---:", "---:"),
        ]
        for m in self.models:
            test = f"failed: {m.message}" if m.message else _number(m.test_mae)
            numbers = (m.test_rmse, m.val_mae, m.epoch, m.n_parameters)
            rows.append((m.model, test, *map(_number, numbers)))
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def promotion_result(
    plan: PromotionPlan, ledger: Ledger, target: TargetConfig, bundle: Path
) -> PromotionResult:
    """Return what the journal says of a promotion whose models were all tested."""
    event = ledger.registered
    registered = event and RegisteredModel(event.name, event.version, event.alias)
    return PromotionResult(
        study=ledger.state.name,
        trial=plan.trial,
        chosen_at_epoch=plan.rung,
        chosen_by=plan.value,
        choice=plan.choice,
        train_on=plan.train_on,
        epochs=plan.epochs,
        seed=plan.seed,
        threads=_whole(ledger.trained[WINNER].metrics.get("threads")),
        target=target.name,
        unit=target.unit,
        data_digest=plan.data_digest,
        split_digest=plan.split_digest,
        n_train=plan.n_train,
        n_test=plan.n_test,
        configuration=dict(plan.models[WINNER]),
        models=tuple(_model(ledger, model) for model in plan.models),
        bundle=bundle,
        registered=registered.uri if registered else None,
        registered_version=registered.version if registered else None,
    )


def save_result(result: PromotionResult, folder: Path) -> None:
    """Write `result.json` and `table.md` into `folder`."""
    text = json.dumps(result.as_dict(), indent=2, allow_nan=False)
    for name, content in (("result.json", text), ("table.md", result.report())):
        partial = folder / f".{name}.partial"
        partial.write_text(content + "\n", encoding="utf-8")
        partial.replace(folder / name)


def registration_tags(result: PromotionResult) -> dict[str, str]:
    """Return what is written beside the registered model."""
    winner = result.models[0]
    return {
        "study": result.study,
        "trial": str(result.trial),
        "target": result.target,
        "unit": result.unit,
        "test_mae": repr(winner.test_mae),
        "test_rmse": repr(winner.test_rmse),
        "n_test": str(result.n_test),
        "train_on": result.train_on,
        "epochs": str(result.epochs),
        "seed": str(result.seed),
        "data_digest": result.data_digest,
        "split_digest": result.split_digest,
        "configuration": json.dumps(result.configuration, sort_keys=True),
        **_choice_tags(result.choice),
    }


def _choice_tags(choice: Choice | None) -> dict[str, str]:
    """Return the mean by which the model was chosen, if it was by reruns."""
    if choice is None:
        return {}
    means = {c.trial: c.mean for c in choice.contenders}
    tags = {"decided_by": choice.decided_by, "search_value": repr(choice.value)}
    if means[choice.trial] is not None:
        tags["rerun_mean"] = repr(means[choice.trial])
    return tags


def _model(ledger: Ledger, model: str) -> ModelResult:
    tested: Metrics = ledger.tested.get(model, {})
    trained = ledger.trained[model].metrics if model in ledger.trained else {}
    return ModelResult(
        model=model,
        test_mae=tested.get("mae"),
        test_rmse=tested.get("rmse"),
        val_mae=trained.get("val_mae"),
        epoch=_whole(trained.get("epoch")),
        n_parameters=_whole(trained.get("n_parameters")),
        train_seconds=ledger.seconds(model),
        message=ledger.failed.get(model, ""),
    )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.4g}"
