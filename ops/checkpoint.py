"""What a killed engine leaves of the files that hold a stack's state in a folder.

The state itself is renamed into place whole. The attributes beside each file (`.attrs`, gocloud.dev/blob/fileblob),
are not: cut off, they keep the engine from reading a state that is whole. A machine that lost power may have lost
the state's own bytes, too; the engine keeps the state of the step before in `.bak`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ops.holders import state_folder


@dataclass(frozen=True)
class Fault:
    """A file that cannot be read, and the one that takes its place; none where it is removed."""

    path: Path
    successor: Path | None = None

    def __str__(self) -> str:
        what = "removed" if self.successor is None else f"replaced by {self.successor.name}, the step before"
        return f"{self.path.name}: was cut off while it was written; {what}"


def faults(backend: str, project: str, stack: str) -> list[Fault]:
    """Return what of a stack's files cannot be read; none for a backend that is no folder."""
    root = state_folder(backend)
    if root is None:
        return []
    name = stack.rpartition("/")[2]
    state = root / ".pulumi" / "stacks" / project / f"{name}.json"
    before = state.with_name(f"{state.name}.bak")
    attributes = [path.with_name(f"{path.name}.attrs") for path in (state, before)]
    found = [Fault(path) for path in (*attributes, *_of_history(root, project, name)) if _is_cut_off(path)]
    if _is_cut_off(state) and before.is_file() and not _is_cut_off(before):
        found.append(Fault(state, before))
    return found


def mend(fault: Fault) -> None:
    """Remove the file, or put what came before it in its place."""
    if fault.successor is None:
        fault.path.unlink(missing_ok=True)
        return
    part = fault.path.with_name(f"{fault.path.name}.part")
    part.write_bytes(fault.successor.read_bytes())
    part.rename(fault.path)


def _of_history(root: Path, project: str, stack: str) -> Iterator[Path]:
    for kept in ("history", "backups"):
        yield from sorted((root / ".pulumi" / kept / project / stack).glob("*.attrs"))


def _is_cut_off(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return False
