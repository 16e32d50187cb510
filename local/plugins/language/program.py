"""Runs one Pulumi program; started by the language host with the program's own interpreter, so it stands alone."""

from __future__ import annotations

import argparse
import asyncio
import inspect
import logging
import os
import runpy
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

INTERRUPTED = 130
PARENT_POLL_SECONDS = 0.5
SHOWN = 32  # exit status that tells the host: the user has been told what is wrong
NO_SDK = """
It looks like the Pulumi SDK has not been installed. Have you run pip install?
If you are running in a virtualenv, you must run pip install -r requirements.txt from inside the virtualenv."""


def parse(arguments: list[str]) -> argparse.Namespace:
    """Parse what the language host passes."""
    parser = argparse.ArgumentParser(description="Run a Pulumi program")
    for option in ("project", "root_directory", "stack", "pwd", "monitor", "engine", "organization"):
        parser.add_argument(f"--{option}")
    parser.add_argument("--parallel", type=int, default=0)
    parser.add_argument("--dry_run", default="false")
    parser.add_argument("program")
    parser.add_argument("arguments", nargs="*")
    return parser.parse_args(arguments)


def configure(args: argparse.Namespace) -> None:
    """Hand configuration and connection to the SDK; an older SDK gets the settings it knows."""
    from pulumi import runtime  # noqa: PLC0415 - imported after its absence has been reported well

    runtime.set_all_config(runtime.get_config_env(), runtime.get_config_secret_keys_env())
    names = ("monitor", "engine", "project", "stack", "parallel", "organization", "root_directory")
    known = inspect.signature(runtime.Settings.__init__).parameters
    settings = {name: getattr(args, name) for name in names if name in known}
    runtime.configure(runtime.Settings(dry_run=args.dry_run == "true", **settings))


def user_traceback(program: str) -> str:
    """Return the traceback of the exception being handled from the program's first frame on."""
    exception = sys.exc_info()[1]
    main = str(Path(program, "__main__.py") if Path(program).is_dir() else Path(program).absolute())
    frames = traceback.extract_tb(exception.__traceback__) if exception else []
    first = next((i for i, frame in enumerate(frames) if os.path.abspath(frame.filename) == main), 0)  # noqa: PTH100
    return traceback.format_exc(limit=-(len(frames) - first)) if first else traceback.format_exc()


def has_entry(program: str) -> bool:
    """Say whether there is a program to run."""
    return Path(program).is_file() or Path(program, "__main__.py").is_file()


def _run_path(program: str) -> None:
    runpy.run_path(program, run_name="__main__")


def run(args: argparse.Namespace) -> int:
    """Run the program in a stack resource and return the exit status for the host."""
    import pulumi  # noqa: PLC0415
    from pulumi import runtime  # noqa: PLC0415

    program = os.path.abspath(args.program)  # noqa: PTH100 - Path.resolve would follow links and change tracebacks
    if not has_entry(program):
        pulumi.log.error(f"unable to find main python program `__main__.py` in `{program}`")
        return SHOWN
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    # A failed program leaves unobserved futures behind by design; asyncio's remarks on them hide the real error.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    executor = ThreadPoolExecutor(max_workers=max(args.parallel, 1) * 4)
    loop.set_default_executor(executor)
    try:
        loop.run_until_complete(runtime.run_in_stack(lambda: _run_path(args.program)))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return 1
    except Exception:
        pulumi.log.error(f"Program failed with an unhandled exception:\n{user_traceback(program)}")
        return SHOWN
    executor.shutdown()
    return 0


def main() -> int:
    """Run the program named on the command line."""
    args = parse(sys.argv[1:])
    try:
        import pulumi  # noqa: F401, PLC0415
    except ImportError:
        sys.stderr.write(f"{traceback.format_exc()}\n{NO_SDK}\n")
        return 1
    configure(args)
    sys.argv = [args.program, *args.arguments]
    if args.pwd:
        os.chdir(args.pwd)
    try:
        return run(args)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def end_with(parent: int) -> None:
    """End this process once its parent was killed: calls to an engine that is gone would be waited for without end."""
    while os.getppid() == parent:
        time.sleep(PARENT_POLL_SECONDS)
    os._exit(INTERRUPTED)


def run_main() -> None:
    """Run, and end quietly when the engine interrupts: it has said why, and waiting threads would never end."""
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    try:
        code = main()
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


if __name__ == "__main__":
    run_main()
