"""The `sitenet` command: parse, call one function, print, return an exit code."""

import argparse
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

from search.cli import (
    data,
    doctor,
    evaluate,
    predict,
    promote,
    space,
    study,
    train,
    ui,
)
from search.cli.signals import sigterm_interrupts
from sitenet_core.errors import LocatedError, SiteNetError

INTERRUPTED = 130
UNEXPECTED = 5
GROUPS = (data, space, study, promote, train, evaluate, predict, ui, doctor)


def entry_point() -> None:
    """Run the command line of this process and exit with its code."""
    raise SystemExit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code.

    0 done; 2 wrong input; 3 data; 4 no trial, or the training, succeeded;
    5 infrastructure; 130 interrupted in good order, by Ctrl-C or SIGTERM.
    """
    options = build_parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        with sigterm_interrupts():
            code = options.run(options)
        sys.stdout.flush()
    except LocatedError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except SiteNetError as error:
        print(f"sitenet: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("sitenet: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has seen enough; nothing is left to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _system_refused(error)
    except Exception as error:  # noqa: BLE001 - the last door: reported, never lost
        return _unexpected(error)
    return int(code)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command; building it imports nothing heavy."""
    parser = argparse.ArgumentParser(
        prog="sitenet",
        description="Search, train and use Site-Net models of crystal structures.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for group in GROUPS:
        group.add_parsers(commands)
    return parser


def _system_refused(error: OSError) -> int:
    print(
        f"sitenet: the operating system refused: {error}\n"
        "Check that there is room on the disk, that the file or folder is what the "
        f"command needs and that you may write there; details: {_traceback(error)}",
        file=sys.stderr,
    )
    return UNEXPECTED


def _unexpected(error: Exception) -> int:
    print(
        f"sitenet: an unexpected {type(error).__name__}: {error}\n"
        f"This is a defect of the program; please report it with {_traceback(error)}",
        file=sys.stderr,
    )
    return UNEXPECTED


def _traceback(error: Exception) -> str:
    """Write the traceback of `error` to a file and return its path."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="sitenet-traceback-", suffix=".txt", delete=False
    ) as file:
        traceback.print_exception(error, file=file)
    return file.name
