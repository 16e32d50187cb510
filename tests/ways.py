"""Ways to a server of plain HTTP that lose an answer on purpose, or lead nowhere for a while."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

CHANGES = (b"POST ", b"PUT ", b"PATCH ", b"DELETE ")


@dataclass
class Way:
    """A port of loopback that leads to a server."""

    host: str
    beyond: str
    lost: threading.Event = field(default_factory=threading.Event)
    count: int = 0
    """Changes that were asked for."""
    _left: int = 0
    _broken: bool = False
    _open: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def lose_answer(self, number: int) -> None:
        """Let the server carry out the change of that number from now on; its answer never comes, and `lost` is set."""
        self.lost.clear()
        self._left = number

    def keep_answers(self) -> None:
        """Lose none."""
        self._left = 0

    def broken(self) -> contextlib.AbstractContextManager[None]:
        """Cut every connection, and accept none for the length of a block."""
        return self._while_broken()

    @contextlib.contextmanager
    def _while_broken(self) -> Iterator[None]:
        self._broken = True
        self.cut()
        try:
            yield
        finally:
            self._broken = False

    def cut(self) -> None:
        """End every connection."""
        with self._lock:
            cut, self._open = self._open, []
        for one in cut:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def serve(self, server: socket.socket) -> None:
        """Accept connections until `server` is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                threading.Thread(target=self._lead, args=(client,), daemon=True).start()

    def _lead(self, client: socket.socket) -> None:
        if self._broken:
            client.close()
            return
        name, _, port = self.beyond.partition(":")
        beyond = socket.create_connection((name, int(port)))
        with self._lock:
            self._open += [client, beyond]
        losing = threading.Event()
        threading.Thread(target=self._carry, args=(beyond, client, losing), daemon=True).start()
        self._carry(client, beyond, losing, asking=True)

    def _carry(
        self, source: socket.socket, target: socket.socket, losing: threading.Event, *, asking: bool = False
    ) -> None:
        with contextlib.suppress(OSError), source:
            while chunk := source.recv(65536):
                if asking and self._is_the_one(chunk):
                    losing.set()
                if losing.is_set() and not asking:
                    self.lost.set()
                    continue
                target.sendall(chunk)
            target.shutdown(socket.SHUT_RDWR)

    def _is_the_one(self, chunk: bytes) -> bool:
        if not chunk.startswith(CHANGES) or b"dryRun=" in chunk.partition(b"\r\n")[0]:
            return False
        with self._lock:
            self.count += 1
            self._left -= 1
            return self._left == 0


@contextlib.contextmanager
def way_to(server: str) -> Iterator[Way]:
    """Yield a way to the server at HOST:PORT."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = Way(f"127.0.0.1:{listening.getsockname()[1]}", server)
        threading.Thread(target=made.serve, args=(listening,), daemon=True).start()
        try:
            yield made
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            made.cut()


@contextlib.contextmanager
def way_to_cluster(kubectl: tuple[str, ...], kubeconfig: str, own: Path) -> Iterator[Way]:
    """Yield a way to the API server of `kubeconfig`, which leads through it for whoever reads the kubeconfig `own`."""
    command = [*kubectl, "proxy", "--port=0", "--kubeconfig", kubeconfig]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            with way_to(told.split()[-1]) as made:
                own.write_text(yaml.safe_dump(_kubeconfig(made.host)))
                yield made
        finally:
            process.kill()


def _kubeconfig(host: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "way",
        "contexts": [{"name": "way", "context": {"cluster": "way", "user": "way"}}],
        "clusters": [{"name": "way", "cluster": {"server": f"http://{host}"}}],
        "users": [{"name": "way", "user": {}}],
    }
