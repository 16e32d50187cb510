"""What people are told of a stack: an event as it is sent, without a secret in it."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from settings.notifications import ALL

TEST = "test"
TITLES = {
    "up-failed": "up failed",
    "destroy-failed": "destroy failed",
    "canary-refused": "a new version was refused",
    "drift": "drift",
    "reaped": "was reaped",
    TEST: "a test of its notifications",
}
VERSION = 1
REASON_CHARACTERS = 1000
SHORTEST_SECRET = 6
HIDDEN = "[secret]"


@dataclass(frozen=True)
class Event:
    """What happened: its kind (one of TITLES), why, and the images of the models it is about, by digest."""

    kind: str
    reason: str
    images: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Message:
    """An event as it is sent; `run` is the page of the CI run, `time` in RFC 3339."""

    version: int
    project: str
    stack: str
    kind: str
    reason: str
    images: Mapping[str, str]
    run: str | None
    time: str

    @classmethod
    def of(cls, event: Event, project: str, stack: str, secrets: set[str]) -> Message:
        """Return what is sent of an event: without these secrets, and not too long."""
        reason = without_secrets(" ".join(event.reason.split()), secrets)
        if len(reason) > REASON_CHARACTERS:
            reason = f"{reason[:REASON_CHARACTERS]}…"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        images = {model: without_secrets(image, secrets) for model, image in sorted(event.images.items())}
        return cls(VERSION, project, stack, event.kind, reason, images, run_url(), now)

    @property
    def title(self) -> str:
        """The first line of it."""
        return f"{self.project}/{self.stack}: {TITLES[self.kind]}"

    def lines(self) -> list[str]:
        """Return the rest of it."""
        about = [f"{model}: {image}" for model, image in self.images.items()]
        return [self.reason, *about, *([self.run] if self.run else [])]

    def payload(self) -> dict[str, Any]:
        """Return it as a webhook is sent it."""
        return asdict(self)


def secrets_of(config: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the texts of a configuration's secrets, as `pulumi config --show-secrets --json` shows it."""
    shown = (one.get("objectValue", one.get("value")) for one in config.values() if one.get("secret"))
    # A mapping that holds a secret is one as a whole, its kinds of events among it.
    return {text for value in shown for text in _texts(value) if len(text) >= SHORTEST_SECRET and text not in ALL}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _texts(one)


def without_secrets(text: str, secrets: set[str]) -> str:
    """Return a text in which no secret stands, nor its base64."""
    for one in sorted(secrets, key=len, reverse=True):
        for form in (one, base64.b64encode(one.encode()).decode()):
            text = text.replace(form, HIDDEN)
    return text


def run_url(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the page of the CI run that this is; None elsewhere."""
    if environ.get("GITHUB_RUN_ID"):
        server, repository = (
            environ.get("GITHUB_SERVER_URL", "https://github.com"),
            environ.get("GITHUB_REPOSITORY", ""),
        )
        return f"{server}/{repository}/actions/runs/{environ['GITHUB_RUN_ID']}"
    # GitLab, Jenkins, Travis.
    return next(
        (environ[name] for name in ("CI_JOB_URL", "BUILD_URL", "TRAVIS_JOB_WEB_URL") if environ.get(name)), None
    )
