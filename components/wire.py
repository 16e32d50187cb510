"""Arguments in the SDK's spelling as the API server reads them, for kinds that the SDK has no types of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pulumi


def wire(arguments: Any) -> pulumi.Output[Any]:
    """Return arguments with every Output in them resolved, keys in camelCase, and nothing where there was None."""
    return pulumi.Output.from_input(arguments).apply(_camel)


def _camel(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_key(key): _camel(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_camel(one) for one in value]
    return value


def _key(name: str) -> str:
    # Labels and names of resources, the other keys that there are, hold no underscore.
    return re.sub(r"_([a-z])", lambda found: found.group(1).upper(), name.rstrip("_"))
