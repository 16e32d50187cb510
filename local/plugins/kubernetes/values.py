"""Property values with the spelling of keys and the secrets that objects of Kubernetes have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from local.plugins.values import Secret, has_secret

DASHED = "x-kubernetes-"
UNDERSCORED = "x_kubernetes_"


def _keys(value: Any, rename: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {rename(key): _keys(entry, rename) for key, entry in value.items()}
    if isinstance(value, list):
        return [_keys(entry, rename) for entry in value]
    return value


def _dash(key: str) -> str:
    return key.replace("_", "-") if key.startswith(UNDERSCORED) else key


def _underscore(key: str) -> str:
    return key.replace("-", "_") if key.startswith(DASHED) else key


def plain(value: Any) -> Any:
    """Return a value without its secret marks and with the API's spelling of `x-kubernetes-…` keys."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {_dash(key): plain(entry) for key, entry in value.items()}
    return [plain(entry) for entry in value] if isinstance(value, list) else value


def program_keys(value: Any) -> Any:
    """Return a value with the program's spelling of `x-kubernetes-…` keys."""
    return _keys(value, _underscore)


def with_secrets(outputs: dict[str, Any], inputs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return outputs with what the inputs keep secret marked so; a Secret's data always is."""
    if outputs.get("kind") == "Secret":
        return {
            key: Secret(value) if key in {"data", "stringData"} and not isinstance(value, Secret) else value
            for key, value in outputs.items()
        }
    result = dict(outputs)
    for key, value in (inputs or {}).items():
        if key not in result or isinstance(result[key], Secret):
            continue
        if isinstance(value, Mapping) and isinstance(result[key], Mapping):
            result[key] = with_secrets(result[key], value)
        elif has_secret(value):
            # A list is secret as a whole: its order may differ in the answer.
            result[key] = Secret(result[key])
    return result
