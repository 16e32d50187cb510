"""What a stack keeps secret is told in no form."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from ops.previews.secrets import Secrets

CANARY = "canary/of+the=house"
HOUSE = Secrets(frozenset([CANARY]))
LETTERS = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=8, max_size=40)


def test_a_secret_is_hidden_as_it_is_and_what_is_around_it_stays() -> None:
    assert HOUSE.hidden(f"the key {CANARY} is wrong") == "the key [secret] is wrong"


@given(before=st.binary(max_size=7), secret=LETTERS, after=st.binary(max_size=7))
def test_a_secret_within_base64_is_hidden_wherever_it_begins(before: bytes, secret: str, after: bytes) -> None:
    whole = before + secret.encode() + after
    for coded in (base64.b64encode(whole).decode(), base64.urlsafe_b64encode(whole).decode()):
        assert Secrets(frozenset([secret])).hidden(f"data: {coded}!") == "data: [secret]!"


@given(LETTERS)
def test_a_secret_in_json_or_an_address_is_hidden(secret: str) -> None:
    hidden = Secrets(frozenset([secret]))
    assert hidden.hidden(f"<{json.dumps(secret)}>") == '<"[secret]">'
    assert hidden.hidden(f"https://me:{quote(secret, safe='')}@host") == "https://me:[secret]@host"


def test_a_secret_in_keys_and_lists_is_hidden() -> None:
    assert HOUSE.hidden({CANARY: [{"a": CANARY}, 1, None]}) == {"[secret]": [{"a": "[secret]"}, 1, None]}


def test_each_line_of_a_private_key_is_hidden() -> None:
    begin = "-----BEGIN PRIVATE KEY-----"  # pragma: allowlist secret
    lines = [begin, "MC4CAQAwBQYDK2VwBCIEIPnotakeyatall", "-----END PRIVATE KEY-----"]
    assert "notakey" not in Secrets(frozenset(["\n".join(lines)])).hidden(f"read {lines[1]} and stopped")


def test_without_secrets_nothing_is_hidden() -> None:
    assert Secrets(frozenset()).hidden("as it is") == "as it is"


def test_tokens_of_the_environment_are_hidden_and_places_are_not() -> None:
    found = Secrets.of_environment(
        {
            "GITHUB_TOKEN": "ghs_0123456789",
            "PULUMI_CONFIG_PASSPHRASE_FILE": "/run/passphrase",
            "AWS_SECRET_ACCESS_KEY": "0123456789",
        }
    )
    assert found.values == {"ghs_0123456789", "0123456789"}
