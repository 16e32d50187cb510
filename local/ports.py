"""Which loopback ports are taken, and by which process."""

import socket
from collections.abc import Iterator
from pathlib import Path

_LISTENING = "0A"


def is_free(port: int) -> bool:
    """Whether a program could listen on the port at 127.0.0.1."""
    with socket.socket() as attempt:
        # What ended connections leave behind for a minute is no listener.
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """The process that listens on the port, as `name (process 12)`."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port)}
    for folder in Path("/proc").glob("[0-9]*"):
        if sockets & set(_open_files(folder)):
            return f"{(folder / 'comm').read_text().strip()} (process {folder.name})"
    return "a process that this machine does not show"


def _inodes(port: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        table = Path("/proc/net") / name
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _open_files(folder: Path) -> Iterator[str]:
    try:
        for path in (folder / "fd").iterdir():
            yield str(path.readlink())
    except OSError:
        return  # it ended meanwhile
