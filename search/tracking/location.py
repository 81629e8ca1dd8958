"""Where MLflow's store lies, and how its user interface is started on it."""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

from sitenet_core.errors import ConfigError

URI_VARIABLE = "MLFLOW_TRACKING_URI"
ARTIFACT_FOLDER = "mlartifacts"
_SQLITE = "sqlite:///"
_SERVERS = {"http", "https"}
_DATABASES = {"sqlite", "postgresql", "mysql", "mssql"}


def tracking_uri(studies: Path) -> str:
    """Return the store's URI: `MLFLOW_TRACKING_URI`, else a SQLite file in `studies`.

    Raises:
        ConfigError: if the variable names a store that cannot be used.
    """
    uri = os.environ.get(URI_VARIABLE) or f"{_SQLITE}{studies.resolve() / 'mlflow.db'}"
    return checked_uri(uri)


def checked_uri(uri: str) -> str:
    """Return `uri` if MLflow can keep studies and registered models under it.

    Raises:
        ConfigError: if it is not the URI of a server or of a database.
    """
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme in _SERVERS | _DATABASES:
        return uri
    raise ConfigError(
        f"{URI_VARIABLE}={uri!r}: MLflow keeps its store on a server (http, https) or "
        "in a database (sqlite, postgresql, mysql, mssql), not in a folder; unset the "
        f"variable, or set it to {_SQLITE}/ABSOLUTE/PATH/mlflow.db, say"
    )


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a SQLite store, None for any other store."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def artifact_root(uri: str, studies: Path) -> str | None:
    """Return where artifacts of new experiments go; None if a server decides that.

    Beside a SQLite file, else in the folder of studies: MLflow's own default for a
    database is `mlruns` in whatever the working directory happens to be.
    """
    if urlsplit(uri).scheme in _SERVERS:
        return None
    database = sqlite_file(uri)
    folder = studies if database is None else database.parent
    return (folder.resolve() / ARTIFACT_FOLDER).as_uri()


def ui_command(uri: str, port: int) -> tuple[list[str], dict[str, str]]:
    """Return command line and environment of an MLflow server on this machine.

    A store that is itself a server needs none: its UI is at its own address.

    Raises:
        ConfigError: if `uri` is the address of a running server.
    """
    if urlsplit(uri).scheme in _SERVERS:
        raise ConfigError(
            f"{URI_VARIABLE} names a running MLflow server; open {uri} in a browser"
        )
    arguments = ["server", "--backend-store-uri", uri]
    root = artifact_root(uri, Path.cwd())
    if root is not None:
        arguments += ["--default-artifact-root", root]
    arguments += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command = [sys.executable, "-m", "mlflow", *arguments]
    return command, os.environ | quiet_environment()


def quiet_environment() -> dict[str, str]:
    """Return the variables with which MLflow stays on this machine and stays quiet.

    Values that the user has set win. The HTTP limits are low because a server that is
    away must not hold a study up; MLflow's own defaults wait for minutes.
    """
    defaults = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    }
    return {name: os.environ.get(name, value) for name, value in defaults.items()}
