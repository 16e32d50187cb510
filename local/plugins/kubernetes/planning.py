"""Check and Diff: what the inputs of an object become, and what a change to them means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.plugins.kubernetes import diff, forcenew, naming, objects
from local.plugins.kubernetes.client import ApiError, Client, NoKind, Object, Unreachable
from local.plugins.kubernetes.config import Settings
from local.plugins.kubernetes.values import plain
from local.plugins.values import UNKNOWN, has_unknown


class Refused(Exception):  # noqa: N818
    """Inputs that cannot become an object."""


@dataclass(frozen=True)
class Plan:
    """What a change of inputs means for an object."""

    changes: list[diff.Change] = field(default_factory=list)
    replaces: list[diff.Path] = field(default_factory=list)
    delete_first: bool = False


def namespaced(client: Client | None, inputs: Mapping[str, Any]) -> bool:
    """Say whether a kind lives in namespaces; a kind nobody serves yet is taken to."""
    kind = str(inputs.get("kind"))
    if client is None:
        return kind not in naming.CLUSTER_SCOPED
    try:
        return client.resource(str(inputs.get("apiVersion")), kind).namespaced
    except (NoKind, Unreachable, ApiError):
        return kind not in naming.CLUSTER_SCOPED


def exists(client: Client | None, inputs: Mapping[str, Any]) -> bool:
    """Say whether the API server serves the kind of an object."""
    if client is None:
        return False
    try:
        client.resource(str(inputs.get("apiVersion")), str(inputs.get("kind")))
    except (NoKind, Unreachable):
        return False
    return True


def identified(inputs: Mapping[str, Any], urn: str) -> dict[str, Any]:
    """Return inputs with apiVersion and kind, from the type where the program gave none."""
    api_version, kind = naming.kind_of_type(naming.type_of_urn(urn))
    if kind.endswith("List") and "items" in inputs:
        raise Refused("list resources cannot be created directly: use the kind of their items")
    return {**inputs, "apiVersion": inputs.get("apiVersion") or api_version, "kind": inputs.get("kind") or kind}


@dataclass(frozen=True)
class Autonaming:
    """The engine's own rules for names."""

    disabled: bool
    proposed: str


def checked(
    news: dict[str, Any],
    olds: Mapping[str, Any],
    *,
    urn: str,
    seed: bytes,
    autonaming: Autonaming,
    client: Client | None,
    namespace: str,
) -> dict[str, Any]:
    """Return plain inputs with name and namespace; raise Refused for what cannot work."""
    result = identified(plain(news), urn)
    metadata = naming.metadata_of(result)
    if result.get("metadata") is UNKNOWN:
        return result
    if not metadata.get("name"):
        result = _with_name(result, olds, urn=urn, seed=seed, autonaming=autonaming)
    if not naming.metadata_of(result).get("namespace") and namespaced(client, result):
        result = {**result, "metadata": {**naming.metadata_of(result), "namespace": namespace}}
    return result


def _with_name(
    inputs: dict[str, Any], olds: Mapping[str, Any], *, urn: str, seed: bytes, autonaming: Autonaming
) -> dict[str, Any]:
    if olds and naming.is_autonamed(olds):
        return naming.named(inputs, str(naming.metadata_of(olds)["name"]))
    if naming.metadata_of(inputs).get("generateName"):
        raise Refused("the `.metadata.generateName` field is not supported in Server-Side Apply mode")
    if autonaming.disabled:
        raise Refused("autonaming is disabled, resource requires the .metadata.name field to be set")
    return naming.named(inputs, autonaming.proposed or naming.autoname(urn, seed))


def split_state(state: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the last inputs and the live object that a state holds."""
    live = plain(state)
    inputs = live.pop("__inputs", None) or {}
    for key in ("__initialApiVersion", "__fieldManager"):
        live.pop(key, None)
    return inputs, live


def _placed(value: dict[str, Any], namespace: str) -> dict[str, Any]:
    metadata = {key: entry for key, entry in (value.get("metadata") or {}).items() if key != "namespace"}
    return {**value, "metadata": {**metadata, "namespace": namespace} if namespace else metadata}


def plan(
    state: Mapping[str, Any],
    news: Mapping[str, Any],
    *,
    client: Client | None,
    settings: Settings,
    ignore: Sequence[str],
) -> Plan:
    """Compare new inputs with the live object in the state, pruned to the shape of the last inputs."""
    inputs, live = split_state(state)
    before, wanted = diff.normalized(inputs), diff.normalized(plain(news))
    old = diff.pruned(diff.normalized(live), before)
    old |= {key: live[key] for key in ("apiVersion", "kind") if key in live and key not in old}
    in_namespace = namespaced(client, wanted)
    new_namespace = str(naming.metadata_of(wanted).get("namespace") or "default") if in_namespace else ""
    old_namespace = str(naming.metadata_of(live).get("namespace") or "default") if in_namespace else ""
    old, wanted = _placed(old, old_namespace), _placed(wanted, new_namespace)
    name, old_name = naming.metadata_of(wanted).get("name"), naming.metadata_of(live).get("name")
    if name:
        old["metadata"]["name"] = old_name
    patterns = [diff.parse_path(path) for path in ignore]
    found = [change for change in diff.changes((), old, wanted, before) if not diff.ignored(change[0], patterns)]
    if found and _only_spelling(client, found, old, wanted, before):
        return Plan()
    fields = forcenew.fields(
        wanted,
        config_map_mutable=settings.enable_config_map_mutable,
        secret_mutable=settings.enable_secret_mutable,
    )
    replaces = [path for path, _, value in found if any(forcenew.touches(path, value, entry) for entry in fields)]
    same_place = name == old_name and new_namespace == old_namespace
    return Plan(found, replaces, bool(replaces) and same_place and not naming.is_autonamed(wanted))


def _only_spelling(
    client: Client | None, found: list[diff.Change], old: Object, wanted: Object, before: Mapping[str, Any]
) -> bool:
    """Say whether the inputs differ from the live object in spelling alone (`0.5` cpu is stored as `500m`).

    The API server is asked how it would store them. It keeps what others own, so that a removal is not told this way.
    """
    if client is None or has_unknown(wanted) or any(kind == diff.DELETE for _, kind, _ in found):
        return False
    try:
        resource = objects.address(client, wanted)
        metadata = wanted["metadata"]
        path = resource.path(metadata.get("namespace", ""), metadata["name"])
        stored = objects.apply(client, path, wanted, "pulumi-kubernetes-diff", force=True, preview=True)
    except (ApiError, NoKind, Unreachable):
        return False
    return not list(diff.changes((), old, diff.pruned(stored, wanted), before))
