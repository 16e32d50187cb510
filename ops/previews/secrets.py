"""Takes a stack's secrets out of what is told: as they are, in base64, and percent-encoded.

The engine hides the secrets of a stack's configuration in its events, in no other form than their own, and nothing that
a program or a provider wrote down of a secret output.
"""

from __future__ import annotations

import base64
import json
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import quote

from ops.engine import Engine, EngineError, State
from ops.streamed import is_secret

HIDDEN = "[secret]"
SHORTEST = 4  # what is shorter stands in ordinary words
_OF_ENVIRONMENT = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSPHRASE|_KEY|CREDENTIAL)S?$")
_SHORTEST_OF_OBJECT = 6
_SHORTEST_OF_ENVIRONMENT = 8
_BASE64 = frozenset(f"{string.ascii_letters}{string.digits}+/=_-")
T = TypeVar("T")


@dataclass(frozen=True)
class Secrets:
    """What must not be told."""

    values: frozenset[str]

    @classmethod
    def of(cls, engine: Engine) -> Secrets:
        """Return the secrets of a stack's configuration, state and environment, as far as they can be read.

        What cannot be decrypted here the preview could not read either.
        """
        found = {*cls.of_environment(engine.environment).values}
        for read in (_of_configuration, _of_state):
            try:
                found.update(read(engine))
            except EngineError:
                continue
        return cls(frozenset(found))

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> Secrets:
        """Return what variables hold whose names say that it is secret."""
        return cls(frozenset(_of_environment(environment)))

    def hidden(self, value: T) -> T:
        """Return a value, texts and keys of mappings and lists in it too, without any secret."""
        return self._within(value) if self.values else value

    def _within(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._without_coded(self._form.sub(HIDDEN, value))
        if isinstance(value, Mapping):
            return {self._within(key): self._within(one) for key, one in value.items()}
        return [self._within(one) for one in value] if isinstance(value, list | tuple) else value

    def _without_coded(self, text: str) -> str:
        """Hide a secret in base64 with what is written on to it, which holds its first and last letters."""
        kept, done = [], 0
        for match in self._coded_form.finditer(text):
            start, end = match.span()
            if end <= done:
                continue
            while start > done and text[start - 1] in _BASE64:
                start -= 1
            while end < len(text) and text[end] in _BASE64:
                end += 1
            kept += [text[done:start], HIDDEN]
            done = end
        return "".join([*kept, text[done:]])

    @cached_property
    def _form(self) -> re.Pattern[str]:
        return _any_of({form for value in self.values for form in _plain(value)})

    @cached_property
    def _coded_form(self) -> re.Pattern[str]:
        return _any_of({form for value in self.values for form in _coded(value)})


def _any_of(forms: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(forms, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def _plain(value: str) -> Iterator[str]:
    yield from (value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], quote(value, safe=""))
    # A message shows a secret of several lines line by line.
    yield from (line.strip() for line in value.splitlines() if len(line.strip()) >= _SHORTEST_OF_ENVIRONMENT)


def _coded(value: str) -> Iterator[str]:
    """Yield what is the same in base64 wherever in a longer text the secret begins."""
    content = value.encode()
    for offset in range(3):
        code = base64.b64encode(bytes(offset) + content).decode().rstrip("=")
        first = (offset * 8 + 5) // 6
        last = (offset + len(content)) * 8 // 6
        middle = code[first:last]
        if len(middle) >= SHORTEST:
            yield middle
            yield middle.replace("+", "-").replace("/", "_")


def _of_environment(environment: Mapping[str, str]) -> Iterator[str]:
    for name, value in environment.items():
        if _OF_ENVIRONMENT.search(name.upper()) and len(value) >= _SHORTEST_OF_ENVIRONMENT:
            yield value


def _of_configuration(engine: Engine) -> Iterator[str]:
    found = json.loads(engine.on_stack("config", "--show-secrets", "--json"))
    for one in found.values():
        if one.get("secret"):
            yield from _leaves(one.get("value"))
            yield from _leaves(one.get("objectValue"), _SHORTEST_OF_OBJECT)


def _of_state(engine: Engine) -> Iterator[str]:
    state: State = engine.export(secrets=True)
    return _signed(state)


def _signed(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        if is_secret(value):
            text = value.get("plaintext")
            yield from _leaves(json.loads(text) if isinstance(text, str) else value.get("value"))
            return
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _signed(one)


def _leaves(value: object, shortest: int = SHORTEST) -> Iterator[str]:
    """Yield the texts in a secret; of an object only long ones, for `secret` is said of the object as a whole."""
    if isinstance(value, str | int | float) and len(str(value)) >= shortest and not isinstance(value, bool):
        yield str(value)
    inner: Iterable[object] = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for one in inner:
        yield from _leaves(one, _SHORTEST_OF_OBJECT)
