"""The study file: what is refused, and where the message points."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.toy_study import study_document, write_study

from search.journal import Journal, PromotionStarted, StudyCreated
from search.study import load_study
from search.study.folder import StudyFolder, find_study
from search.study.load import Study, changed_keys
from search.study.prepare import reachable_configurations
from search.study.resolve import (
    check_digests,
    continued_study,
    promotion_digest,
    save_study,
    saved_study,
    study_digest,
)
from search.study.session import make_engine
from sitenet_core.errors import ConfigError
from sitenet_core.families.stores import unit_cell_limit


def study(tmp_path: Path, space: dict[str, Any] | None = None, **changes: Any) -> Study:
    document = study_document(tmp_path / "crystals", **changes)
    return load_study(write_study(tmp_path, document, **(space or {})))


def test_every_default_is_in_the_resolved_file(tmp_path: Path) -> None:
    original = study(tmp_path)
    folder = StudyFolder(tmp_path / "studies" / "toy")
    save_study(folder, original)
    text = folder.study_file.read_text()
    assert "max_lost_worker_retries: 2" in text
    assert "startup_trials:" in text
    document = study_document(
        tmp_path / "crystals", configuration={"training": {"epochs": 30}}
    )
    del document["algorithm"]
    halved = load_study(write_study(tmp_path / "halved", document))
    save_study(StudyFolder(tmp_path / "studies" / "halved"), halved)
    halved_file = tmp_path / "studies" / "halved" / "study.yaml"
    assert "min_epochs: 3" in halved_file.read_text(), "whatever a later default is"
    saved = saved_study(folder)
    assert saved.config == original.config
    assert saved.space.digest == original.space.digest
    assert study_digest(saved.config) == study_digest(original.config)


@pytest.mark.parametrize("epochs", [1, 3, 4])
def test_a_resolved_file_is_a_study_file_itself(tmp_path: Path, epochs: int) -> None:
    document = study_document(
        tmp_path / "crystals", configuration={"training": {"epochs": epochs}}
    )
    del document["algorithm"]
    original = load_study(write_study(tmp_path, document))
    folder = StudyFolder(tmp_path / "studies" / "toy")
    save_study(folder, original)
    shutil.copyfile(folder.study_file, tmp_path / "again.yaml")
    assert load_study(tmp_path / "again.yaml").config == original.config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budjet": {}}, r"study.yaml:\d+:1: budjet: unknown key; .*'budget'"),
        ({"budget": {"trials": 0}}, r"study.yaml:\d+:3: budget.trials: .*\(found 0\)"),
        (
            {"budget": {"trials": None}},
            r"study.yaml:\d+:\d+: budget: a study needs an end: give .*, gpu_hours",
        ),
        (
            {"budget": {"epochs": 1}},
            r"study.yaml:\d+:3: budget.epochs: 1 epochs are less than the 2 epochs",
        ),
        (
            {"budget": {"gpu_hours": 1}},
            r"study.yaml:.*budget.gpu_hours would never be used up.*gpus is 0",
        ),
        (
            {"algorithm": {"searcher": "grid"}},
            r"study.yaml:\d+:3: algorithm.searcher: .*'grid'",
        ),
        (
            {"algorithm": {"searcher": "random", "startup_trials": 4}},
            r"study.yaml:\d+:3: algorithm.startup_trials: says nothing where .*random",
        ),
        (
            {"configuration": {"training": {"epoch": 3}}},
            r"study.yaml:\d+:\d+: configuration.training.epoch: unknown key; .*epochs",
        ),
        (
            {"configuration": {"optimizer": {"learning_rate": 0.1}}},
            r"study.yaml:\d+:5: configuration.optimizer.learning_rate: .*sampled",
        ),
        (
            {"algorithm": {"scheduler": {"kind": "asha", "min_epochs": 4}}},
            r"study.yaml:\d+:5: algorithm.scheduler.min_epochs: the first rung, 4",
        ),
        (
            {"fidelity": {"kind": "structures", "shares": [0.5, 1.0]}},
            r"study.yaml:\d+:3: fidelity.kind: rungs along structures need a scheduler",
        ),
        (
            {
                "fidelity": {"kind": "structures", "shares": [0.5, 1.0]},
                "algorithm": {"scheduler": {"kind": "asha", "min_epochs": 2}},
            },
            r"study.yaml:\d+:5: algorithm.scheduler.min_epochs: says nothing where",
        ),
        (
            {"fidelity": {"kind": "structures", "shares": [0.5, 0.9]}},
            r"study.yaml:\d+:3: fidelity.shares: .*the last one is 1",
        ),
        (
            {"fidelity": {"kind": "structures", "shares": [0.5, 0.2, 1.0]}},
            r"study.yaml:\d+:3: fidelity.shares: .*do not ascend",
        ),
        (
            {
                "fidelity": {"kind": "max_atoms", "values": [4, 16]},
                "algorithm": {"scheduler": {"kind": "asha"}},
            },
            r"study.yaml:\d+:3: fidelity.values: the last of \[4, 16\] .*study, 8;",
        ),
        (
            {
                "fidelity": {"kind": "structures", "shares": [0.5, 1.0]},
                "algorithm": {"scheduler": {"kind": "asha"}},
                "budget": {"epochs": 3},
            },
            r"study.yaml:\d+:3: budget.epochs: 3 epochs are less than the 4 epochs",
        ),
        (
            {"promotion": {"references": ["magic"]}},
            r"study.yaml:\d+:\d+: promotion.*'magic' is none of preset:NAME",
        ),
        (
            {"promotion": {"references": ["constant", "preset:papper"]}},
            r"study.yaml:\d+:5: promotion.references.1: 'preset:papper' .*'paper'",
        ),
        (
            {"promotion": {"register_as": "a/b"}},
            r"study.yaml:\d+:3: promotion.register_as: 'a/b' cannot name a registered",
        ),
        (
            {"data": {"split": {"test_fold": 1}}},
            r"study.yaml:\d+:\d+: data.split: test_fold says nothing under kind random",
        ),
        (
            {"data": {"split": {"kind": "fold", "test_fraction": 0.1}}},
            r"study.yaml:\d+:\d+: data.split: test_fraction says nothing",
        ),
        (
            {"objective": {"metric": "val_mae"}},
            r"study.yaml:\d+:1: objective: unknown key",
        ),
        ({"name": "../up"}, r"study.yaml:\d+:1: name: .*"),
        ({"resources": {"gpus": 1.5}}, r"resources: .*fraction of one GPU"),
    ],
)
def test_a_wrong_study_names_line_and_column(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        study(tmp_path, **changes)
    assert caught.value.exit_code == 2


def test_a_missing_space_is_named_with_those_available(tmp_path: Path) -> None:
    document = study_document(tmp_path) | {"space": "sitenet/quickstrat"}
    path = write_study(tmp_path, document)
    with pytest.raises(ConfigError, match=r"study.yaml:3:1: space: .*sitenet/quick"):
        load_study(path)


def test_a_wrong_space_file_is_named_at_its_own_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^\S+space.yaml:1\d:1: nowhere: unknown"):
        study(tmp_path, {"nowhere": 1})


def test_a_study_goes_on_with_other_resources_and_time_outs(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "studies" / "toy")
    before = study(tmp_path)
    save_study(folder, before)
    after = study(
        tmp_path, resources={"cpus": 4, "gpus": 1}, trial={"timeout_minutes": 90}
    )
    assert study_digest(after.config) == study_digest(before.config)
    assert continued_study(folder, after).config.resources.cpus == 4
    assert saved_study(folder).config.trial.timeout_minutes == 90


def test_a_key_that_came_later_changes_no_digest_at_its_old_meaning(
    tmp_path: Path,
) -> None:
    configuration = {"training": {"epochs": 9}}
    digests = {
        mode: study_digest(
            study(
                tmp_path,
                configuration=configuration,
                algorithm={"scheduler": {"kind": "asha", "mode": mode}},
            ).config
        )
        for mode in ("promotion", "stopping")
    }
    assert digests["promotion"] != digests["stopping"]
    plain = study(
        tmp_path, configuration=configuration, algorithm={"scheduler": {"kind": "asha"}}
    )
    content = plain.config.model_dump(mode="json")
    free = ("budget", "resources", "trial", "promotion", "warm_start")
    fixed = {name: value for name, value in content.items() if name not in free}
    del fixed["algorithm"]["scheduler"]["mode"]
    assert fixed.pop("fidelity") == {"kind": "epochs"}
    text = json.dumps(fixed, sort_keys=True, separators=(",", ":"))
    before = hashlib.sha256(text.encode()).hexdigest()
    assert digests["promotion"] == before


@pytest.mark.parametrize(("epochs", "rungs"), [(30, (3, 9, 30)), (4, (4,)), (1, (1,))])
def test_trials_are_halved_by_default_whatever_their_length(
    tmp_path: Path, epochs: int, rungs: tuple[int, ...]
) -> None:
    document = study_document(tmp_path, configuration={"training": {"epochs": epochs}})
    del document["algorithm"]
    found = load_study(write_study(tmp_path, document))
    assert make_engine(found).scheduler.rungs == rungs


def test_no_section_that_decides_values_may_change(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "studies" / "toy")
    save_study(folder, study(tmp_path))
    larger = study(tmp_path, budget={"trials": 9})
    assert continued_study(folder, larger).config.budget.trials == 9
    assert saved_study(folder).config.budget.trials == 9
    other = study(tmp_path, algorithm={"seed": 1}, data={"split": {"seed": 3}})
    with pytest.raises(ConfigError, match=r"algorithm.seed, data.split.seed changed"):
        continued_study(folder, other)
    assert changed_keys(larger.config, other.config) == [
        "algorithm.seed",
        "data.split.seed",
    ]


def test_the_promotion_may_change_until_it_has_begun(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "studies" / "toy")
    begun = study(tmp_path)
    save_study(folder, begun)
    created = StudyCreated(
        name="toy",
        study_digest=study_digest(begun.config),
        space_digest=begun.space.digest,
    )
    Journal.open(folder.journal).append(created)
    other = study(tmp_path, promotion={"epochs": 9, "references": ["composition"]})
    continued = continued_study(folder, other)
    assert saved_study(folder).config.promotion.epochs == 9
    check_digests(folder, continued)
    started = PromotionStarted(
        trial=0, plan={}, promotion_digest=promotion_digest(other.config)
    )
    Journal.open(folder.journal).append(started)
    check_digests(folder, continued)
    with pytest.raises(ConfigError, match=r"promotion.epochs, .* changed since"):
        continued_study(folder, begun)
    with pytest.raises(ConfigError, match=r"study.yaml \(promotion\) no longer fit"):
        check_digests(folder, begun)


def test_an_edited_space_is_refused_on_resume(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path / "studies" / "toy")
    save_study(folder, study(tmp_path))
    edited = study(tmp_path, {"known_good": [{"optimizer.learning_rate": 2e-3}]})
    with pytest.raises(ConfigError, match="content of the space file"):
        continued_study(folder, edited)


def test_every_store_that_the_space_reaches_is_known_before_the_start(
    tmp_path: Path,
) -> None:
    choice = {"cell.max_atoms": {"type": "choice", "values": [8, 16, 32]}}
    space = {"parameters": choice, "fixed": {}, "known_good": []}
    sampled = study(tmp_path, space)
    sizes = [
        c.model_dump()["cell"]["max_atoms"] for c in reachable_configurations(sampled)
    ]
    assert sizes[1:] == [8, 16, 32]
    assert len(reachable_configurations(study(tmp_path))) == 1


def test_a_sampled_size_is_no_fidelity(tmp_path: Path) -> None:
    choice = {"cell.max_atoms": {"type": "choice", "values": [4, 8]}}
    space = {"parameters": choice, "fixed": {}, "known_good": []}
    with pytest.raises(
        ConfigError, match=r"fidelity.values: cell.max_atoms is sampled"
    ):
        study(
            tmp_path,
            space,
            fidelity={"kind": "max_atoms", "values": [4, 8]},
            algorithm={"scheduler": {"kind": "asha"}},
        )


@pytest.mark.parametrize(
    "parameter",
    [
        {"cell.max_atoms": {"type": "integer", "low": 8, "high": 500}},
        {"cell.primitive_tolerance": {"type": "float", "low": 0.1, "high": 0.9}},
    ],
)
def test_a_space_that_reaches_too_many_stores_is_refused(
    tmp_path: Path, parameter: dict[str, Any]
) -> None:
    space = {"parameters": parameter, "fixed": {}, "known_good": []}
    with pytest.raises(ConfigError, match="more than 8 of them"):
        reachable_configurations(study(tmp_path, space))


def test_the_cell_limit_is_the_declared_one_else_the_base_configurations(
    tmp_path: Path,
) -> None:
    for changes, limit in (({}, 8), ({"data": {"unit_cell_limit": 5}}, 5)):
        checked = study(tmp_path, **changes)
        assert unit_cell_limit(checked.config.data, checked.base) == limit


def test_a_missing_study_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is none here yet"):
        find_study("toy", tmp_path)
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "journal.jsonl").write_text("begun\n")
    with pytest.raises(ConfigError, match="did you mean 'toys'"):
        find_study("toy", tmp_path)
    assert find_study("toys", tmp_path).name == "toys"
