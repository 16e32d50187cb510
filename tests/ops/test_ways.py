"""Messages to a real web server and a real mail server, and what is told where they are not taken."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops import ways
from ops.messages import Event, Message
from settings import NotificationSettings
from tests.receivers import Mailbox, certificate, hook, mailbox

MESSAGE = Message.of(Event("up-failed", "a < b & c", {"digits": "sha256:1f"}), "shop", "prod", set())
MAIL = {"sender": "ops@example.com", "to": ["team@example.com", "lead@example.com"], "tls": "none"}


def chosen(**given: Any) -> NotificationSettings:
    return NotificationSettings.model_validate_json(json.dumps(given))


def by_mail(box: Mailbox, **given: Any) -> dict[str, str]:
    return ways.send(chosen(email={**MAIL, "server": box.address, **given}), MESSAGE)


def test_a_webhook_is_posted_every_field() -> None:
    with hook() as there:
        assert ways.send(chosen(webhook=there.url), MESSAGE) == {}
    (body,) = there.bodies
    assert set(body) == {"version", "project", "stack", "kind", "reason", "images", "run", "time"}
    assert (body["stack"], body["kind"], body["images"]) == ("prod", "up-failed", {"digits": "sha256:1f"})


def test_slack_is_posted_a_text_in_which_nothing_is_markup() -> None:
    with hook() as there:
        assert ways.send(chosen(slack=there.url), MESSAGE) == {}
    assert there.bodies == [{"text": "shop/prod: up failed\na &lt; b &amp; c\ndigits: sha256:1f"}]


def test_a_server_that_is_busy_is_asked_again_soon_whatever_time_it_names() -> None:
    with hook() as there:
        there.statuses = [503, 429]
        began = time.monotonic()
        assert ways.send(chosen(webhook=there.url), MESSAGE) == {}
    assert len(there.bodies) == 3
    assert time.monotonic() - began < ways.ALL_SECONDS


@pytest.mark.parametrize(("status", "tries"), [(500, 3), (403, 1)])
def test_a_server_that_refuses_is_told_of_without_its_address(status: int, tries: int) -> None:
    with hook() as there:
        there.statuses = [status] * 3
        assert ways.send(chosen(webhook=there.url), MESSAGE) == {"webhook": f"127.0.0.1: status {status}"}
    assert len(there.bodies) == tries


def test_a_message_is_not_passed_on_to_where_a_redirect_leads() -> None:
    with hook() as other, hook() as there:
        there.statuses, there.location = [307], other.url
        assert ways.send(chosen(webhook=there.url), MESSAGE) == {"webhook": "127.0.0.1: status 307"}
    assert other.bodies == []


def test_a_server_that_is_away_is_told_of_without_its_address() -> None:
    with hook() as there:
        pass
    failed = ways.send(chosen(webhook=there.url), MESSAGE)
    assert failed == {"webhook": "127.0.0.1: NewConnectionError"}


def test_who_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "ALL_SECONDS", 0.2)
    monkeypatch.setattr(ways, "webhook", lambda _url, _message: time.sleep(5))
    with hook() as there:
        assert ways.send(chosen(webhook="http://127.0.0.1:1", slack=there.url), MESSAGE) == {
            "webhook": "no answer after 0 s"
        }
    assert len(there.bodies) == 1


def test_a_mail_names_the_stack_and_reaches_everyone() -> None:
    with mailbox() as box:
        assert by_mail(box) == {}
    (mail,) = box.mails
    assert mail["Subject"] == "shop/prod: up failed"
    assert mail.get_content() == "a < b & c\ndigits: sha256:1f\n"
    assert box.envelopes == [("ops@example.com", ["team@example.com", "lead@example.com"])]


def test_a_login_is_sent_after_tls_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pair))
    with mailbox(pair) as box:
        assert by_mail(box, tls="starttls", user="me", password="hunter2hunter2") == {}  # pragma: allowlist secret
    assert box.logins == ["\0me\0hunter2hunter2"]
    assert box.encrypted == [True]


def test_a_mail_server_without_tls_is_sent_nothing_where_tls_is_asked_for() -> None:
    with mailbox() as box:
        assert by_mail(box, tls="starttls") == {"email": "127.0.0.1: SMTPNotSupportedError"}
    assert box.mails == []


def test_a_mail_server_nobody_vouches_for_is_sent_nothing(tmp_path: Path) -> None:
    with mailbox(certificate(tmp_path)) as box:
        assert by_mail(box, tls="starttls") == {"email": "127.0.0.1: SSLCertVerificationError"}
    assert box.mails == []


def test_a_mail_that_is_refused_for_now_is_sent_again() -> None:
    with mailbox() as box:
        box.refusals = ["451 later"]
        assert by_mail(box) == {}
    assert (box.tried, len(box.mails)) == (2, 1)


def test_a_mail_that_is_refused_for_good_is_told_at_once() -> None:
    with mailbox() as box:
        box.refusals = ["550 never"]
        assert by_mail(box) == {"email": "127.0.0.1: SMTPSenderRefused 550"}
    assert box.tried == 1


def test_a_title_of_two_lines_makes_no_header(monkeypatch: pytest.MonkeyPatch) -> None:
    with mailbox() as box:
        settings = chosen(email={**MAIL, "server": box.address})
        failed = ways.send(settings, replace(MESSAGE, stack="prod\nBcc: other@example.com"))
    assert failed == {"email": "ValueError"}
    assert box.mails == []


def test_the_environments_proxy_is_used_but_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert ways.proxy_of("https://hooks.example.com/x") == "http://proxy.example:3128"
    assert ways.proxy_of("https://inside.example/x") is None
    assert ways.proxy_of("http://127.0.0.1:8080/x") is None
