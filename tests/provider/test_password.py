"""Password: made once, kept as a secret, shown in no preview."""

from __future__ import annotations

import pytest
from pulumi.runtime.proto import provider_pb2
from pulumi.runtime.rpc import UNKNOWN, _special_secret_sig, _special_sig_key

from tests.provider.conftest import Provider


@pytest.fixture
def passwords(provider: Provider) -> Provider:
    return provider.of("Password")


def is_secret(value: object) -> bool:
    return isinstance(value, dict) and value.get(_special_sig_key) == _special_secret_sig


def test_each_is_another_and_a_secret(passwords: Provider) -> None:
    first, second = (passwords.create({})[1]["value"] for _ in range(2))
    assert is_secret(first)
    assert len(first["value"]) == 43
    assert first["value"] != second["value"]


def test_a_preview_knows_none(passwords: Provider) -> None:
    identifier, outputs = passwords.create({}, preview=True)
    assert identifier == ""
    assert outputs["value"] in (UNKNOWN, {_special_sig_key: _special_secret_sig, "value": UNKNOWN})


def test_a_refresh_keeps_it_and_keeps_it_secret(passwords: Provider) -> None:
    identifier, outputs = passwords.create({})
    assert passwords.read(identifier, {}, outputs) == (identifier, outputs)
    assert passwords.diff(outputs, {}).changes == provider_pb2.DiffResponse.DIFF_NONE


def test_it_takes_no_input(passwords: Provider) -> None:
    _, failures = passwords.check({"length": 8})
    assert failures == {"length": "length: is no input of Password; it takes none"}
