"""Copies what a study found into an experiment's folder, with a manifest.

    .venv/bin/python experiments/record.py studies/NAME experiments/FOLDER

Writes `trials.csv`, `result.json` and `table.md` (of the promotion) and
`manifest.json`: commit and versions of every session, hardware, data digest, seeds.
Paths of the machine stay out. A session that was journalled outside a git checkout has
no commit; `--commit` states it.
"""

import argparse
import csv
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from search.journal import SessionStarted, StudyState, read_journal
from search.study import StudyFolder
from sitenet_core.config import flatten, load_yaml


def main() -> None:
    """Record one study."""
    parser = argparse.ArgumentParser(description="Record a study as an experiment.")
    parser.add_argument("study", type=Path, help="folder of the study")
    parser.add_argument("experiment", type=Path, help="folder under experiments/")
    parser.add_argument(
        "--commit", help="git commit of sessions whose journal does not say it"
    )
    options = parser.parse_args()
    folder = StudyFolder(options.study.resolve())
    state = folder.state()
    write_trials(state, options.experiment / "trials.csv")
    content = manifest(folder, state, options.commit)
    write_json(content, options.experiment / "manifest.json")
    copy_promotion(folder, options.experiment)


def write_trials(state: StudyState, path: Path) -> None:
    """Write one row per trial: outcome, values at the rungs, seconds, configuration."""
    rungs = sorted({epoch for trial in state.trials for epoch in trial.rung_values})
    keys = sorted({key for trial in state.trials for key in trial.configuration})
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        columns = ["trial", "source", "outcome", "epoch", "attempts", "seconds"]
        writer.writerow([*columns, *(f"val_mae@{epoch}" for epoch in rungs), *keys])
        for trial in state.trials:
            row = [trial.number, trial.source, state.outcome_of(trial.number) or "open"]
            row += [trial.last_epoch, trial.attempts]
            row += [round(state.details[trial.number].seconds, 1)]
            row += [trial.rung_values.get(epoch, "") for epoch in rungs]
            writer.writerow([*row, *(trial.configuration.get(key) for key in keys)])


def manifest(
    folder: StudyFolder, state: StudyState, commit: str | None = None
) -> dict[str, Any]:
    """Return what decides the numbers of a study, and what it ran on.

    Study and split are read as plain data, so that a study of an earlier version of
    this program can be recorded.

    Args:
        folder: of the study.
        state: what its journal says.
        commit: of sessions whose journal does not say it.
    """
    config = load_yaml(folder.study_file).data
    split = json.loads(folder.split.read_text("utf-8"))
    return {
        "recorded_at_commit": git("rev-parse", "HEAD"),
        "sessions": sessions(folder, commit),
        "hardware": {
            "processor": processor(),
            "cpus": os.cpu_count(),
            "gpu": graphics_processor(),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "source": Path(config["data"]["source"]).name,
        "source_digest": source_digest(folder),
        "store_digest": split["store_digest"],
        "split_digest": split["digest"],
        "n_train": len(split["train"]),
        "n_validation": len(split["validation"]),
        "n_test": len(split["test"]),
        "space_digest": state.space_digest,
        "seeds": {k: v for k, v in flatten(config).items() if "seed" in k},
        "search_seconds": round(state.seconds, 1),
    }


def sessions(folder: StudyFolder, commit: str | None) -> list[dict[str, Any]]:
    """Return number, purpose, commit and versions of every session of a study."""
    found = []
    for entry in read_journal(folder.journal):
        if isinstance(entry.event, SessionStarted):
            versions = dict(entry.event.versions)
            found.append(
                {
                    "session": entry.event.session,
                    "purpose": entry.event.purpose,
                    "git_commit": versions.pop("git", commit),
                    "versions": versions,
                }
            )
    return found


def source_digest(folder: StudyFolder) -> str | None:
    """Return the digest of the source that the promotion recorded, None before it."""
    result = folder.promotion / "result.json"
    if not result.is_file():
        return None
    return str(json.loads(result.read_text("utf-8"))["data_digest"])


def copy_promotion(folder: StudyFolder, experiment: Path) -> None:
    """Copy result and table, without paths."""
    result = json.loads((folder.promotion / "result.json").read_text("utf-8"))
    result.pop("bundle")
    write_json(result, experiment / "result.json")
    table = (folder.promotion / "table.md").read_text("utf-8")
    (experiment / "table.md").write_text(table, "utf-8")


def processor() -> str:
    """Return the name of the processor."""
    info = Path("/proc/cpuinfo")
    text = info.read_text("utf-8") if info.exists() else ""
    names = [line.split(":")[1] for line in text.splitlines() if "model name" in line]
    return names[0].strip() if names else platform.processor()


def graphics_processor() -> str | None:
    """Return the name of the first GPU, None without one."""
    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else None


def git(*arguments: str) -> str:
    """Return what git says of this checkout."""
    done = subprocess.run(
        ["git", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    return done.stdout.strip()


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write JSON for people."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
