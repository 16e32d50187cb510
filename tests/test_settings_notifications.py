"""Whom a stack tells: what is read, and that no error shows an address."""

from __future__ import annotations

import json
from typing import Any

import pytest

from settings import SettingsError, load_notifications
from settings.notifications import ALL
from tests.test_settings import load, refused

URL = "https://hooks.example.com/sesame"
MAIL = {"server": "smtp.example.com:587", "sender": "ops@example.com", "to": ["team@example.com"]}
HALF = {"password": "sesame-of-mail"}  # pragma: allowlist secret


def test_a_stack_tells_nobody_unless_it_says_whom() -> None:
    assert not load().notifications.named
    assert load(notifications={"slack": URL}).notifications.named


def test_all_kinds_are_told_unless_some_are_chosen() -> None:
    assert load(notifications={"slack": URL}).notifications.on == ALL
    assert load(notifications={"slack": URL, "on": ["drift"]}).notifications.on == ("drift",)


def test_an_address_is_not_shown_with_the_settings() -> None:
    assert "sesame" not in repr(load(notifications={"slack": URL, "webhook": URL}))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"slack": "hooks.example.com/sesame"}, "notifications.slack: is no http or https URL"),
        ({"webhook": "http://hooks.example.com/sesame"}, "notifications.webhook: is plain http"),
        ({"webhook": {"url": "sesame"}}, "notifications.webhook: "),
        ({"slak": "sesame"}, "notifications.slak: is no known key, did you mean `slack`"),
        ({"slack": URL, "on": ["sesame"]}, "notifications.on.0: "),
        ({"email": {**MAIL, "server": "sesame"}}, "notifications.email.server: "),
        ({"email": {**MAIL, "tls": "none"}}, "tls: none sends to smtp.example.com in clear"),
        ({"email": {**MAIL, **HALF}}, "names one of user and password; add the other"),
        ({"email": {**MAIL, "to": ["a@b.example\nBcc: sesame@example.com"]}}, "notifications.email.to.0: "),
    ],
)
def test_what_cannot_be_used_is_refused_without_its_value(given: dict[str, Any], told: str) -> None:
    said = refused(notifications=given)
    assert told in said
    assert "sesame" not in said


def test_what_is_no_mapping_is_refused_without_its_value() -> None:
    with pytest.raises(SettingsError, match="is plain text; write a mapping") as caught:
        load_notifications("https://sesame", "dev")
    assert "sesame" not in str(caught.value)


def test_whom_to_tell_is_known_though_other_settings_be_wrong() -> None:
    assert load_notifications(json.dumps({"slack": URL}), "dev").named
    assert not load_notifications("{}", "dev").named
    assert not load_notifications("", "dev").named
