"""`sitenet ui`: MLflow's user interface on the project's store."""

import argparse
import subprocess

from search.cli.output import Commands, add_directory, positive

INFRASTRUCTURE = 5
LAST_PORT = 65535


def add_parsers(commands: Commands) -> None:
    """Add `ui`."""
    parser = commands.add_parser("ui", help="open MLflow's UI on the project's store")
    add_directory(parser)
    parser.add_argument("--port", type=_port, default=5000, help="default: 5000")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve the UI until it is stopped."""
    from search.tracking import tracking_uri, ui_command

    uri = tracking_uri(options.dir)
    print(f"MLflow on {uri}: http://127.0.0.1:{options.port} (Ctrl-C ends it)")
    command, environment = ui_command(uri, options.port)
    done = subprocess.run(command, env=environment, check=False)  # noqa: S603
    return INFRASTRUCTURE if done.returncode else 0


def _port(text: str) -> int:
    port = positive(text)
    if port > LAST_PORT:
        raise argparse.ArgumentTypeError(f"a port is at most {LAST_PORT}, not {port}")
    return port
