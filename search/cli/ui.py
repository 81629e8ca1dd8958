"""`sitenet ui`: MLflow's user interface on the project's store."""

import argparse
import subprocess

from search.cli.output import Commands, add_directory, positive

INFRASTRUCTURE = 5
LAST_PORT = 65535
_SECONDS_TO_END = 10.0
"""The server ends the processes that it started before it ends itself."""


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
    server = subprocess.Popen(command, env=environment)  # noqa: S603
    try:
        return INFRASTRUCTURE if server.wait() else 0
    except KeyboardInterrupt:
        _end(server)
        raise


def _end(server: "subprocess.Popen[bytes]") -> None:
    server.terminate()
    try:
        server.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _port(text: str) -> int:
    port = positive(text)
    if port > LAST_PORT:
        raise argparse.ArgumentTypeError(f"a port is at most {LAST_PORT}, not {port}")
    return port
