"""The ways a message goes: a webhook, Slack, e-mail. No error of theirs shows an address, which is secret."""

from __future__ import annotations

import html
import json
import queue
import smtplib
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from ops.messages import Message
from settings import EmailSettings, NotificationSettings
from settings.notifications import is_loopback

ALL_SECONDS = 25.0
SECONDS = 5.0
TRIES = 3
# Whoever answers so may take it in a moment. A wait that the other side asks for has no bound here.
RETRIES = urllib3.Retry(
    total=TRIES - 1,
    redirect=0,
    backoff_factor=0.5,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,
    raise_on_status=False,
    raise_on_redirect=False,
    respect_retry_after_header=False,
)
SLACK_CHARACTERS = 3000


class WayError(Exception):
    """A message was not taken; the message says by whom and why."""


def send(chosen: NotificationSettings, message: Message) -> dict[str, str]:
    """Send a message by every way that is chosen, at once; returns what went wrong: way → reason."""
    ways: dict[str, Callable[[Message], None]] = {}
    if chosen.webhook:
        ways["webhook"] = partial(webhook, chosen.webhook.get_secret_value())
    if chosen.slack:
        ways["slack"] = partial(slack, chosen.slack.get_secret_value())
    if chosen.email:
        ways["email"] = partial(email, chosen.email)
    ended: queue.Queue[tuple[str, str]] = queue.Queue()
    for name, way in ways.items():
        threading.Thread(target=_try, args=(name, partial(way, message), ended), daemon=True).start()
    return _failed(set(ways), ended)


def _try(name: str, way: Callable[[], None], ended: queue.Queue[tuple[str, str]]) -> None:
    try:
        way()
    except WayError as error:
        ended.put((name, str(error)))
    except Exception as error:
        # Whatever it is, the command goes on; its text may hold the address.
        ended.put((name, type(error).__name__))
    else:
        ended.put((name, ""))


def _failed(waiting: set[str], ended: queue.Queue[tuple[str, str]]) -> dict[str, str]:
    until = time.monotonic() + ALL_SECONDS
    failed: dict[str, str] = {}
    while waiting:
        try:
            name, reason = ended.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return failed | dict.fromkeys(sorted(waiting), f"no answer after {ALL_SECONDS:.0f} s")
        waiting = waiting - {name}
        if reason:
            failed[name] = reason
    return failed


def webhook(url: str, message: Message) -> None:
    """Post a message as JSON; raises WayError."""
    _post(url, message.payload())


def slack(url: str, message: Message) -> None:
    """Post a message to an incoming webhook of Slack; raises WayError."""
    # https://docs.slack.dev/messaging/formatting-message-text: these three characters alone are its own.
    text = html.escape("\n".join([message.title, *message.lines()]), quote=False)[:SLACK_CHARACTERS]
    _post(url, {"text": text})


def _post(url: str, body: Mapping[str, Any]) -> None:
    host, proxy = urlsplit(url).hostname, proxy_of(url)
    options: dict[str, Any] = {"timeout": urllib3.Timeout(total=SECONDS), "retries": RETRIES}
    with urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options) as pool:
        try:
            answer = pool.request("POST", url, body=json.dumps(body), headers={"content-type": "application/json"})
        except urllib3.exceptions.HTTPError as error:
            # Its text holds the path.
            raise WayError(f"{host}: {type(getattr(error, 'reason', None) or error).__name__}") from None
    if not 200 <= answer.status < 300:
        raise WayError(f"{host}: status {answer.status}")


def proxy_of(url: str) -> str | None:
    """Return the proxy that the environment names for `url`, but for NO_PROXY and this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)


def email(chosen: EmailSettings, message: Message) -> None:
    """Send a message by mail; raises WayError."""
    host, _ = chosen.address
    mail = _mail(chosen, message)
    for attempt in range(1, TRIES + 1):
        try:
            return _deliver(chosen, mail)
        except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused) as error:
            # A refusal for good is told at once; 4xx is one for now.
            code = getattr(error, "smtp_code", 500)
            if attempt == TRIES or code >= 500:
                raise WayError(f"{host}: {type(error).__name__} {code}") from None
        except (OSError, smtplib.SMTPException) as error:
            if attempt == TRIES:
                raise WayError(f"{host}: {type(error).__name__}") from None
        time.sleep(0.5 * attempt)
    return None


def _mail(chosen: EmailSettings, message: Message) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = chosen.sender, ", ".join(chosen.to), message.title
    mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain=chosen.sender.rpartition("@")[2])
    # Nobody's absence is answered to it.
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n".join(message.lines()) + "\n")
    return mail


def _deliver(chosen: EmailSettings, mail: EmailMessage) -> None:
    host, port = chosen.address
    trusted = ssl.create_default_context()
    if chosen.tls == "implicit":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=trusted)
    else:
        server = smtplib.SMTP(host, port, timeout=SECONDS)
    with server:
        if chosen.tls == "starttls":
            server.starttls(context=trusted)
        if chosen.user and chosen.password:
            server.login(chosen.user, chosen.password.get_secret_value())
        server.send_message(mail)
