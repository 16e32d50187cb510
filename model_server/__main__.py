"""`python -m model_server`: settings from MODELSTACK_*, exit code 0 after a drain, 2 where it cannot start."""

import logging
import os
import sys

from model_server.config import from_environment
from model_server.errors import ConfigError
from model_server.logs import configure, write
from model_server.server import serve

EXIT_CONFIG = 2


def main() -> int:
    """Serve, and return the exit code."""
    configure("INFO")
    try:
        config = from_environment(os.environ)
        configure(config.log_level)
        serve(config)
    except ConfigError as error:
        write(logging.ERROR, "cannot serve", error=str(error))
        return EXIT_CONFIG
    return 0


if __name__ == "__main__":
    sys.exit(main())
