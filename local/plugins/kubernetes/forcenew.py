"""Fields whose change replaces an object; the official provider keeps the same list (its diff.go)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Path = tuple[str | int, ...]

IDENTITY = ["metadata.name", "metadata.namespace"]
VOLUME_SOURCES = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "glusterfs",
    "hostPath",
    "iscsi",
    "local",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
]
POD_FIELDS = [
    "affinity",
    "automountServiceAccountToken",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "hostAliases",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostname",
    "imagePullSecrets",
    "nodeName",
    "nodeSelector",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "readinessGates",
    "restartPolicy",
    "runtimeClassName",
    "schedulerName",
    "securityContext",
    "serviceAccount",
    "serviceAccountName",
    "shareProcessNamespace",
    "subdomain",
    "terminationGracePeriodSeconds",
    "volumes",
]
CONTAINER_FIELDS = [
    "args",
    "command",
    "env",
    "image",
    "imagePullPolicy",
    "lifecycle",
    "livenessProbe",
    "ports",
    "readinessProbe",
    "resources",
    "securityContext",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
    "workingDir",
]

FIELDS: Mapping[tuple[str, str], list[str]] = {
    ("apps/v1", "DaemonSet"): ["spec.selector"],
    ("apps/v1", "Deployment"): ["spec.selector"],
    ("apps/v1", "StatefulSet"): [
        f"spec.{field}"
        for field in ("podManagementPolicy", "revisionHistoryLimit", "selector", "serviceName", "volumeClaimTemplates")
    ],
    ("batch/v1", "Job"): [f"spec.{field}" for field in ("completions", "parallelism", "selector", "template")],
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): ["roleRef"],
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): ["roleRef"],
    ("storage.k8s.io/v1", "StorageClass"): ["parameters", "provisioner"],
    ("v1", "PersistentVolume"): [f"spec.{field}" for field in VOLUME_SOURCES],
    ("v1", "PersistentVolumeClaim"): [
        f"spec.{field}" for field in ("accessModes", "selector", "storageClassName", "volumeName")
    ],
    ("v1", "Pod"): [
        *(f"spec.{field}" for field in POD_FIELDS),
        *(f"spec.{kind}.*.{field}" for kind in ("containers", "initContainers") for field in CONTAINER_FIELDS),
    ],
    ("v1", "ResourceQuota"): ["spec.scopes"],
    ("v1", "Secret"): ["type"],
    ("v1", "Service"): ["spec.clusterIP"],
}


def fields(inputs: Mapping[str, Any], *, config_map_mutable: bool, secret_mutable: bool) -> list[list[str]]:
    """Return the fields, as lists of keys, whose change replaces this object."""
    kind = (str(inputs.get("apiVersion")), str(inputs.get("kind")))
    immutable = inputs.get("immutable") is True
    found = [*IDENTITY, *FIELDS.get(kind, [])]
    # By default the data of a ConfigMap or Secret is replaced as a whole, so that pods roll with it.
    if kind == ("v1", "ConfigMap") and (immutable or not config_map_mutable):
        found += ["data", "binaryData"]
    if kind == ("v1", "Secret") and (immutable or not secret_mutable):
        found += ["data", "stringData"]
    return [field.split(".") for field in found]


def touches(path: Path, value: object, field: list[str]) -> bool:
    """Say whether a change at a path, to a value, changes a field: at it, below it, or in a value that holds it."""
    for key, wanted in zip(path, field, strict=False):
        if (wanted != "*" or not isinstance(key, int)) and key != wanted:
            return False
    return len(field) <= len(path) or _holds(value, field[len(path) :])


def _holds(value: object, field: list[str]) -> bool:
    if not field:
        return True
    if field[0] == "*":
        return isinstance(value, list) and any(_holds(entry, field[1:]) for entry in value)
    return isinstance(value, Mapping) and field[0] in value and _holds(value[field[0]], field[1:])
