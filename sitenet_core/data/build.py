"""Building a packed store from a source, once, whole or not at all."""

import logging
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sitenet_core.data.conform import stored_dtype
from sitenet_core.data.hashed_file import DamagedBuildError
from sitenet_core.data.header import SCHEMA_VERSION, canonical_digest
from sitenet_core.data.packing import chunks, pack_chunk
from sitenet_core.data.pool import ordered_map
from sitenet_core.data.progress import PROGRESS_FILE
from sitenet_core.data.report import BuildReport
from sitenet_core.data.schema import FeatureRecipe
from sitenet_core.data.store import PackedStore
from sitenet_core.data.verification import open_verified
from sitenet_core.data.workspace import (
    claim,
    clean_stale,
    publish,
    release,
    take_over,
)
from sitenet_core.data.writer import StoreWriter
from sitenet_core.errors import DataError, InfrastructureError

if TYPE_CHECKING:
    from sitenet_core.structures.sources.source import Source

logger = logging.getLogger(__name__)

_REASONS_SHOWN = 5


@dataclass(frozen=True)
class BuildOptions:
    """Where and how a store is built; nothing here changes its content."""

    root: Path
    """Folder of the stores; made if it does not exist."""
    workers: int = 1
    """Processes; 1 works in the calling one."""
    max_failed_fraction: float = 0.05
    """Share of unusable crystals above which there is no store."""


@dataclass(frozen=True)
class BuildProgress:
    """How far a build has come, in crystals."""

    n_read: int
    n_total: int
    n_skipped: int
    n_resumed: int = 0
    """Of those read, how many an earlier builder had read before it was killed."""


OnProgress = Callable[[BuildProgress], None]


def store_identity(source: "Source", recipe: FeatureRecipe) -> str:
    """Return the digest of everything that decides a store's content, 32 hex digits."""
    arrays = [
        [s.name, s.scope, stored_dtype(s).str, list(s.shape)] for s in recipe.schema
    ]
    content = {
        "schema_version": SCHEMA_VERSION,
        "source_digest": source.digest(),
        "family": recipe.family,
        "feature_version": recipe.feature_version,
        "settings": recipe.settings.model_dump(mode="json"),
        "arrays": arrays,
    }
    return canonical_digest(content)[:32]


def store_path(source: "Source", recipe: FeatureRecipe, root: Path) -> Path:
    """Return where the store of `source` and `recipe` is, or would be."""
    return root / store_identity(source, recipe)


def open_or_build(
    source: "Source",
    recipe: FeatureRecipe,
    options: BuildOptions,
    on_progress: OnProgress | None = None,
) -> PackedStore:
    """Return the store of `source` and `recipe`, built first if there is none.

    Raises:
        DataError: as `build_store`; also if a store that is there has a larger share
            of skipped crystals than the options allow.
        StoreError: if the store that is there is damaged: the first use of a store on
            a machine compares every byte with its checksums.
    """
    path = store_path(source, recipe, options.root)
    if not path.exists():
        build_store(source, recipe, options, on_progress)
    store = open_verified(path)
    check_failures(source.name, store.report, options.max_failed_fraction)
    return store


def build_store(
    source: "Source",
    recipe: FeatureRecipe,
    options: BuildOptions,
    on_progress: OnProgress | None = None,
) -> BuildReport:
    """Build the store of `source` and `recipe` below `options.root`.

    The store appears under its name at once and complete, or not at all. Where an
    earlier builder of the same store was killed or interrupted, or failed for want of
    disk or memory, this one goes on from what it left. If another builder finished the
    same store in the meantime, that one stays and this one is removed. Memory does not
    grow with the number of crystals, ids and formulas apart.

    Raises:
        DataError: if the source is empty, an id occurs twice, no crystal can be used,
            or more than `max_failed_fraction` cannot.
        InfrastructureError: if the disk or a worker process fails; what was built is
            kept.
    """
    identity = store_identity(source, recipe)
    final = options.root / identity
    folder = take_over(options.root, identity) or claim(options.root, identity)
    for stale in clean_stale(options.root, identity):
        logger.info("removed the unfinished store %s, whose builder is gone", stale)
    try:
        report = _write(folder, source, recipe, options, on_progress)
        if not publish(folder, final):
            logger.info("another builder finished the store %s first", final)
            PackedStore.open(final)
    except (KeyboardInterrupt, SystemExit, InfrastructureError):
        # Nothing is wrong with what was built: the next builder goes on from it.
        release(folder)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report


def check_failures(name: str, report: BuildReport, allowed: float) -> None:
    """Raise DataError if a larger share than `allowed` of a source was skipped.

    The message has the counts and the first reasons.
    """
    if report.n_stored and report.failed_fraction <= allowed:
        return
    if report.n_read == 0:
        raise DataError(f"source {name}: holds no crystal; name a source that does")
    shown = report.skipped[:_REASONS_SHOWN]
    reasons = "".join(f"\n  {row.id}: {row.reason}" for row in shown)
    n_more = len(report.skipped) - len(shown)
    more = f"\n  and {n_more} more" if n_more else ""
    raise DataError(
        f"source {name}: {len(report.skipped)} of {report.n_read} crystals read cannot"
        f" be used ({report.failed_fraction:.1%}; allowed: {allowed:.1%}). Mend the"
        f" source or raise `data.max_failed_fraction`. First reasons:{reasons}{more}"
    )


def _write(
    folder: Path,
    source: "Source",
    recipe: FeatureRecipe,
    options: BuildOptions,
    on_progress: OnProgress | None,
) -> BuildReport:
    work = partial(pack_chunk, recipe=recipe, columns=tuple(source.columns))
    writer = _writer(folder, recipe, source)
    start = writer.n_resumed
    if start and on_progress is not None:
        on_progress(_progress(writer, len(source)))
    try:
        tasks = chunks(source, start)
        with closing(ordered_map(work, tasks, options.workers)) as results:
            for chunk in results:
                for text in chunk.tracebacks:
                    logger.error("unexpected failure of crystal %s", text)
                writer.append(chunk)
                if on_progress is not None:
                    on_progress(_progress(writer, len(source)))
                # There is no need to read on once the limit cannot be kept.
                if writer.n_skipped > options.max_failed_fraction * len(source):
                    break
        check_failures(source.name, writer.report, options.max_failed_fraction)
        writer.finish(store_identity(source, recipe))
        return writer.report
    finally:
        writer.abandon()


def _writer(folder: Path, recipe: FeatureRecipe, source: "Source") -> StoreWriter:
    try:
        return StoreWriter(folder, recipe, source)
    except DamagedBuildError as error:
        logger.warning("%s: was damaged; the build starts from its beginning", error)
        (folder / PROGRESS_FILE).unlink()
        return StoreWriter(folder, recipe, source)


def _progress(writer: StoreWriter, n_total: int) -> BuildProgress:
    n_read, n_skipped = writer.n_read, writer.n_skipped
    return BuildProgress(n_read, n_total, n_skipped, writer.n_resumed)
