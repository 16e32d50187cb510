"""The versions of a model that a stack had, kept in its state: no backend but the service's keeps past states."""

from __future__ import annotations

import getpass
import os
from datetime import UTC, datetime

from provider.finding import Made
from provider.values import Fields, Properties, plain, wrap
from provider.wanted import Wanted

MOST = 50
# What a CI system says of whom it runs for.
CI_USERS = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILD_USER_ID")


def versions(olds: Properties, wanted: Wanted, made: Made) -> Properties:
    """Return the output `versions`: what the stack had, the latest first, with what it has now."""
    before = Fields(olds)
    # A record that was read anew from the registry lists none, and knows the one that it is of.
    only = [{"digest": before.text("digest"), "inputs": before.text("inputsHash"), "at": "", "by": ""}]
    known = plain(olds["versions"]) if "versions" in olds else only if before.text("digest") else []
    if known and known[0]["digest"] == made.digest:
        return {"versions": wrap(known)}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = {"digest": made.digest, "inputs": wanted.inputs_hash, "at": now, "by": _user()}
    return {"versions": wrap([told, *known][:MOST])}


def _user() -> str:
    """Return who runs `up`: whom a CI system says it runs for, else this process's user."""
    named = next(filter(None, (os.environ.get(one) for one in CI_USERS)), None)
    try:
        return named or getpass.getuser()
    except (KeyError, OSError):
        return ""
