"""cosign's private key files: PKCS#8 in a NaCl secret box, whose key scrypt stretches from a passphrase.

The form is that of go-securesystemslib's package `encrypted`: JSON in PEM, binary fields in base64.
"""

import base64
import hashlib
import json
import re
import secrets
import textwrap
from typing import Literal

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from pydantic import Base64Bytes, Field

from model_build.supply.part import Part

_PEM = re.compile(rb"-----BEGIN ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY-----(.*?)-----END", re.DOTALL)
_TITLE = "ENCRYPTED SIGSTORE PRIVATE KEY"
_SALT_BYTES = 32


class _Cost(Part):
    # A key file must not take this machine's memory: 128 * N * r bytes, which is 64 MiB in those of cosign.
    N: int = Field(default=65536, ge=2, le=1 << 18)
    r: int = Field(default=8, ge=1, le=8)
    p: int = Field(default=1, ge=1, le=16)


class _Stretching(Part):
    name: Literal["scrypt"]
    params: _Cost
    salt: Base64Bytes


class _Cipher(Part):
    name: Literal["nacl/secretbox"]
    nonce: Base64Bytes


class _Sealed(Part):
    kdf: _Stretching
    cipher: _Cipher
    ciphertext: Base64Bytes


def decrypted(pem: bytes, passphrase: bytes) -> bytes | None:
    """Return the PKCS#8 (DER) in cosign's file, None where `pem` is another kind of file; raises ValueError."""
    found = _PEM.search(pem)
    if not found:
        return None
    sealed = _Sealed.model_validate_json(base64.b64decode(found.group(1)))
    try:
        return _box(passphrase, sealed.kdf.salt, sealed.kdf.params).decrypt(sealed.ciphertext, sealed.cipher.nonce)
    except CryptoError as error:
        raise ValueError("the passphrase is another") from error


def encrypted(der: bytes, passphrase: bytes) -> bytes:
    """Return cosign's file of a private key; like cosign it takes an empty passphrase too."""
    nonce, salt, cost = secrets.token_bytes(SecretBox.NONCE_SIZE), secrets.token_bytes(_SALT_BYTES), _Cost()
    told = {
        "kdf": {"name": "scrypt", "params": cost.model_dump(), "salt": _base64(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": _base64(nonce)},
        "ciphertext": _base64(_box(passphrase, salt, cost).encrypt(der, nonce).ciphertext),
    }
    body = "\n".join(textwrap.wrap(_base64(json.dumps(told).encode()), 64))
    return f"-----BEGIN {_TITLE}-----\n{body}\n-----END {_TITLE}-----\n".encode()


def _box(passphrase: bytes, salt: bytes, cost: _Cost) -> SecretBox:
    memory = 128 * cost.r * (cost.N + cost.p + 2)
    return SecretBox(
        hashlib.scrypt(passphrase, salt=salt, n=cost.N, r=cost.r, p=cost.p, maxmem=memory, dklen=SecretBox.KEY_SIZE)
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
