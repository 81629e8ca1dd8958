"""What a study's trials may use of the machine's memory, and how they are divided."""

from collections.abc import Iterable

from search.engine.ray_cluster import TrialResources, memory_of_nodes
from search.engine.rules import PlanMemory
from search.journal import Entry, SegmentStarted
from search.space import FlatConfiguration
from search.study.load import Study
from search.study.prepare import StudyData, at_most
from search.trial.memory import Room, TrialMemory, room_here
from sitenet_core.errors import ConfigError, DataError, InfrastructureError
from sitenet_core.training.sizing import MemoryPlan


def memory_planner(
    study: Study, data: StudyData, concurrent: int, first_bytes: int | None = None
) -> PlanMemory:
    """Return what predicts the memory of a study's trials; Ray must be connected.

    Args:
        study: its resources say what a trial is given.
        data: the stores and the split.
        concurrent: trials at a time.
        first_bytes: as `first_memory`.
    """
    room = _room(study, concurrent)
    if room is None:
        return lambda _configuration, _until, _most: None
    memory = TrialMemory(data.split, room, first_bytes=first_bytes)

    def plan(
        flat: FlatConfiguration, until_epoch: int, most: int | None
    ) -> MemoryPlan | None:
        try:
            config = study.space.configuration(flat, study.config.configuration)
            level = study.fidelity.level_of(until_epoch)
            if level.max_atoms is not None:
                config = at_most(config, level.max_atoms)
        except ConfigError:
            # The trial fails for that, with its message, when it is handed out.
            return None
        try:
            return memory.plan(config, data.store_of(config), most)
        except (DataError, OSError) as error:
            # Of no trial: the session began with the store.
            raise InfrastructureError(
                f"the crystals of the study could not be read: {error}; nothing that "
                "was finished is lost: bring them back, then go on with --resume"
            ) from error

    return plan


def first_memory(entries: Iterable[Entry]) -> int | None:
    """Return the memory that a trial had on a CPU when the study began.

    A session that goes on divides trials for it too, wherever that fits: what a trial
    reaches, and with it what is proposed next, would otherwise depend in its last bits
    on the memory that is free by chance. None if no trial was divided.

    Args:
        entries: of the study's journal.
    """
    starts = (e.event for e in entries if isinstance(e.event, SegmentStarted))
    known = (s.memory_bytes for s in starts if s.gpus == 0)
    return next((room for room in known if room is not None), None)


def _room(study: Study, concurrent: int) -> Room | None:
    wanted = study.config.resources
    if wanted.gpus > 0:
        return room_here("gpu", wanted.cpus, min(wanted.gpus, 1.0))
    resources = TrialResources(wanted.cpus, wanted.gpus)
    elsewhere = memory_of_nodes(resources, concurrent)
    if elsewhere is not None:
        return Room("cpu", wanted.cpus, elsewhere)
    return room_here("cpu", wanted.cpus, 1 / concurrent)
