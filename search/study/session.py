"""One driver session of a study: from Ray's start to its end."""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from search.engine.conductor import Conductor
from search.engine.desk import Desk
from search.engine.fidelity import Fidelity
from search.engine.rules import Engine, Rules
from search.engine.schedulers import MODES, Scheduler, make_scheduler
from search.engine.searchers import NO_EARLIER, make_searcher
from search.engine.segment import EndReason, Segment
from search.engine.stopping import StopRequest
from search.engine.tracking_thread import (
    INTERRUPTED_TIMEOUT,
    Tracker,
    TrackingThread,
)
from search.engine.warm_start import WarmStart
from search.journal import (
    Journal,
    SessionEnded,
    SessionStarted,
    StudyCreated,
    StudyState,
)
from search.study.config import AshaConfig, NoSchedulerConfig
from search.study.fidelity import share_seed
from search.study.folder import DEFAULT_DIRECTORY, StudyFolder
from search.study.limits import study_budget
from search.study.live import Display, display
from search.study.load import Study
from search.study.prepare import StudyData, at_most
from search.study.resolve import saved_warm_start, study_digest
from search.trial.payload import SegmentData, SegmentPayload
from search.trial.work import TRAIN
from sitenet_core.config import session_versions
from sitenet_core.errors import InfrastructureError

_PACKAGES = ("sitenet-search", "torch", "ray", "hyperopt", "pytorch-lightning")


@dataclass(frozen=True)
class RunOptions:
    """How a study is run; nothing here changes what it finds."""

    directory: Path = DEFAULT_DIRECTORY
    name: str | None = None
    """Name of the study; None is the file's."""
    resume: bool = False
    """Go on with a study that was begun."""
    edit: bool = False
    """Go on with a study whose space was changed; see `search.study.edit`."""
    progress: bool = True
    """Show a live table (or lines) on standard error."""
    work: str = TRAIN
    """What a segment runs; anything but `train` is for programs that simulate."""
    tracker: Callable[[StudyFolder, StudyData], Tracker] | None = None
    """Makes what the study is shown in; None is MLflow."""


@dataclass(frozen=True)
class Session:
    """One driver session, from Ray's start to its end."""

    study: Study
    folder: StudyFolder
    data: StudyData
    options: RunOptions

    def run(self, stop: StopRequest) -> None:
        """Run segments until the session is over; its end is journalled."""
        from search.engine.ray_cluster import ray_connection

        say_unused_gpu(self.study)
        tracking = TrackingThread(self._tracker())
        budget = study_budget(self.study.config.budget)
        try:
            with (
                ray_connection(),
                display(shown=self.options.progress, budget=budget) as screen,
            ):
                self._run(stop, screen, tracking)
        finally:
            self.folder.remove_scratch()
            begun = self.folder.exists
            state = self.folder.state() if begun else StudyState()
            if stop.is_set:
                tracking.close(state, INTERRUPTED_TIMEOUT)
            else:
                tracking.close(state)

    def _run(
        self, stop: StopRequest, screen: Display, tracking: TrackingThread
    ) -> None:
        from search.engine.ray_cluster import TrialResources, capacity
        from search.engine.ray_runner import RayRun, run_on_ray

        wanted = self.study.config.resources
        resources = TrialResources(wanted.cpus, wanted.gpus)
        room = capacity(resources)
        begin_study(self.folder, self.study)
        desk = self._desk(min(room, wanted.concurrent or room))

        def show(state: StudyState) -> None:
            screen.show(state)
            tracking.show(state)

        try:
            run = RayRun(resources, self.folder.scratch, show)
            reason = run_on_ray(desk, run, stop)
        except Exception:
            # Where the disk is what failed, the journal ends without this line.
            with suppress(InfrastructureError):
                desk.conductor.end(EndReason.ERROR)
            raise
        desk.conductor.end(reason)
        show(desk.conductor.state)

    def _desk(self, concurrent: int) -> Desk:
        """Return the study's desk with its session begun."""
        engine = make_engine(self.study, saved_warm_start(self.folder))
        journal = Journal.open(self.folder.journal)
        if self.options.work == TRAIN:
            from search.study.memory import first_memory, memory_planner

            room = first_memory(journal.entries)
            planner = memory_planner(self.study, self.data, concurrent, room)
            engine = replace(engine, plan_memory=planner)
        conductor = Conductor(journal, engine, make_rules(self.study, concurrent))
        conductor.begin(
            socket.gethostname(),
            os.getpid(),
            session_versions(_PACKAGES),
            {
                "data_digest": self.data.source_digest,
                "split_digest": self.data.split.digest,
            },
        )
        desk = Desk(conductor, self.folder.path, self._payload)
        desk.tidy()
        return desk

    def _payload(self, segment: Segment) -> SegmentPayload:
        config = self.study.space.configuration(
            segment.configuration, self.study.config.configuration
        )
        level = self.study.fidelity.level_of(segment.until_epoch)
        if level.max_atoms is not None:
            config = at_most(config, level.max_atoms)
        resources = self.study.config.resources
        checkpoint = segment.checkpoint
        return SegmentPayload(
            work=self.options.work,
            trial=segment.trial,
            attempt=segment.attempt,
            configuration=config.model_dump(mode="json"),
            data=SegmentData(
                store=str(self.data.store_of(config)),
                split=str(self.folder.split),
                target=self.study.config.data.target,
                share=level.share,
                share_seed=share_seed(self.study.config.fidelity),
            ),
            from_epoch=segment.from_epoch,
            until_epoch=segment.until_epoch,
            begins_after=segment.begins_after,
            is_last=segment.is_last,
            checkpoint=str(self.folder.absolute(checkpoint)) if checkpoint else None,
            folder=str(self.folder.absolute(segment.folder)),
            bundle=str(self.folder.trial(segment.trial) / "bundle"),
            threads=resources.cpus,
            device="gpu" if resources.gpus else "cpu",
            micro_batch=segment.micro_batch,
            seconds_left=segment.seconds_left,
        )

    def _tracker(self) -> Tracker:
        if self.options.tracker is not None:
            return self.options.tracker(self.folder, self.data)
        from search.tracking import MlflowTracker, tracking_uri

        return MlflowTracker(tracking_uri(self.folder.path.parent), self.folder.path)


