"""Validation that resources share: keys that are known, and values of their kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pulumi.provider.experimental.provider import CheckFailure, CheckResponse

from provider.values import Properties, is_unknown, plain


def checked(
    type_name: str,
    inputs: Properties,
    known: Sequence[str],
    *,
    texts: Iterable[str] = (),
    numbers: Iterable[str] = (),
    mappings: Iterable[str] = (),
) -> CheckResponse:
    """Return the inputs, or what is wrong: an unknown key, or one that is missing or of another kind."""
    found = unknown_keys(type_name, inputs, known)
    for keys, kind, said in ((texts, str, "text"), (numbers, (int, float), "a number"), (mappings, dict, "a mapping")):
        found += [CheckFailure(key, reason) for key in keys for reason in _wrong(key, inputs, kind, said)]
    return CheckResponse(failures=found) if found else CheckResponse(inputs=inputs)


def unknown_keys(type_name: str, inputs: Properties, known: Sequence[str]) -> list[CheckFailure]:
    """Return a failure for each input that a type does not know."""
    told = ", ".join(known) or "none"
    return [
        CheckFailure(key, f"{key}: is no input of {type_name}; it takes {told}") for key in inputs if key not in known
    ]


def _wrong(key: str, inputs: Properties, kind: type | tuple[type, ...], said: str) -> Iterator[str]:
    value = inputs.get(key)
    if value is None or value.value in (None, ""):
        yield f"{key}: is missing; give it"
    elif not is_unknown(value) and (not isinstance(plain(value), kind) or isinstance(plain(value), bool)):
        yield f"{key}: {plain(value)!r} is not {said}; correct it"
