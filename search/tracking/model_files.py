"""The files of a registered model: written, compared with what is there, put back."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath

from search.tracking.mirror import content_digest, expected_files
from search.tracking.store import LoggedRun, MlflowStore, PyfuncModel, save_pyfunc
from search.tracking.views import Artifact

FILES_TAG = "model_files"
"""Tag of a version: path → bytes of its files, as JSON. Without it one could not tell a
truncated description from one that another version of MLflow wrote."""
_BUNDLE = "data/"
"""Folder of a model in MLflow's format that has the bundle."""
_DISTRIBUTIONS = ("sitenet-search", "torch", "numpy", "pymatgen", "safetensors")


@dataclass(frozen=True)
class ModelFolder:
    """Where the files of one version lie, among the artifacts of a run."""

    store: MlflowStore
    run: LoggedRun
    bundle: Path
    """On this machine: what the version was made of."""
    loader_module: str

    @property
    def name(self) -> str:
        """Folder for this version: a run may hold several."""
        return f"model-{content_digest(self.bundle)[:16]}"

    @property
    def uri(self) -> str:
        """What MLflow calls it."""
        return f"{self.run.artifact_uri}/{self.name}"

    def upload(self) -> dict[str, int]:
        """Store the bundle in MLflow's format; return path → bytes of what was stored.

        Raises:
            InfrastructureError: if MLflow does not take it.
        """
        with self._written() as made:
            self.store.upload(self.run.run_id, made, self.name)
            return file_sizes(made)

    def put_back(
        self, recorded: Mapping[str, int] | None
    ) -> tuple[dict[str, int], list[str]]:
        """Store again what is missing or has another size.

        Files that are as they should be stay: the requirements of a model are those of
        the day on which it was registered.

        Args:
            recorded: path → bytes as the version has it; None if it does not say.

        Returns:
            Path → bytes from now on, and what was put back, in words.

        Raises:
            InfrastructureError: if MLflow does not take it.
        """
        found = self._found()
        if recorded is not None and not lacking(recorded, found):
            return dict(recorded), []
        with self._written() as made:
            sizes = file_sizes(made)
            expected = recorded or _certain(sizes)
            lost = lacking(expected, found)
            if set(lost) <= set(sizes):
                for path in lost:
                    self.store.upload(
                        self.run.run_id,
                        made / path,
                        str(PurePosixPath(self.name, path).parent),
                    )
                sizes = {p: (sizes if p in lost else found)[p] for p in expected}
            else:
                self.store.upload(self.run.run_id, made, self.name)
        return sizes, [f"{path} ({how})" for path, how in lost.items()]

    def _found(self) -> dict[str, int]:
        prefix = f"{self.name}/"
        files = self.store.files(self.run.run_id, self.name)
        return {path.removeprefix(prefix): size for path, size in files.items()}

    @contextmanager
    def _written(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="sitenet-model-") as scratch:
            made = Path(scratch) / "model"
            save_pyfunc(made, self.bundle, _model(self.loader_module))
            yield made


def file_sizes(folder: Path) -> dict[str, int]:
    """Return path below `folder` → bytes of every file."""
    return expected_files(Artifact(folder))


def _certain(sizes: Mapping[str, int]) -> dict[str, int | None]:
    """Return what is known of a model that does not say its files: those of its bundle.

    The others depend on the versions that were installed when they were written.

    Args:
        sizes: path → bytes, as they would be written now.
    """
    return {path: n if path.startswith(_BUNDLE) else None for path, n in sizes.items()}


def lacking(
    expected: Mapping[str, int | None], found: Mapping[str, int]
) -> dict[str, str]:
    """Return path → what is wrong with each file that is not found as expected.

    Args:
        expected: path → bytes; None where the size does not matter.
        found: path → bytes of what there is.
    """
    return {
        path: "missing"
        if path not in found
        else f"{found[path]} bytes in place of {size}"
        for path, size in sorted(expected.items())
        if path not in found or size not in {None, found[path]}
    }


def recorded_files(tags: Mapping[str, str]) -> dict[str, int] | None:
    """Return the files that a version's tags name; None if they do not."""
    try:
        files = json.loads(tags.get(FILES_TAG, ""))
    except ValueError:
        return None
    if not isinstance(files, dict) or not files:
        return None
    return files if all(isinstance(size, int) for size in files.values()) else None


def files_tag(files: Mapping[str, int]) -> dict[str, str]:
    """Return the tag that `recorded_files` reads."""
    return {FILES_TAG: json.dumps(files, sort_keys=True)}


def _model(loader_module: str) -> PyfuncModel:
    """Return what a promoted model says of itself to MLflow."""
    return PyfuncModel(
        loader_module=loader_module,
        requirements=[_requirement(name) for name in _DISTRIBUTIONS],
        inputs={"id": False, "cif": True},
        outputs={
            "id": "string",
            "prediction": "double",
            "unit": "string",
            "status": "string",
            "reason": "string",
        },
    )


def _requirement(distribution: str) -> str:
    """Return the pin of what is installed; none for a program run from its source."""
    try:
        return f"{distribution}=={version(distribution)}"
    except PackageNotFoundError:
        return distribution
