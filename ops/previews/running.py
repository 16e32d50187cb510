"""One preview by the engine: its progress stays on the terminal, its events go to a log."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ops import events, stack
from ops.engine import Engine, EngineError
from ops.previews.facts import Preview
from ops.previews.reading import events_of, read
from ops.previews.secrets import Secrets

FAILED = 1
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LAST_LINES, _LAST_BYTES = 12, 8000


def preview(project: Path, name: str, rest: Sequence[str]) -> Preview:
    """Preview one stack; one that could not begin is one that failed, with the reason."""
    try:
        with stack.previewing(project, name) as found:
            made = _previewed(found.engine, [*found.arguments, *rest])
            return made.model_copy(update={"notice": found.notice})
    except EngineError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.code if isinstance(error, stack.NotStartedError) else FAILED
        return Preview(stack=name, code=code, reason=Secrets.of_environment(os.environ).hidden(str(error)))


def _previewed(engine: Engine, rest: Sequence[str]) -> Preview:
    with tempfile.TemporaryDirectory(prefix="modelstack-preview-") as folder:
        log = Path(folder) / "events"
        command = [*stack.command_line(engine, "preview", yes=False, rest=rest), *events.logged_to(log)]
        code, last_words = _run(command, engine)
        secrets = Secrets.of(engine)
        if code:
            stack.tell_of_locks_left(engine)
        return read(engine.stack, code, events_of(log), secrets, last_words)


def _run(command: Sequence[str], engine: Engine) -> tuple[int, str]:
    """Return the exit code, and the end of what was written to standard error, which is shown as it comes."""
    own = {**engine.environment, **events.ENVIRONMENT}
    with subprocess.Popen(command, cwd=engine.project, env=own, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None  # noqa: S101 (asked for above)
        end = b""
        try:
            while chunk := os.read(process.stderr.fileno(), 65536):
                sys.stderr.buffer.write(chunk)
                sys.stderr.buffer.flush()
                end = (end + chunk)[-_LAST_BYTES:]
        except KeyboardInterrupt:
            # The engine was interrupted too, and lets go of the stack before it ends.
            process.wait()
            raise
    lines = _COLOUR.sub("", end.decode(errors="replace")).strip().splitlines()[-_LAST_LINES:]
    return process.returncode, "\n".join(lines)
