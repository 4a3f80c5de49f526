"""The command line with everything that anybody logs, at debug level and with every field, in a file.

``python -m testbed.logged_cli LOG ARGUMENT...`` does what ``safeupdater ARGUMENT...`` does. Root takes the
records of the libraries below us too.
"""

from __future__ import annotations

import logging
import sys

from safeupdater.__main__ import main
from safeupdater.observers.logging import FieldsFormatter


def log_to(path: str) -> None:
    """Sends every record of this process to a file."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(FieldsFormatter("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.DEBUG, handlers=[handler])


if __name__ == "__main__":
    log_to(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
