"""Provider configuration: kubeconfig, namespace and switches, from the stack's configuration or the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PREFIX = "kubernetes:config:"


class KubeconfigError(Exception):
    """The kubeconfig cannot be used."""


@dataclass(frozen=True)
class Target:
    """Where an API server is and how to sign in."""

    server: str
    namespace: str
    cluster: Mapping[str, Any]
    user: Mapping[str, Any]
    folder: Path  # relative file names in the kubeconfig start here


@dataclass(frozen=True)
class Settings:
    """Switches of the provider, as the official one names them."""

    enable_patch_force: bool
    upsert_existing_objects: bool
    enable_config_map_mutable: bool
    enable_secret_mutable: bool
    delete_unreachable: bool
    skip_update_unreachable: bool


def settings(variables: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """Return the switches; the provider's own configuration goes before the environment."""

    def switch(name: str, variable: str) -> bool:
        return variables.get(PREFIX + name, environment.get(variable, "")) == "true"

    return Settings(
        enable_patch_force=switch("enablePatchForce", "PULUMI_K8S_ENABLE_PATCH_FORCE"),
        upsert_existing_objects=switch("upsertExistingObjects", "PULUMI_K8S_UPSERT_EXISTING_OBJECTS"),
        enable_config_map_mutable=switch("enableConfigMapMutable", "PULUMI_K8S_ENABLE_CONFIGMAP_MUTABLE"),
        enable_secret_mutable=switch("enableSecretMutable", "PULUMI_K8S_ENABLE_SECRET_MUTABLE"),
        delete_unreachable=switch("deleteUnreachable", "PULUMI_K8S_DELETE_UNREACHABLE"),
        skip_update_unreachable=switch("skipUpdateUnreachable", "PULUMI_K8S_SKIP_UPDATE_UNREACHABLE"),
    )


def refused(variables: Mapping[str, str]) -> str:
    """Return why this configuration is beyond the stand-in, or nothing."""
    if variables.get(PREFIX + "renderYamlToDirectory"):
        return "renderYamlToDirectory is set; the stand-in renders no YAML: use the official provider"
    if variables.get(PREFIX + "enableServerSideApply", "true") != "true":
        return "enableServerSideApply is false; the stand-in knows server-side apply only: remove the option"
    return ""


def parse(path_or_contents: str) -> tuple[dict[str, Any], Path]:
    """Return a kubeconfig given as a path or as its contents, and the folder its paths start from."""
    text, folder = path_or_contents, Path.cwd()
    path = Path(path_or_contents).expanduser() if "\n" not in path_or_contents else None
    try:
        if path is not None and path.is_file():
            text, folder = path.read_text(encoding="utf-8"), path.parent
    except OSError as error:
        raise KubeconfigError(f"{path}: {error.strerror}") from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise KubeconfigError(f"neither a file nor valid YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(data, dict):
        raise KubeconfigError("neither an existing file nor the contents of a kubeconfig")
    return data, folder


def ambient(environment: Mapping[str, str]) -> str:
    """Return the kubeconfig of KUBECONFIG or of the home folder; raise KubeconfigError where there is none."""
    named = [entry for entry in environment.get("KUBECONFIG", "").split(os.pathsep) if entry]
    candidates = named or [str(Path(environment.get("HOME", "/"), ".kube", "config"))]
    for candidate in candidates:
        if Path(candidate).is_file():
            return candidate
    raise KubeconfigError(f"no kubeconfig at {', '.join(candidates)}: set kubernetes:kubeconfig or KUBECONFIG")


def _named(data: Mapping[str, Any], kind: str, name: str) -> Mapping[str, Any] | None:
    entries = data.get(f"{kind}s") or []
    return next((entry.get(kind) or {} for entry in entries if entry.get("name") == name), None)


def target(data: Mapping[str, Any], folder: Path, variables: Mapping[str, str]) -> Target:
    """Return the active cluster, user and namespace; raise KubeconfigError where something is missing."""
    name = variables.get(PREFIX + "context") or str(data.get("current-context") or "")
    context = _named(data, "context", name)
    if context is None:
        raise KubeconfigError(f"context {name!r} is not in the kubeconfig: set kubernetes:context")
    cluster_name = variables.get(PREFIX + "cluster") or str(context.get("cluster") or "")
    cluster = _named(data, "cluster", cluster_name)
    if cluster is None or not cluster.get("server"):
        raise KubeconfigError(f"cluster {cluster_name!r} is not in the kubeconfig or has no server")
    return Target(
        server=str(cluster["server"]).rstrip("/"),
        namespace=variables.get(PREFIX + "namespace") or str(context.get("namespace") or "") or "default",
        cluster=cluster,
        user=_named(data, "user", str(context.get("user") or "")) or {},
        folder=folder,
    )


def active_cluster(inputs: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the cluster a provider's inputs lead to, or None where they do not say."""
    value = inputs.get("kubeconfig")
    if not value:
        return None
    try:
        return target_of(value, inputs).cluster
    except KubeconfigError:
        return None


def target_of(kubeconfig: object, inputs: Mapping[str, Any]) -> Target:
    """Return what a provider's inputs lead to in a kubeconfig; raise KubeconfigError where something is missing."""
    data, folder = parse(kubeconfig if isinstance(kubeconfig, str) else json.dumps(kubeconfig))
    overrides = {PREFIX + key: str(inputs[key]) for key in ("context", "cluster") if inputs.get(key)}
    return target(data, folder, overrides)
