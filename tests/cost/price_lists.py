"""A price list on loopback, in AWS' documented form; its numbers are invented."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path(__file__).with_name("price_list")
REGION = "eu-central-1"


@dataclass
class Served:
    """Where the list is, and what it answers: path → text, of which `cut` bytes at the end are not sent."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def change(self, offer: str, old: str, new: str) -> None:
        """Change what the list of a service says."""
        path = _path(offer)
        before = self.files[path]
        self.files[path] = before.replace(old.encode(), new.encode())
        assert self.files[path] != before

    def cut_short(self, offer: str, left_out: int) -> None:
        """End the answer early, as a broken connection does."""
        self.cut[_path(offer)] = left_out


def _path(offer: str) -> str:
    return f"/offers/v1.0/aws/{offer}/20261120/{REGION}/index.csv"


@contextlib.contextmanager
def price_list() -> Iterator[Served]:
    """Serve the lists of `price_list/`, each with its index of regions."""
    made = Served()
    for file in FOLDER.glob("*.csv"):
        path = _path(file.stem)
        index = {"regions": {REGION: {"regionCode": REGION, "currentVersionUrl": path.replace(".csv", ".json")}}}
        made.files[f"/offers/v1.0/aws/{file.stem}/current/region_index.json"] = json.dumps(index).encode()
        made.files[path] = file.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            body = made.files.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("content-length", str(len(body or b"")))
            self.end_headers()
            if body:
                self.wfile.write(body[: len(body) - made.cut.get(self.path, 0)])

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield made
        server.shutdown()
