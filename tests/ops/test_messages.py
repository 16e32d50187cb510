"""What a message says, and that no secret of the configuration stands in it."""

from __future__ import annotations

import base64

import pytest

from ops.messages import TITLES, Event, Message, run_url, secrets_of
from settings.notifications import ALL

URL = "https://hooks.example.com/T0/B0/canary-of-the-hook"
MAIL = {"password": "canary-of-the-mail"}  # pragma: allowlist secret
CONFIG = {
    "modelstack:notifications": {
        "value": "{…}",
        "objectValue": {"slack": URL, "on": ["drift"], "email": MAIL},
        "secret": True,
    },
    "other:token": {"value": "canary-of-the-token", "secret": True},
    "modelstack:models": {"value": "{}", "objectValue": {"digits": "in the open"}, "secret": False},
}


def message(reason: str, **images: str) -> Message:
    return Message.of(Event("up-failed", reason, images), "shop", "prod", secrets_of(CONFIG))


@pytest.mark.parametrize("secret", [URL, "canary-of-the-mail", "canary-of-the-token"])
def test_no_secret_of_the_configuration_is_sent_plain_or_in_base64(secret: str) -> None:
    encoded = base64.b64encode(secret.encode()).decode()
    sent = str(message(f"post {secret}: refused ({encoded})", digits=f"{secret}@sha256:1f").payload())
    assert "canary" not in sent
    assert encoded not in sent
    assert "post [secret]: refused ([secret])" in sent


def test_what_is_no_secret_stays() -> None:
    assert message("drift in the open").reason == "drift in the open"


def test_a_long_reason_is_cut() -> None:
    assert len(message("x" * 5000).reason) == 1001


def test_every_kind_that_settings_know_has_a_title() -> None:
    assert set(ALL) <= set(TITLES)


@pytest.mark.parametrize(
    ("environ", "url"),
    [
        (
            {"GITHUB_RUN_ID": "7", "GITHUB_SERVER_URL": "https://git.example", "GITHUB_REPOSITORY": "a/b"},
            "https://git.example/a/b/actions/runs/7",
        ),
        ({"CI_JOB_URL": "https://gitlab.example/jobs/7"}, "https://gitlab.example/jobs/7"),
        ({"BUILD_URL": "https://jenkins.example/7/"}, "https://jenkins.example/7/"),
        ({"TRAVIS_JOB_WEB_URL": "https://travis.example/7"}, "https://travis.example/7"),
        ({}, None),
    ],
    ids=["GitHub", "GitLab", "Jenkins", "Travis", "a terminal"],
)
def test_the_run_of_each_ci_is_named(environ: dict[str, str], url: str | None) -> None:
    assert run_url(environ) == url
