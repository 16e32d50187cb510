"""Schemas of other people's kinds, as their Go modules hold them: fetched by version and hash, never kept here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from jsonschema import Draft202012Validator

from local import build

Schema = dict[str, Any]
Validator: TypeAlias = Draft202012Validator
KEPT = "x-kubernetes-preserve-unknown-fields"


@dataclass(frozen=True)
class Definition:
    """A CustomResourceDefinition in a Go module; `sum` is the module's hash as go.sum would have it."""

    module: str
    version: str
    sum: str
    path: str

    def schema(self, version: str) -> Schema:
        """Return the schema of one version of the kind."""
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        (found,) = yaml.load_all((self._folder() / self.path).read_text(), Loader=loader)
        served = next(one for one in found["spec"]["versions"] if one["name"] == version)
        schema: Schema = served["schema"]["openAPIV3Schema"]
        return schema

    def _folder(self) -> Path:
        command = ["go", "mod", "download", "-json", f"{self.module}@{self.version}"]
        done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        assert done["Sum"] == self.sum, f"{self.module}: {done['Sum']} is not the pinned hash"
        return Path(done["Dir"])


PYTORCHJOB = Definition(
    "github.com/kubeflow/training-operator",
    "v1.9.3",
    "h1:aaSHqskOtCY8Dn8sVd+l9p5XAczW6O0nYMPjVLAw/lc=",
    "manifests/base/crds/kubeflow.org_pytorchjobs.yaml",
)
RAYJOB = Definition(
    "github.com/ray-project/kuberay/ray-operator",
    "v1.5.1",
    "h1:7FJYmB8oM+cnjv1VYCj/TfzRZG4XHvvt5Ayn5pZ5A1c=",
    "config/crd/bases/ray.io_rayjobs.yaml",
)


@cache
def validator_of(definition: Definition, version: str) -> Validator:
    """Return what finds faults of an object of a custom kind."""
    return Draft202012Validator(closed(definition.schema(version)))


@cache
def validator_of_jobs() -> Validator:
    """Return what finds faults of a Job, by Kubernetes' own OpenAPI in the module that the platform is built of."""
    folder = build.source(build.KUBERNETES) / "api/openapi-spec/v3"
    whole = json.loads((folder / "apis__batch__v1_openapi.json").read_text())
    components = {name: closed(one) for name, one in whole["components"]["schemas"].items()}
    return Draft202012Validator(
        {"$ref": "#/components/schemas/io.k8s.api.batch.v1.Job", "components": {"schemas": components}}
    )


def faults(validator: Validator, found: Mapping[str, Any]) -> Iterator[str]:
    """Yield where an object is not as its schema says."""
    for error in sorted(validator.iter_errors(found), key=lambda one: list(map(str, one.absolute_path))):
        yield f"{error.json_path}: {error.message[:200]}"


def closed(schema: Any) -> Any:
    """Return a schema that lets no field pass which it does not name, as a strict API server does."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(one) if key != "properties" else _each(one) for key, one in schema.items()}
    if found.get("x-kubernetes-int-or-string") or found.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    if "properties" in found and "additionalProperties" not in found and not found.get(KEPT):
        # What Kubernetes says of every object.
        known: Schema = {"apiVersion": {}, "kind": {}, "metadata": {}} if "kind" in found["properties"] else {}
        found = {**found, "properties": {**known, **found["properties"]}, "additionalProperties": False}
    return found


def _each(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: closed(one) for name, one in properties.items()}
