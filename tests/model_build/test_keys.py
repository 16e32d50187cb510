"""Key pairs: made once, opened with their passphrase, in cosign's form and in PKCS#8."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from model_build.errors import SignatureError
from model_build.places import ROOT
from model_build.supply.keys import PASSPHRASE, make_pair, private_key, public_key

PHRASE = "a phrase for tests"
OPENS = {PASSPHRASE: PHRASE}


def pkcs8(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, passphrase: str = "") -> bytes:
    hidden = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)


def test_what_a_private_key_signs_its_public_half_verifies(tmp_path: Path) -> None:
    made = make_pair(tmp_path / "release", PHRASE)
    key, public = private_key(str(made.private), OPENS), public_key(str(made.public))
    assert public.verifies(key.sign(b"content"), b"content")
    assert not public.verifies(key.sign(b"content"), b"other content")
    assert public.fingerprint == key.public.fingerprint == made.fingerprint


def test_another_pair_does_not_verify(tmp_path: Path) -> None:
    one, other = (make_pair(tmp_path / name, "") for name in ("one", "other"))
    signature = private_key(str(one.private), {}).sign(b"content")
    assert not public_key(str(other.public)).verifies(signature, b"content")


def test_what_is_no_signature_does_not_verify(tmp_path: Path) -> None:
    made = make_pair(tmp_path / "release", "")
    assert not public_key(str(made.public)).verifies(b"not a signature", b"content")


def test_a_private_key_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    assert make_pair(tmp_path / "release", "").private.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("ending", ["key", "pub"])
def test_a_pair_never_overwrites_a_file(tmp_path: Path, ending: str) -> None:
    kept = tmp_path / f"release.{ending}"
    kept.write_text("kept")
    with pytest.raises(SignatureError, match=rf"release\.{ending}: is there already and is never overwritten"):
        make_pair(tmp_path / "release", "")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]


def test_a_private_key_does_not_show_when_printed(tmp_path: Path) -> None:
    made = make_pair(tmp_path / "release", "")
    assert repr(private_key(str(made.private), {})) == f"PrivateKey({made.fingerprint})"


def test_the_file_holds_neither_the_key_nor_the_passphrase(tmp_path: Path) -> None:
    made = make_pair(tmp_path / "release", PHRASE)
    assert made.private.read_text().startswith("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
    with pytest.raises(SignatureError, match="the passphrase is another"):
        private_key(str(made.private), {})


@pytest.mark.parametrize("passphrase", ["", PHRASE])
def test_a_private_key_in_pkcs8_opens_too(tmp_path: Path, passphrase: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "own.pem").write_bytes(pkcs8(key, passphrase))
    assert private_key(str(tmp_path / "own.pem"), OPENS).public.key == key.public_key()


@pytest.mark.parametrize("given", [{}, {PASSPHRASE: "another"}])
def test_a_key_in_pkcs8_stays_shut_without_its_passphrase(tmp_path: Path, given: dict[str, str]) -> None:
    (tmp_path / "own.pem").write_bytes(pkcs8(ec.generate_private_key(ec.SECP256R1()), PHRASE))
    with pytest.raises(SignatureError, match=r"own\.pem: cannot be opened .*give its passphrase in COSIGN_PASSWORD"):
        private_key(str(tmp_path / "own.pem"), given)


def test_a_key_can_stand_in_a_variable(tmp_path: Path) -> None:
    made = make_pair(tmp_path / "release", "")
    found = private_key("env://SIGNING_KEY", {"SIGNING_KEY": made.private.read_text()})
    assert found.public.fingerprint == made.fingerprint


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(SignatureError, match="env://SIGNING_KEY: SIGNING_KEY is not set"):
        private_key("env://SIGNING_KEY", {})


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)])
def test_a_key_of_another_kind_is_refused(tmp_path: Path, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    (tmp_path / "own.pem").write_bytes(pkcs8(key))
    with pytest.raises(SignatureError, match="wanted is ECDSA on P-256"):
        private_key(str(tmp_path / "own.pem"), {})


@pytest.mark.parametrize(
    "content", [b"", b"not a key", b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\ne30=\n-----END"]
)
def test_a_file_that_holds_no_key_is_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "own.pem").write_bytes(content)
    for load in (private_key, public_key):
        with pytest.raises(SignatureError, match=r"own\.pem: ") as caught:
            load(str(tmp_path / "own.pem"), {})
        assert "\n" not in str(caught.value)


def test_a_key_file_that_asks_for_all_memory_is_refused(tmp_path: Path) -> None:
    made = make_pair(tmp_path / "release", "")
    lines = made.private.read_text().splitlines()
    told = json.loads(base64.b64decode("".join(lines[1:-1])))
    told["kdf"]["params"]["N"] = 1 << 20
    body = base64.b64encode(json.dumps(told).encode()).decode()
    made.private.write_text("\n".join([lines[0], body, lines[-1]]))
    with pytest.raises(SignatureError, match="less than or equal to 262144"):
        private_key(str(made.private), {})


def keys(folder: Path, *arguments: str, passphrase: str = "") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "model_build", "keys", str(folder / "release"), *arguments]
    return subprocess.run(command, cwd=ROOT, env={PASSPHRASE: passphrase}, capture_output=True, text=True, check=False)


def test_the_command_tells_where_the_pair_lies(tmp_path: Path) -> None:
    done = keys(tmp_path, "--json", passphrase=PHRASE)
    told = json.loads(done.stdout)
    assert private_key(told["private"], OPENS).public.fingerprint == told["fingerprint"]
    assert public_key(told["public"]).fingerprint == told["fingerprint"]
    assert told["passphrase"] is True


def test_the_command_says_that_a_key_has_no_passphrase(tmp_path: Path) -> None:
    assert "the private key has no passphrase" in keys(tmp_path).stdout


def test_the_command_ends_with_8_where_a_pair_is_there(tmp_path: Path) -> None:
    assert keys(tmp_path).returncode == 0
    done = keys(tmp_path, "--json")
    assert (done.returncode, json.loads(done.stdout)["kind"]) == (8, "signature")
