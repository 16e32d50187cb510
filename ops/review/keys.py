"""The key pair of one review stack: it signs what that stack builds, and no other stack counts it.

The private half lies in the stack's own history as a secret, which the stack's secrets provider encrypts in every
backend, so that the next `up` on another machine signs with it too. With the stack it is gone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from model_build.errors import SignatureError
from model_build.supply.keys import PrivateKey, private_key
from ops.engine import Engine, EngineError

CONFIG = "review:signingKey"
PRIVATE, PUBLIC = "MODELSTACK_REVIEW_KEY", "MODELSTACK_REVIEW_PUBLIC_KEY"
_UPDATES = "100"


@dataclass(frozen=True)
class Pair:
    """A key pair in PEM; the private half does not show when printed."""

    private: str = field(repr=False)
    public: str

    @property
    def variables(self) -> dict[str, str]:
        """What settings name as env://…, for the engine's environment alone."""
        return {PRIVATE: self.private, PUBLIC: self.public}


def pair_of(aside: Engine) -> Pair:
    """Return the pair of a stack: the one that its last updates used, else a new one."""
    return _recorded(aside) or _made()


def keep(aside: Engine, settings: Path, pair: Pair) -> None:
    """Write the private half into the settings of the `up` that begins, encrypted; raises EngineError."""
    file = ("--config-file", str(settings))
    aside.on_stack("config", "set", "--secret", CONFIG, *file, stdin=pair.private)


def _recorded(aside: Engine) -> Pair | None:
    try:
        told = aside.on_stack("stack", "history", "--json", "--show-secrets", "--page-size", _UPDATES)
        updates = json.loads(told)
    except (EngineError, ValueError):
        # Without the old one what it signed is built anew from cached steps; an `up` need not fail for that.
        return None
    found = (((one.get("config") or {}).get(CONFIG) or {}).get("value") for one in updates or ())
    return next((pair for one in found if one and (pair := _read(str(one)))), None)


def _read(private: str) -> Pair | None:
    try:
        return _pair(private_key(f"env://{PRIVATE}", {PRIVATE: private}))
    except SignatureError:
        return None


def _made() -> Pair:
    return _pair(PrivateKey(ec.generate_private_key(ec.SECP256R1())))


def _pair(key: PrivateKey) -> Pair:
    pem = key.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(pem.decode().strip(), key.public.pem.decode())
