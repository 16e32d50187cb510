"""The worker process: runs steps that touch model code, and ends when the build that started it ends."""

import importlib
import os
import select
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, BinaryIO

from model_build.errors import BuildError, GateError, one_line
from model_build.job import Job
from model_build.protocol import receive, send


def main(arguments: list[str]) -> int:
    """Serve requests from the first file descriptor named, answer on the second, watch the third."""
    requests_fd, replies_fd, life_fd = (int(one) for one in arguments)
    for fd in (requests_fd, replies_fd, life_fd):
        os.set_inheritable(fd, False)
    threading.Thread(target=_end_with_parent, args=(life_fd,), daemon=True).start()
    with os.fdopen(requests_fd, "rb") as requests, os.fdopen(replies_fd, "wb") as replies:
        while (request := receive(requests)) is not None:
            send(replies, _answer(request, replies))
    return 0


def _end_with_parent(life_fd: int) -> None:
    """Kill the whole process group when the build's end of the pipe closes, however the build ended."""
    select.select([life_fd], [], [])
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _answer(request: dict[str, Any], replies: BinaryIO) -> dict[str, Any]:
    job = Job(
        inputs={name: Path(path) for name, path in request["inputs"].items()},
        params=request["params"],
        out=Path(request["out"]),
        model_folder=Path(request["model_folder"]),
        progress=lambda fraction, detail: send(replies, {"fraction": fraction, "detail": detail}),
    )
    try:
        return {"facts": importlib.import_module(request["module"]).run(job)}
    except BuildError as error:
        traceback.print_exc()
        facts = error.facts if isinstance(error, GateError) else {}
        return {"kind": error.kind, "error": str(error), "facts": facts}
    except ModuleNotFoundError as error:
        traceback.print_exc()
        remedy = "run the build with the interpreter that `python -m model_build.environment` prints"
        return {"kind": "environment", "error": f"worker: {error} in {sys.executable}; {remedy}"}
    except Exception as error:
        traceback.print_exc()
        return {"kind": "internal", "error": one_line(f"{type(error).__name__}: {error}")}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
