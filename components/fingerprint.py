"""A short name for what a program reads when it starts."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def fingerprint(read: Any) -> str:
    """Return 16 hex digits of plain values; what carries them is replaced when one of the values changes."""
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()[:16]
