"""Certificates, checked by openssl."""

import subprocess
from pathlib import Path

import pytest

from local import pki


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("made") / "pki"
    pki.make(made)
    return made


def _openssl(*arguments: str) -> str:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("certificate", pki.CERTIFICATES, ids=lambda one: one.name)
def test_a_certificate_verifies_against_its_authority_alone(folder: Path, certificate: pki.Certificate) -> None:
    for authority in pki.AUTHORITIES:
        command = ["openssl", "verify", "-CAfile", f"{folder}/{authority}.crt", f"{folder}/{certificate.name}.crt"]
        verifies = subprocess.run(command, capture_output=True, check=False).returncode == 0
        assert verifies == (authority == certificate.authority)


@pytest.mark.parametrize("name", ["kubernetes.default.svc", "127.0.0.1", "10.96.0.1"])
def test_the_api_server_is_valid_under_the_names_clients_use(folder: Path, name: str) -> None:
    check = "-checkip" if name[0].isdigit() else "-checkhost"
    told = _openssl("x509", "-in", f"{folder}/apiserver.crt", "-noout", check, name)
    assert "does match certificate" in told


def test_the_administrator_is_in_the_group_that_may_do_everything(folder: Path) -> None:
    assert "O = system:masters" in _openssl("x509", "-in", f"{folder}/admin.crt", "-noout", "-subject")


def test_keys_are_for_their_owner_alone(folder: Path) -> None:
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.key")} == {0o600}


def test_certificates_are_made_once(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.glob("*.crt")}
    pki.make(folder)
    assert {path.name: path.read_bytes() for path in folder.glob("*.crt")} == before


def test_a_certificate_whose_making_was_cut_off_is_made_again(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "admin.crt").unlink()
    (tmp_path / "admin.key").write_text("half")
    pki.make(tmp_path)
    assert "OK" in _openssl("verify", "-CAfile", f"{tmp_path}/ca.crt", f"{tmp_path}/admin.crt")
    public = _openssl("pkey", "-in", f"{tmp_path}/admin.key", "-pubout")
    assert public == _openssl("x509", "-in", f"{tmp_path}/admin.crt", "-noout", "-pubkey")
