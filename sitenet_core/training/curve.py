"""The learning curve as a CSV file."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from sitenet_core.training.options import EpochRecord

COLUMNS = tuple(field.name for field in fields(EpochRecord))


def write_curve(path: Path, curve: Sequence[EpochRecord]) -> None:
    """Write one row per epoch, atomically; floats keep every digit."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(record) for record in curve)
    partial.replace(path)


def read_curve(path: Path) -> list[EpochRecord]:
    """Return the rows of a learning curve; an empty `val_mae` is None."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            EpochRecord(
                epoch=int(row["epoch"]),
                train_loss=float(row["train_loss"]),
                val_mae=float(row["val_mae"]) if row["val_mae"] else None,
                learning_rate=float(row["learning_rate"]),
                seconds=float(row["seconds"]),
                peak_bytes=int(row["peak_bytes"]),
            )
            for row in csv.DictReader(file)
        ]
