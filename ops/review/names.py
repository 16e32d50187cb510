"""What names a review stack: a pull request's number, an owner, a time to live. What has another form is refused."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

PREFIX = "review-"
# Whose settings a review stack has where none is named.
SOURCE = "test"
# What the repositories of all review stacks lie below.
ROOM = "review"
LONGEST = timedelta(days=30)
# What CI says of who is behind a run.
ACTORS = ("GITHUB_ACTOR", "GITLAB_USER_LOGIN", "CHANGE_AUTHOR", "USER")
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,62}(\[bot\])?")
_LIFE = re.compile(r"([1-9][0-9]{0,6})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_SHOWN = 40


class UsageError(Exception):
    """What was asked for has no form that is taken; the message is one line."""


def pull_request(text: str) -> int:
    """Return a pull request's number; raises UsageError."""
    if not _NUMBER.fullmatch(text):
        raise UsageError(f"PR: {_shown(text)} is no number of a pull request (1 to 9999999999); give its digits alone")
    return int(text)


def owner(text: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Return who is asked about the stack: as given, else whom CI names, else this user; raises UsageError."""
    found = text
    if found is None:
        found = next((environ[name] for name in ACTORS if environ.get(name)), "") or getpass.getuser()
    if not _OWNER.fullmatch(found):
        raise UsageError(
            f"--owner: {_shown(found)} is none (1 to 63 of A-Z a-z 0-9 . _ @ + -); give a login or an address"
        )
    return found


def life(text: str) -> timedelta:
    """Return a time to live; raises UsageError."""
    parts = _LIFE.fullmatch(text)
    found = timedelta(seconds=int(parts[1]) * _UNITS[parts[2]]) if parts else None
    if found is None or found > LONGEST:
        raise UsageError(
            f"--ttl: {_shown(text)} is no time up to {LONGEST.days}d; write a number and s, m, h or d, as 24h"
        )
    return found


def source(text: str) -> str:
    """Return the name of the stack whose settings are taken; raises UsageError."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", text) or number_of(text) is not None:
        raise UsageError(f"--from: {_shown(text)} is no stack with settings of its own; name one, as test")
    return text


def stack_of(number: int) -> str:
    """Return the name of a pull request's stack."""
    return f"{PREFIX}{number}"


def number_of(stack: str) -> int | None:
    """Return the pull request that a stack's name, with or without its organization, names; None for another stack."""
    name = stack.rpartition("/")[2]
    digits = name.removeprefix(PREFIX)
    return int(digits) if name.startswith(PREFIX) and _NUMBER.fullmatch(digits) else None


def written(moment: datetime) -> str:
    """Return a time as marks keep it."""
    return moment.astimezone(UTC).strftime(_TIME)


def read(text: str) -> datetime:
    """Return the time that a mark keeps; raises ValueError."""
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…").encode("ascii", "backslashreplace").decode()
