"""Key pairs that sign images: ECDSA on P-256 over SHA-256, which is what cosign makes and reads."""

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from model_build.errors import SignatureError
from model_build.supply import cosign_key

# cosign's own name for it, so that one setting serves both.
PASSPHRASE = "COSIGN_PASSWORD"  # noqa: S105 (a variable's name)
VARIABLE = "env://"
_ALGORITHM = ec.ECDSA(hashes.SHA256())
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)


@dataclass(frozen=True)
class PublicKey:
    """What tells whether a signature was made by one key pair."""

    key: ec.EllipticCurvePublicKey

    @cached_property
    def pem(self) -> bytes:
        """The key as a file holds it."""
        return self.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    @cached_property
    def fingerprint(self) -> str:
        """What people tell keys apart by: base64 of the sha256 of the key's DER form."""
        der = self.key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return f"SHA256:{base64.b64encode(hashlib.sha256(der).digest()).decode().rstrip('=')}"

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        """Return whether `signature` (DER) over `signed` was made by this pair."""
        try:
            self.key.verify(signature, signed, _ALGORITHM)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class PrivateKey:
    """What signs; it does not show when printed."""

    key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.fingerprint})"

    @cached_property
    def public(self) -> PublicKey:
        """The half that may be known."""
        return PublicKey(self.key.public_key())

    def sign(self, content: bytes) -> bytes:
        """Return the signature (DER) over `content`."""
        return self.key.sign(content, _ALGORITHM)


@dataclass(frozen=True)
class Pair:
    """Where a new pair lies."""

    private: Path
    public: Path
    fingerprint: str


def make_pair(prefix: Path, passphrase: str) -> Pair:
    """Write PREFIX.key (mode 0600, in cosign's format) and PREFIX.pub; raises SignatureError where one is there."""
    key = PrivateKey(ec.generate_private_key(ec.SECP256R1()))
    der = key.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    private, public = (prefix.with_name(f"{prefix.name}.{ending}") for ending in ("key", "pub"))
    for path in (private, public):
        if path.exists():
            raise SignatureError(f"{path}: is there already and is never overwritten; move it or name another prefix")
    _write(private, cosign_key.encrypted(der, passphrase.encode()), 0o600)
    _write(public, key.public.pem, 0o644)
    return Pair(private, public, key.public.fingerprint)


def private_key(reference: str, environ: Mapping[str, str] = os.environ) -> PrivateKey:
    """Return the key in the file or `env://NAME` that `reference` names; raises SignatureError."""
    pem = _read(reference, environ)
    try:
        der = cosign_key.decrypted(pem, environ.get(PASSPHRASE, "").encode())
        found = serialization.load_der_private_key(der, None) if der else _plain(pem, environ)
    except _UNREADABLE as error:
        raise SignatureError(
            f"{reference}: cannot be opened as a private key ({error}); name a PEM file of PKCS#8 or of cosign, and "
            f"give its passphrase in {PASSPHRASE}"
        ) from error
    if not isinstance(found, ec.EllipticCurvePrivateKey) or not isinstance(found.curve, ec.SECP256R1):
        raise _wrong_kind(reference, found)
    return PrivateKey(found)


def public_key(reference: str, environ: Mapping[str, str] = os.environ) -> PublicKey:
    """Return the key in the file or `env://NAME` that `reference` names; raises SignatureError."""
    try:
        found = serialization.load_pem_public_key(_read(reference, environ))
    except _UNREADABLE as error:
        raise SignatureError(f"{reference}: holds no public key in PEM; name the .pub file of the pair") from error
    if not isinstance(found, ec.EllipticCurvePublicKey) or not isinstance(found.curve, ec.SECP256R1):
        raise _wrong_kind(reference, found)
    return PublicKey(found)


def fingerprints(keys: Sequence[PublicKey]) -> str:
    """Return what errors and lists call `keys`."""
    return ", ".join(key.fingerprint for key in keys)


def _plain(pem: bytes, environ: Mapping[str, str]) -> object:
    # The library refuses a passphrase that a key does not need.
    passphrase = environ.get(PASSPHRASE, "").encode() if b"ENCRYPTED" in pem else None
    return serialization.load_pem_private_key(pem, passphrase)


def _read(reference: str, environ: Mapping[str, str]) -> bytes:
    if reference.startswith(VARIABLE):
        name = reference.removeprefix(VARIABLE)
        if not environ.get(name):
            raise SignatureError(f"{reference}: {name} is not set; set it to the key in PEM, or name a file")
        return environ[name].encode()
    try:
        return Path(reference).expanduser().read_bytes()
    except OSError as error:
        raise SignatureError(
            f"{reference}: cannot be read ({error.strerror}); make a pair with `python -m model_build keys PREFIX`, "
            "or correct the path"
        ) from error


def _wrong_kind(reference: str, found: object) -> SignatureError:
    return SignatureError(f"{reference}: is a {type(found).__name__}, wanted is ECDSA on P-256; name another key")


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        raise SignatureError(f"{path}: cannot be written ({error.strerror}); name another prefix") from error
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