def say_unused_gpu(study: Study) -> None:
    """Say on standard error that this machine has a GPU that no trial will use."""
    import torch

    if study.config.resources.gpus > 0 or not torch.cuda.is_available():
        return
    Console(stderr=True, soft_wrap=True).print(
        "Trials run on the CPU, since the study's resources.gpus is 0, but this "
        "machine has a GPU; set resources.gpus (a fraction shares one) to use it",
        highlight=False,
    )


def make_engine(study: Study, warm_start: WarmStart | None = None) -> Engine:
    """Return the searcher and the scheduler that the study names."""
    earlier = NO_EARLIER
    if warm_start is not None:
        earlier = warm_start.earlier(study.space, study.base_values)
    algorithm = study.config.algorithm
    scheduler = algorithm.scheduler
    return Engine(
        space=study.space,
        searcher=make_searcher(
            algorithm.searcher, startup_trials=algorithm.startup_trials
        ),
        scheduler=_scheduler(scheduler, study.fidelity),
        earlier=earlier,
    )


def _scheduler(config: AshaConfig | NoSchedulerConfig, fidelity: Fidelity) -> Scheduler:
    if isinstance(config, NoSchedulerConfig):
        return make_scheduler(config.kind, epochs=fidelity.epochs)
    if fidelity.has_levels:
        kind = MODES[config.mode]
        return kind(fidelity.epochs, 1, config.eta, fidelity.rungs)
    return make_scheduler(
        config.kind,
        epochs=fidelity.epochs,
        min_epochs=config.min_epochs or 1,
        eta=config.eta,
        mode=config.mode,
    )


def make_rules(study: Study, concurrent: int) -> Rules:
    """Return what the study file says to the conductor."""
    config = study.config
    limits, timeout = study_budget(config.budget), config.trial.timeout_minutes
    fidelity = study.fidelity
    return Rules(
        trials=limits.trials,
        epochs=fidelity.epochs,
        anew_after=fidelity.rungs[:-1],
        seed=config.algorithm.seed,
        concurrent=concurrent,
        epoch_budget=limits.epochs,
        wall_clock_seconds=limits.seconds,
        gpu_seconds=limits.gpu_seconds,
        gpus=config.resources.gpus,
        timeout_seconds=None if timeout is None else timeout * 60,
        max_lost_worker_retries=config.trial.max_lost_worker_retries,
    )


def begin_study(folder: StudyFolder, study: Study) -> None:
    """Begin the journal, if that was not done: from here on the study is fixed."""
    journal = Journal.open(folder.journal)
    if not journal.entries:
        warm_start = saved_warm_start(folder)
        handed_on = None if warm_start is None else warm_start.full_digest
        journal.append(
            StudyCreated(
                name=study.config.name,
                study_digest=study_digest(study.config),
                space_digest=study.space.digest,
                warm_start_digest=handed_on,
            )
        )


def end_before_trials(folder: StudyFolder, study: Study) -> None:
    """Journal a session that a signal ended while its stores were built."""
    begin_study(folder, study)
    journal = Journal.open(folder.journal)
    session = folder.state().session + 1
    host, pid = socket.gethostname(), os.getpid()
    versions = session_versions(_PACKAGES)
    journal.append(
        SessionStarted(session=session, host=host, pid=pid, versions=versions)
    )
    journal.append(SessionEnded(reason=EndReason.INTERRUPTED.value))
