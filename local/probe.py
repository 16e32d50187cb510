"""Asks for the health of parts from inside their network namespace; a program of its own, of the standard library."""

import json
import socket
import ssl
import struct
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor

SECONDS = 3.0


def ask(target: str) -> str:
    """Ask one `http(s)://…` or `dns://SERVER/NAME`; returns what is wrong, or an empty text."""
    try:
        if target.startswith("dns://"):
            server, _, name = target.removeprefix("dns://").partition("/")
            return _resolve(server, name)
        # Certificates of the parts' own making, on loopback: what counts is the answer.
        context = ssl._create_unverified_context() if target.startswith("https") else None  # noqa: S323, SLF001
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(target, timeout=SECONDS):
            return ""
    except (OSError, ValueError) as error:
        return " ".join(str(error).split())


def _resolve(server: str, name: str) -> str:
    labels = b"".join(struct.pack("B", len(label)) + label.encode() for label in name.split("."))
    query = struct.pack(">HHHHHH", 1, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(SECONDS)
        asked.connect((server, 53))
        asked.send(query)
        answer = asked.recv(512)
    code, answers = answer[3] & 0x0F, struct.unpack(">H", answer[6:8])[0]
    return "" if code == 0 and answers else f"{name}: answer code {code} with {answers} addresses"


def main() -> None:
    """Read a JSON mapping name → target from the first argument; print name → what is wrong."""
    targets: dict[str, str] = json.loads(sys.argv[1])
    with ThreadPoolExecutor(len(targets) or 1) as pool:
        print(json.dumps(dict(zip(targets, pool.map(ask, targets.values()), strict=True))))


if __name__ == "__main__":
    main()
