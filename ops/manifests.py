"""Plain Kubernetes objects out of a stack's resources: one file each, in an order and bytes that never vary."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pulumi.runtime.rpc import UNKNOWN

from local.plugins.kubernetes.diff import READ_ONLY, written
from ops.streamed import holds_secret, is_secret

Object = dict[str, Any]
KUSTOMIZATION = "kustomization.yaml"
HEADER = "# Rendered by `python -m ops render`: what is changed here is lost with the next.\n"
# What others need comes before them.
FIRST = (
    *("Namespace", "CustomResourceDefinition", "PriorityClass", "ServiceAccount", "ClusterRole", "ClusterRoleBinding"),
    *("Role", "RoleBinding", "NetworkPolicy", "Secret", "ConfigMap", "PersistentVolumeClaim", "Service"),
)
OF_THE_ENGINE = "pulumi.com/"
# Texts that a reader of YAML 1.1 or 1.2 may take for a number or a truth, and PyYAML leaves without quotes.
AMBIGUOUS = re.compile(r"[-+]?\.?[0-9][0-9a-fxoe_.+:-]*|y|n", re.IGNORECASE)


class RenderError(Exception):
    """A stack cannot be rendered; the message is one line and says what to do."""


@dataclass(frozen=True)
class Rendered:
    """Files by name, in the order to apply them, and the Secrets that others have to make (namespace/name)."""

    files: dict[str, str]
    secrets: tuple[str, ...]
    in_clear: tuple[str, ...] = ()


def render(objects: Iterable[Object], *, secrets: bool) -> Rendered:
    """Return the files of objects as a state or plan has them; Secrets only where asked for. Raises RenderError."""
    cleaned = [_cleaned(one) for one in objects]
    scaled = set(map(_scaled, cleaned))
    ordered = sorted((_left_to_scaling(one) if _named(one) in scaled else one for one in cleaned), key=_rank)
    kept = [one for one in ordered if secrets or one["kind"] != "Secret"]
    left_out = tuple(_place(one) for one in ordered if one not in kept)
    files: dict[str, str] = {}
    for one in kept:
        _require_known(one)
        name = file_name(one)
        if name in files:
            raise RenderError(f"{_title(one)}: another object is written to {name} too; rename one of the two")
        files[name] = dumped(_opened(one, in_clear=secrets))
    in_clear = tuple(file_name(one) for one in kept if one["kind"] == "Secret" or holds_secret(one))
    return Rendered({**files, KUSTOMIZATION: _kustomization(files, left_out)}, left_out, in_clear)


def file_name(one: Mapping[str, Any]) -> str:
    """Return an object's file: kind-name.yaml."""
    # A name may hold colons, as of a system's role.
    name = re.sub(r"[^a-z0-9.-]", "-", str(one["metadata"]["name"]))
    return f"{str(one['kind']).lower()}-{name}.yaml"


def dumped(document: Any) -> str:
    """Return YAML that every reader of it takes for the same values."""
    return yaml.dump(
        document, Dumper=_Dumper, sort_keys=True, default_flow_style=False, allow_unicode=True, width=10**6
    )


def _cleaned(one: Mapping[str, Any]) -> Object:
    """Return an object without what the API server, or the engine, adds to it."""
    found = {key: value for key, value in one.items() if key != "status" and value is not None}
    metadata = {key: value for key, value in (found.get("metadata") or {}).items() if key not in READ_ONLY}
    annotations = metadata.pop("annotations", None)
    if annotations and not is_secret(annotations):
        kept = {key: value for key, value in annotations.items() if not key.startswith(OF_THE_ENGINE)}
        metadata |= {"annotations": kept} if kept else {}
    return {**found, "metadata": metadata}


def _scaled(one: Mapping[str, Any]) -> tuple[str, ...]:
    """Return which object an autoscaler gives its number of pods; nothing of another object."""
    target = (one.get("spec") or {}).get("scaleTargetRef") or {}
    return _named({"kind": target["kind"], "metadata": {**one["metadata"], "name": target["name"]}}) if target else ()


def _named(one: Mapping[str, Any]) -> tuple[str, ...]:
    metadata = one["metadata"]
    return str(one["kind"]), str(metadata.get("namespace") or ""), str(metadata["name"])


def _left_to_scaling(one: Mapping[str, Any]) -> Object:
    # Who applies it again would take the number back each time.
    return {**one, "spec": {key: value for key, value in one["spec"].items() if key != "replicas"}}


def _rank(one: Mapping[str, Any]) -> tuple[int, str, str, str]:
    kind, metadata = str(one["kind"]), one["metadata"]
    first = FIRST.index(kind) if kind in FIRST else len(FIRST)
    return first, kind, str(metadata.get("namespace") or ""), str(metadata["name"])


def _require_known(one: Mapping[str, Any]) -> None:
    unknown = [written(path) for path in _unknown(one)]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise RenderError(
            f"{_title(one)}: {unknown[0]}{more} is not known before `up`; bring the stack up, or another with the same "
            "inputs whose images it shares"
        )


def _unknown(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if isinstance(value, str) and UNKNOWN in value:
        yield path
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _unknown(one, (*path, key))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _unknown(one, (*path, index))


def _opened(one: Object, *, in_clear: bool) -> Object:
    if not in_clear and holds_secret(one):
        raise RenderError(
            f"{_title(one)}: holds a secret and is no Secret that could be left out; render with --secrets, or move "
            "the value into a Secret"
        )
    opened: Object = _plain(one)
    return opened


def _plain(value: Any) -> Any:
    if is_secret(value):
        return _plain(json.loads(value["plaintext"]))
    if isinstance(value, Mapping):
        # No input is as good as an empty one to a kind's own default.
        return {key: _plain(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    # The engine has one kind of number.
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _kustomization(files: Iterable[str], left_out: tuple[str, ...]) -> str:
    missing = "".join(f"#   {one}\n" for one in left_out)
    said = f"# Secrets that it needs and does not hold (`--secrets` writes them):\n{missing}" if left_out else ""
    document = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(files),
    }
    return HEADER + said + dumped(document)


def _title(one: Mapping[str, Any]) -> str:
    return f"{one['kind']} {_place(one)}"


def _place(one: Mapping[str, Any]) -> str:
    metadata = one["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else str(metadata["name"])


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are, and quotes what could be read as a number."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (of an object that occurs twice each is written)
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else "'" if AMBIGUOUS.fullmatch(text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
