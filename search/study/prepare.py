"""Before the first trial: every store the study can need, and the one split."""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search.space.parameters import ChoiceParameter, IntegerParameter
from search.space.space import Space
from search.space.values import Value
from search.study.fidelity import level_sizes
from search.study.folder import StudyFolder
from search.study.load import Study
from sitenet_core.config import StrictModel, TrialConfig, merge, unflatten
from sitenet_core.errors import ConfigError, DataError
from sitenet_core.families.registry import get_family

if TYPE_CHECKING:
    from sitenet_core.data import BuildProgress, PackedStore, Split

MAX_STORES = 8
_STORE_SECTION = "cell."
"""Section of a configuration that a store can depend on, in every family."""

OnBuildProgress = Callable[["BuildProgress"], None]


@dataclass(frozen=True)
class StudyData:
    """The crystals of a study, ready to be opened by trials."""

    stores: Mapping[str, Path]
    """`settings_key` of a configuration → its packed store."""
    split: "Split"
    source_digest: str
    """SHA-256 of the source that the stores were built from."""

    def store_of(self, config: TrialConfig) -> Path:
        """Return the store that `config` is trained on."""
        return self.stores[settings_key(get_family(config.family).settings(config))]


def prepare_data(
    study: Study, folder: StudyFolder, on_progress: OnBuildProgress | None = None
) -> StudyData:
    """Build what is missing of the study's stores; make its split, or read it again.

    Raises:
        ConfigError: if the space reaches too many stores.
        DataError: if the data cannot be used, or changed since the study began.
    """
    from sitenet_core.data import load_split
    from sitenet_core.families.stores import open_family_store, split_of_store

    family = get_family(study.space.family)
    data = study.config.data
    opened: dict[str, PackedStore] = {}
    for config in reachable_configurations(study):
        settings = family.settings(config)
        store = open_family_store(data, family, settings, on_progress=on_progress)
        opened[settings_key(settings)] = store
    base = opened[settings_key(family.settings(study.base))]
    if folder.split.exists():
        split = load_split(folder.split)
        _check_unchanged(folder, split, base)
    else:
        split = split_of_store(base, data, study.base)
        split.save(folder.split)
    paths = {key: store.path.resolve() for key, store in opened.items()}
    return StudyData(paths, split, base.header.source_digest)


def settings_key(settings: StrictModel) -> str:
    """Return equal texts for equal settings of a store."""
    return json.dumps(settings.model_dump(mode="json"), sort_keys=True)


def reachable_configurations(study: Study) -> list[TrialConfig]:
    """Return one configuration per combination of sampled store settings, base first.

    Raises:
        ConfigError: if there are more than MAX_STORES combinations.
    """
    space = study.space
    sampled = [name for name in space.parameters if name.startswith(_STORE_SECTION)]
    values = [_values(space, name) for name in sampled]
    n_stores = 1
    for choices in values:
        n_stores *= len(choices)
    sizes = level_sizes(study.config.fidelity)
    n_stores *= max(len(sizes), 1)
    if n_stores > MAX_STORES:
        deciding = [*sampled, "fidelity.values"] if sizes else sampled
        raise ConfigError(
            f"space {space.name}: {', '.join(deciding)} decide the packed store, and "
            f"reach more than {MAX_STORES} of them, each to be built before the first "
            "trial; make them choices of a few values, or fix them"
        )
    base = study.base.model_dump()
    model = type(study.base)
    combinations = itertools.product(*values)
    changed = [
        model.model_validate(
            merge(base, unflatten(dict(zip(sampled, combination, strict=True))))
        )
        for combination in combinations
    ]
    found = [study.base, *changed] if sampled else [study.base]
    return found + [at_most(config, size) for config in found for size in sizes[:-1]]


def at_most(config: TrialConfig, max_atoms: int) -> TrialConfig:
    """Return `config` with supercells of at most `max_atoms` atoms."""
    changes = {"cell": {"max_atoms": max_atoms}}
    return type(config).model_validate(merge(config.model_dump(), changes))


def _values(space: Space, name: str) -> list[Value]:
    """Return every value of a parameter; one more than allowed if there are many."""
    parameter = space.parameters[name]
    if isinstance(parameter, ChoiceParameter):
        values: list[Value] = list(parameter.values)
    elif isinstance(parameter, IntegerParameter):
        last = min(parameter.high, parameter.low + MAX_STORES)
        values = list(range(parameter.low, last + 1))
    else:
        values = [None] * (MAX_STORES + 1)
    return [*values, None] if parameter.when else values


def _check_unchanged(folder: StudyFolder, split: "Split", store: "PackedStore") -> None:
    if split.store_digest != store.digest:
        raise DataError(
            f"{folder.split}: the split was made of other data than the source holds "
            "now; restore the source, or start a new study with --name"
        )
