"""The ``safeupdater`` command: what ``python -m safeupdater`` and the installed script run."""

from __future__ import annotations

import sys
from collections.abc import Sequence

_HINT = "the command line needs {missing}, which is not installed: pip install 'safeupdater[cli]'"
_USAGE = 2
_INTERRUPTED = 6


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and gives its exit code; ``arguments`` are those of the process by default."""
    try:
        from safeupdater.cli.app import run
    except ModuleNotFoundError as error:
        print("safeupdater: " + _HINT.format(missing=error.name), file=sys.stderr)
        return _USAGE
    except KeyboardInterrupt:  # before there is anybody to handle it: nothing was begun
        return _INTERRUPTED
    return run(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
