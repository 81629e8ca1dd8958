"""One measurement in a process of its own; its result is the last line printed.

python -m experiments.benchmarks.core.job MODULE WORK ARGUMENTS, the last as JSON.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from experiments.benchmarks.core.setup import Setup

PACKAGE = "experiments.benchmarks.core"


def measure(module: str, work: Path, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the result of a measuring module."""
    found = importlib.import_module(f"{PACKAGE}.{module}")
    result: dict[str, Any] = found.measure(Setup.load(work), arguments)
    return result


def main() -> None:
    """Measure what the command line says."""
    module, work, arguments = sys.argv[1:]
    result = measure(module, Path(work), json.loads(arguments))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
