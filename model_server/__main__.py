"""`python -m model_server`: settings from MODELSTACK_*, exit code 0 after a drain, 2 where it cannot start."""

import logging
import os
import signal
import sys
from types import FrameType

from model_server.config import from_environment
from model_server.errors import ConfigError
from model_server.logs import configure, write

EXIT_CONFIG = 2


def main() -> int:
    """Serve, and return the exit code."""
    configure("INFO")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    # The web server takes a while to import, and a container's first process without a handler is deaf to SIGTERM.
    from model_server.server import serve  # noqa: PLC0415

    try:
        config = from_environment(os.environ)
        configure(config.log_level)
        serve(config)
    except ConfigError as error:
        write(logging.ERROR, "cannot serve", error=str(error))
        return EXIT_CONFIG
    return 0


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
    """End at once: nothing is admitted before the server drains on its own."""
    raise SystemExit(0)


def _run() -> int:
    try:
        return main()
    except SystemExit:
        return 0


if __name__ == "__main__":
    code = _run()
    sys.stdout.flush()
    # A thread may still load a model, and the interpreter's own end would abort the process inside onnxruntime.
    os._exit(code)
