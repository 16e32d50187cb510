"""Kinds, names, ids and annotations, as the official provider spells them."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

from local.plugins.values import UNKNOWN

AUTONAMED = "pulumi.com/autonamed"
SKIP_AWAIT = "pulumi.com/skipAwait"
WAIT_FOR = "pulumi.com/waitFor"
TIMEOUT = "pulumi.com/timeoutSeconds"
PATCH_FORCE = "pulumi.com/patchForce"
FIELD_MANAGER = "pulumi.com/patchFieldManager"
PROPAGATION = "pulumi.com/deletionPropagationPolicy"
HEX_DIGITS = 8
# Where the API server cannot be asked; everything else is taken as namespaced until it can.
CLUSTER_SCOPED = frozenset(
    [
        "APIService",
        "CertificateSigningRequest",
        "ClusterRole",
        "ClusterRoleBinding",
        "CSIDriver",
        "CSINode",
        "CustomResourceDefinition",
        "DeviceClass",
        "FlowSchema",
        "IngressClass",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "RuntimeClass",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
    ]
)


class Unsupported(Exception):  # noqa: N818
    """A kind of resource that the stand-in leaves to the official provider."""


def kind_of_type(token: str) -> tuple[str, str]:
    """Return apiVersion and kind of `kubernetes:apps/v1:Deployment`; raise Unsupported for what is no object."""
    _, module, kind = token.split(":", 2)
    group, _, version = module.rpartition("/")
    if group in {"helm.sh", "yaml", "kustomize"} or not version:
        raise Unsupported(f"{token} is not known to the stand-in provider: use the official one")
    if kind.endswith("Patch") and len(kind) > len("Patch"):
        raise Unsupported(f"{token}: Patch resources are not known to the stand-in provider: use the official one")
    return (version if group in {"", "core"} else f"{group}/{version}"), kind


def type_of_urn(urn: str) -> str:
    """Return a URN's own type token."""
    return urn.split("::")[2].rpartition("$")[2]


def name_of_urn(urn: str) -> str:
    """Return a URN's resource name."""
    return urn.split("::", 3)[3]


def split_id(identifier: str) -> tuple[str, str]:
    """Return namespace and name of `namespace/name` or `name`."""
    namespace, _, name = identifier.rpartition("/")
    return namespace, name


def id_of(live: Mapping[str, Any]) -> str:
    """Return an object's id."""
    metadata = live["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else str(metadata["name"])


def metadata_of(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return metadata, empty where there is none or it is unknown."""
    metadata = inputs.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def annotation(inputs: Mapping[str, Any], key: str) -> str:
    """Return an annotation's value, empty where there is none."""
    annotations = metadata_of(inputs).get("annotations")
    value = annotations.get(key) if isinstance(annotations, Mapping) else None
    return value if isinstance(value, str) else ""


def is_autonamed(inputs: Mapping[str, Any]) -> bool:
    """Say whether the name was made by the provider."""
    return annotation(inputs, AUTONAMED) == "true"


def _hex(seed: bytes) -> str:
    return hashlib.sha256(seed).hexdigest()[:HEX_DIGITS] if seed else secrets.token_hex(HEX_DIGITS // 2)


def named(inputs: dict[str, Any], name: str) -> dict[str, Any]:
    """Return inputs with a name of the provider's making."""
    metadata = dict(metadata_of(inputs))
    annotations = metadata.get("annotations")
    if annotations is not UNKNOWN:
        metadata["annotations"] = {**(annotations or {}), AUTONAMED: "true"}
    return {**inputs, "metadata": {**metadata, "name": name}}


def autoname(urn: str, seed: bytes) -> str:
    """Return `<name>-<8 hex>`, the same for the same seed, so that preview and update agree."""
    return f"{name_of_urn(urn)}-{_hex(seed)}"


def field_manager(inputs: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    """Return the field manager: the annotation's, the state's, or a new one."""
    return annotation(inputs, FIELD_MANAGER) or state.get("__fieldManager") or f"pulumi-kubernetes-{_hex(b'')}"


def wait_expressions(inputs: Mapping[str, Any]) -> list[str]:
    """Return the expressions of `pulumi.com/waitFor`, a string or a JSON list of strings."""
    value = annotation(inputs, WAIT_FOR)
    if not value:
        return []
    try:
        parsed = json.loads(value)
    except ValueError:
        return [value]
    return [str(entry) for entry in parsed] if isinstance(parsed, list) else [value]


def timeout_seconds(inputs: Mapping[str, Any], custom: float, default: float = 600) -> float:
    """Return how long to wait, seconds: customTimeouts, the annotation, or ten minutes."""
    if custom:
        return custom
    value = annotation(inputs, TIMEOUT)
    return float(value) if value.isdigit() else default
