"""What a ModelImage asks for: its inputs validated, and the hash that decides whether anything is built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.provider import CheckFailure

from model_build import inputs as build_inputs
from model_build import runtimes
from model_build.errors import BuildError, SignatureError
from model_build.oci.descriptor import DIGEST
from model_build.oci.reference import HOST, REPOSITORY
from provider import pinned
from provider.errors import ProviderError
from provider.inputs import unknown_keys
from provider.trust import Trust
from provider.values import Fields, Properties, is_unknown, plain, unknown, wrap

REQUIRED = ("recipe", "base", "push", "repository")
OPTIONAL = ("pull", "dockerConfig", "signingKey", "publicKeys", "copyFrom", "copyKeys", "pin")
# Where a key lies differs from machine to machine; which keys count does not.
PLACES_OF_KEYS = ("signingKey", "publicKeys", "copyKeys")
LISTS = ("publicKeys", "copyKeys")
# An image is the same wherever it came from.
ORIGIN = "copyFrom"
OF_INPUTS = pinned.OF_INPUTS
DERIVED = (*OF_INPUTS, "trusts")
DECIDING = ("recipe", "base")
FIRST = "first build"

_FORMS = {
    "push": (HOST, "a registry's HOST[:PORT] without scheme or path, as `127.0.0.1:7401`"),
    "pull": (HOST, "a registry's HOST[:PORT] without scheme or path, as `127.0.0.1:7401`"),
    "pin": (DIGEST, "a digest, as `sha256:` and 64 hex digits"),
    "repository": (REPOSITORY, "lower-case words joined by `/`, as `modelstack/digits`"),
    ORIGIN: (REPOSITORY, "lower-case words joined by `/`, as `modelstack/digits`"),
}


@dataclass(frozen=True)
class Wanted:
    """Where an image lies and which inputs it is made from."""

    recipe: str
    base: str
    push: str
    pull: str
    repository: str
    docker_config: str | None
    inputs_hash: str
    # What a resource that was read anew does not know, and never needs: its image is there.
    packaging: str = "baked"
    platform: str = "linux/amd64"
    signing_key: str | None = None
    public_keys: tuple[str, ...] = ()
    pin: str | None = None
    copy_from: str | None = None
    copy_keys: tuple[str, ...] = ()

    @classmethod
    def of(cls, properties: Properties) -> Wanted | None:
        """Return what checked properties ask for; None where something that decides is not known yet."""
        if any(is_unknown(properties[key]) for key in (*REQUIRED, *OPTIONAL, *DERIVED) if key in properties):
            return None
        fields = Fields(properties)
        push = fields.text("push") or ""
        return cls(
            recipe=fields.text("recipe") or "",
            base=fields.text("base") or "",
            push=push,
            pull=fields.text("pull") or push,
            repository=fields.text("repository") or "",
            docker_config=fields.text("dockerConfig"),
            inputs_hash=fields.text("inputsHash") or "",
            packaging=fields.mapping("runtime").get("packaging", "baked"),
            platform=next(iter(fields.mapping("parsed").get("platforms", ())), "linux/amd64"),
            signing_key=fields.text("signingKey") or None,
            public_keys=fields.texts("publicKeys"),
            pin=fields.text("pin") or None,
            copy_from=fields.text(ORIGIN) or None,
            copy_keys=fields.texts("copyKeys"),
        )

    @property
    def inputs_tag(self) -> str:
        """The tag an image made from these inputs carries."""
        return f"inputs-{self.inputs_hash}"

    def image(self, digest: str) -> str:
        """Return the reference nodes pull."""
        return f"{self.pull}/{self.repository}@{digest}"

    def runtime_image(self, digest: str | None) -> str:
        """Return the reference of a runtime image, which may be the base itself; nothing where there is none."""
        if digest is None:
            return ""
        return self.base if self.is_base(digest) else self.image(digest)

    def is_base(self, digest: str) -> bool:
        """Return whether that is the base, which lies in a place of its own."""
        return self.base.endswith(f"@{digest}")


def failures(properties: Properties) -> list[CheckFailure]:
    """Return what is wrong with the form of the inputs, in words; what is unknown yet passes."""
    known = (*REQUIRED, *OPTIONAL)
    found = unknown_keys("ModelImage", properties, known)
    found += [
        CheckFailure(key, f"{key}: is missing; give it")
        for key in REQUIRED
        if key not in properties or properties[key].value in (None, "")
    ]
    bad = ((key, _misshapen(key, properties)) for key in known if key in properties)
    found += [CheckFailure(key, reason) for key, reason in bad if reason]
    if not found and Fields(properties).text("signingKey") and not _lists(properties, "publicKeys"):
        reason = "signingKey: is given without publicKeys; add publicKeys, a list that holds its public half"
        found.append(CheckFailure("signingKey", reason))
    return found


def _lists(properties: Properties, key: str) -> bool:
    return key in properties and (is_unknown(properties[key]) or bool(Fields(properties).texts(key)))


def _misshapen(key: str, properties: Properties) -> str | None:
    value = properties[key]
    if key in PLACES_OF_KEYS and not is_unknown(value) and "PRIVATE KEY" in str(plain(value)):
        return f"{key}: is a private key itself, which the state would keep; name its file, or env://NAME"
    if key in LISTS:
        return _misshapen_list(key, value)
    if value.value in (None, "") or is_unknown(value):
        return None
    if not isinstance(value.value, str):
        return f"{key}: {plain(value)!r} is not text; write it in quotes"
    if key not in _FORMS:
        return None
    form, limit = _FORMS[key]
    return None if form.fullmatch(value.value) else f"{key}: {value.value!r} must be {limit}"


def _misshapen_list(key: str, value: PropertyValue) -> str | None:
    if value.value is None or is_unknown(value):
        return None
    found = plain(value)
    if isinstance(found, list) and all(isinstance(one, str) and one for one in found):
        return None
    return f"{key}: {found!r} is no list of texts; list the files of public keys, as [keys/release.pub]"


def derive(properties: Properties, previous: Properties, project: Path) -> Properties:
    """Return the inputs' hash and parts, the recipe, what changed since `previous`, the server.

    Raises BuildError, and ProviderError for a pin that cannot be had.
    """
    trusts = _trusts(properties, project)
    if any(is_unknown(properties[key]) for key in DECIDING if key in properties):
        return {**dict.fromkeys(OF_INPUTS, unknown()), **trusts}
    fields, before = Fields(properties), Fields(previous)
    recipe = Path(fields.text("recipe") or "")
    found = build_inputs.compute(_located(recipe, project), fields.text("base"))
    if fields.text("pin"):
        return {**pinned.derive(properties, previous, found.parsed, project), **trusts}
    if found.hash == before.text("inputsHash"):
        reason = before.text("reason") or FIRST
    elif before.text("inputsHash"):
        reason = found.reason(before.mapping("parts"), before.mapping("parsed"))
    else:
        reason = FIRST
    derived = {"inputsHash": found.hash, "parts": found.parts, "parsed": found.recipe, "reason": reason}
    derived["runtime"] = runtimes.of(found.parsed).told(found.parsed.packaging)
    return {**{key: wrap(value) for key, value in derived.items()}, **trusts}


def _trusts(properties: Properties, project: Path) -> Properties:
    """Return the fingerprints of the public keys, and nothing where none are named."""
    keys = properties.get("publicKeys")
    if keys is not None and is_unknown(keys):
        return {"trusts": unknown()}
    named = Fields(properties).texts("publicKeys")
    fingerprints = [key.fingerprint for key in Trust(named, None, project).public_keys()]
    return {"trusts": wrap(fingerprints)} if fingerprints else {}


def _located(recipe: Path, project: Path) -> Path:
    # Relative where it can be: messages then name the file as the program does.
    return recipe if recipe.is_absolute() or Path.cwd() == project else project / recipe


def failure_of(error: BuildError | ProviderError) -> CheckFailure:
    """Return the check failure for an error of model_build, or of a pin."""
    message = str(error)
    if isinstance(error, ProviderError):
        return CheckFailure("pin", message)
    if isinstance(error, SignatureError):
        return CheckFailure("publicKeys", f"publicKeys: {message}")
    return CheckFailure("base" if message.startswith("base:") else "recipe", message)
