"""Arguments in the SDK's spelling as the API server reads them, for kinds that the SDK has no types of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pulumi


def wire(arguments: Any) -> pulumi.Output[Any]:
    """Return arguments with every Output in them resolved, keys in camelCase, and nothing where there was None."""
    return pulumi.Output.from_input(arguments).apply(_wired)


def _wired(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {camel(key): _wired(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_wired(one) for one in value]
    return value


def camel(name: str) -> str:
    """Return a name of the SDK's as the API server spells it."""
    # Labels and names of resources, the other keys that there are, hold no underscore.
    return re.sub(r"_([a-z0-9])", lambda found: found.group(1).upper(), name.rstrip("_"))
