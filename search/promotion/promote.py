"""From a study to a tested and registered model; each step is done exactly once."""

from typing import Literal

from search.journal import PromotionRegistered, PromotionStarted
from search.promotion.ledger import Ledger
from search.promotion.networks import (
    BUNDLE,
    Promotion,
    Running,
    train_networks,
)
from search.promotion.plan import PromotionPlan, journalled_plan, make_plan
from search.promotion.ranking import ranked
from search.promotion.reruns import Reruns, plan_reruns, train_again
from search.promotion.result import (
    PromotionResult,
    promotion_result,
    registration_tags,
    save_result,
)
from search.promotion.testing import evaluate_models
from search.study.edit import finish_edit
from search.study.folder import StudyFolder
from search.study.load import Study
from search.study.lock import study_lock
from search.study.prepare import StudyData, prepare_data
from search.study.resolve import check_digests, promotion_digest, saved_study
from search.tracking import (
    WINNER,
    MlflowTracker,
    Registration,
    check_model_name,
    load_mlflow,
    tracking_uri,
)
from sitenet_core.config import session_versions
from sitenet_core.config.machine import available_cpus
from sitenet_core.errors import InfrastructureError

_PACKAGES = ("sitenet-search", "torch", "pytorch-lightning", "mlflow")


def promote(
    folder: StudyFolder, *, progress: bool = False, threads: int | None = None
) -> PromotionResult:
    """Train the best trials again, choose one, train it long, test it, register it.

    The test set is met once, by the winner and the references, after the choice. What
    the journal says is done is not done again. After a kill the next call goes on from
    the last checkpoint; a promotion that is complete returns its recorded result,
    whatever trials were added since: the test set has been seen.

    Args:
        folder: of the study.
        progress: show progress bars on standard error.
        threads: CPU threads of torch; None is one per CPU of this machine. Recorded.

    Raises:
        NoTrialSucceededError: if there is no trial to promote.
        ConfigError: if the study was edited, is in use, or declares what cannot be.
        DataError: if its data changed.
        TrialError: if the long training failed.
        InfrastructureError: if MLflow does not take the model; all else is then done.
    """
    with study_lock(folder.lock):
        finish_edit(folder)
        study = saved_study(folder)
        check_digests(folder, study)
        check_model_name(_registered_name(study))
        ledger = Ledger(folder.journal)
        plan = journalled_plan(ledger.state)
        if plan is None or ledger.registered is None:
            device: Literal["cpu", "gpu"] = (
                "gpu" if study.config.resources.gpus > 0 else "cpu"
            )
            running = Running(progress, threads or available_cpus(), device)
            plan = _go_on(folder, study, ledger, running)
        return _save_result(folder, study, plan, ledger)


def _go_on(
    folder: StudyFolder, study: Study, ledger: Ledger, running: Running
) -> PromotionPlan:
    """Do what the journal does not say is done; return the plan that it follows."""
    if ledger.reruns is None and journalled_plan(ledger.state) is None:
        # Before any data are opened: without a trial there is nothing to open them for.
        ranked(ledger.state.trials)
    data = prepare_data(study, folder)
    tags = {"data_digest": data.source_digest, "split_digest": data.split.digest}
    load_mlflow()
    tracker = MlflowTracker(tracking_uri(folder.path.parent), folder.path, tags)
    with ledger.session(tracker, session_versions(_PACKAGES)):
        plan = journalled_plan(ledger.state)
        if plan is None:
            plan = _choose(folder, study, data, ledger, running)
        promotion = Promotion(folder, study, data, plan, ledger, running)
        train_networks(promotion)
        evaluate_models(promotion)
        result = _save_result(folder, study, plan, ledger)
        _register(promotion, tracker, registration_tags(result))
    return plan


def _choose(
    folder: StudyFolder,
    study: Study,
    data: StudyData,
    ledger: Ledger,
    running: Running,
) -> PromotionPlan:
    """Train the best trials again, and journal which one is promoted."""
    if ledger.reruns is None:
        ledger.append(plan_reruns(ledger.state, study, data))
    if ledger.reruns is not None:
        train_again(Reruns(folder, study, data, ledger, running, ledger.reruns))
    plan = make_plan(ledger.state, study, data)
    ledger.append(
        PromotionStarted(
            trial=plan.trial,
            plan=plan.model_dump(mode="json"),
            promotion_digest=promotion_digest(study.config),
        )
    )
    return plan


def _save_result(
    folder: StudyFolder, study: Study, plan: PromotionPlan, ledger: Ledger
) -> PromotionResult:
    target, bundle = study.config.data.target, folder.promotion / BUNDLE
    result = promotion_result(plan, ledger, target, bundle)
    save_result(result, folder.promotion)
    return result


def _register(
    promotion: Promotion, tracker: MlflowTracker, tags: dict[str, str]
) -> None:
    bundle = promotion.bundle(WINNER)
    registration = Registration(_registered_name(promotion.study), tags)
    try:
        model = tracker.register(promotion.ledger.state, bundle, registration)
    except InfrastructureError as error:
        raise InfrastructureError(
            f"the model is trained and tested ({bundle} predicts without MLflow), but "
            f"it could not be registered: {error}. `sitenet promote "
            f"{promotion.folder.name}` registers it once MLflow is back, and does "
            "nothing else again"
        ) from error
    promotion.ledger.append(
        PromotionRegistered(
            name=model.name, version=model.version, alias=model.alias, tags=tags
        )
    )


def _registered_name(study: Study) -> str:
    return study.config.promotion.register_as or study.config.name
