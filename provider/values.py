"""Plain Python values to and from the engine's property values, unknowns and secrets kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi.provider.experimental.property_value import Computed, PropertyValue
from pulumi.runtime.rpc import UNKNOWN

Properties = dict[str, PropertyValue]


def unknown() -> PropertyValue:
    """Return the value that is not known before `up`."""
    return PropertyValue(UNKNOWN)


def is_unknown(value: PropertyValue) -> bool:
    """Return whether `value`, or anything in it, is not known before `up`."""
    inner = value.value
    if isinstance(inner, Computed) or inner == UNKNOWN:
        return True
    if isinstance(inner, Mapping):
        return any(is_unknown(one) for one in inner.values())
    if isinstance(inner, Sequence) and not isinstance(inner, str):
        return any(is_unknown(one) for one in inner)
    return False


def plain(value: PropertyValue) -> Any:
    """Return what `value` holds as plain Python, secrets unwrapped; whole numbers come back as int."""
    inner = value.value
    if isinstance(inner, Mapping):
        return {key: plain(one) for key, one in inner.items()}
    if isinstance(inner, Sequence) and not isinstance(inner, str):
        return [plain(one) for one in inner]
    if isinstance(inner, float) and inner.is_integer():
        return int(inner)
    return inner


def wrap(value: Any) -> PropertyValue:
    """Return plain Python as a property value; raises TypeError for what JSON cannot hold."""
    if isinstance(value, PropertyValue):
        return value
    if isinstance(value, Mapping):
        return PropertyValue({str(key): wrap(one) for key, one in value.items()})
    if isinstance(value, list | tuple):
        return PropertyValue([wrap(one) for one in value])
    if isinstance(value, int) and not isinstance(value, bool):
        return PropertyValue(float(value))
    return PropertyValue(value)


def same(old: PropertyValue | None, new: PropertyValue | None) -> bool:
    """Return whether two values hold the same; absent equals null, secretness does not count."""
    return (None if old is None else plain(old)) == (None if new is None else plain(new))


@dataclass(frozen=True)
class Fields:
    """Reads text out of properties by key; what is absent, null or unknown reads as None."""

    properties: Properties

    def text(self, key: str) -> str | None:
        """Return the text at `key`."""
        value = self.properties.get(key)
        if value is None or is_unknown(value):
            return None
        return value.value if isinstance(value.value, str) else None

    def mapping(self, key: str) -> dict[str, Any]:
        """Return the mapping at `key`, empty where there is none."""
        value = self.properties.get(key)
        if value is None or is_unknown(value) or not isinstance(value.value, Mapping):
            return {}
        return {name: plain(one) for name, one in value.value.items()}

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the texts in the list at `key`, empty where there is none."""
        value = self.properties.get(key)
        found = None if value is None or is_unknown(value) else plain(value)
        return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()
