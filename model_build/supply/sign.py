"""Signs an image that is in a registry: its digest, and the inputs it was made from."""

from model_build.errors import SignatureError
from model_build.supply.claim import INPUTS
from model_build.supply.keys import PrivateKey
from model_build.supply.simple_signing import SimpleSigned, payload
from model_build.supply.subject import Subject
from model_build.supply.verify import verify


def sign(subject: Subject, key: PrivateKey, inputs: str | None) -> bool:
    """Attach a signature of `subject` and its inputs hash; returns whether there was none by `key` before."""
    if is_signed(subject, key, inputs):
        return False
    content = payload(subject.name, subject.digest, {INPUTS: inputs} if inputs else {})
    subject.add_signature(SimpleSigned(content, key.sign(content)))
    return True


def is_signed(subject: Subject, key: PrivateKey, inputs: str | None) -> bool:
    """Return whether `key` signed `subject` for these inputs."""
    try:
        verify(subject, [key.public], inputs)
    except SignatureError:
        return False
    return True
