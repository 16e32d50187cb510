"""Definitions against a real API server: kinds that belong to no stack."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from pulumi.runtime.proto import provider_pb2

from tests.provider.clusters import Kubectl, Object
from tests.provider.conftest import Provider

pytestmark = pytest.mark.e2e

KIND = """\
# What is no definition is left out.
apiVersion: v1
kind: ConfigMap
metadata: {name: beside, namespace: default}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: GROUP}
spec:
  group: modelstack.test
  scope: Namespaced
  names: {kind: KIND, plural: PLURAL}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""


@dataclass(frozen=True)
class Source:
    """A file with one custom kind, and the inputs that name it."""

    plural: str
    inputs: Object

    @property
    def name(self) -> str:
        return f"{self.plural}.modelstack.test"


@pytest.fixture
def source(tmp_path: Path, kubectl: Kubectl) -> Iterator[Source]:
    plural = f"things{secrets.token_hex(4)}"
    text = KIND.replace("GROUP", f"{plural}.modelstack.test").replace("PLURAL", plural).replace("KIND", plural.title())
    (tmp_path / "kinds.yaml").write_text(text)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    yield Source(plural, {"kubeconfig": kubectl.kubeconfig, "source": str(tmp_path / "kinds.yaml"), "sha256": sha256})
    kubectl.run("delete", "crd", f"{plural}.modelstack.test", "--ignore-not-found", "--wait=false")


def is_there(kubectl: Kubectl, source: Source) -> bool:
    return kubectl.run("get", "crd", source.name, "--ignore-not-found", "-o=name") != ""


def a_thing(source: Source) -> Object:
    return {"apiVersion": "modelstack.test/v1", "kind": source.plural.title(), "metadata": {"name": "one"}}


def test_kinds_are_served_and_the_state_holds_their_names_alone(
    provider: Provider, kubectl: Kubectl, source: Source
) -> None:
    _, state = provider.of("Definitions").create(source.inputs)
    assert state == {**source.inputs, "names": [source.name]}
    kubectl.apply(a_thing(source))


def test_kinds_that_another_stack_uses_outlive_this_one(provider: Provider, kubectl: Kubectl, source: Source) -> None:
    definitions = provider.of("Definitions")
    one, state = definitions.create(source.inputs)
    other, _ = definitions.create(source.inputs)
    kubectl.apply(a_thing(source))
    definitions.delete(one, state)
    assert is_there(kubectl, source)
    kubectl.run("delete", source.plural, "one", "--namespace", kubectl.namespace)
    definitions.delete(other, state)
    assert not is_there(kubectl, source)


def test_kinds_that_someone_else_made_are_left_as_they_are(
    provider: Provider, kubectl: Kubectl, source: Source
) -> None:
    kubectl.run("create", f"--filename={source.inputs['source']}", check=False)
    definitions = provider.of("Definitions")
    identifier, state = definitions.create(source.inputs)
    assert state["names"] == [source.name]
    definitions.delete(identifier, state)
    assert kubectl.run("get", "crd", source.name, "-o=jsonpath={.metadata.deletionTimestamp}") == ""


def test_kinds_that_are_being_deleted_are_made_anew(provider: Provider, kubectl: Kubectl, source: Source) -> None:
    definitions = provider.of("Definitions")
    definitions.create(source.inputs)
    kubectl.run("delete", "crd", source.name, "--wait=false")
    definitions.create(source.inputs)
    kubectl.apply(a_thing(source))


def test_a_refresh_notices_kinds_that_are_gone(provider: Provider, kubectl: Kubectl, source: Source) -> None:
    definitions = provider.of("Definitions")
    identifier, state = definitions.create(source.inputs)
    assert definitions.read(identifier, source.inputs, state)[0] == identifier
    kubectl.run("delete", "crd", source.name)
    assert definitions.read(identifier, source.inputs, state)[0] == ""


def test_a_file_of_other_bytes_is_refused(provider: Provider, kubectl: Kubectl, source: Source) -> None:
    with pytest.raises(grpc.RpcError, match=r"has sha256 .*, not 000000000000…; name the right file"):
        provider.of("Definitions").create({**source.inputs, "sha256": "0" * 64})
    assert not is_there(kubectl, source)


def test_a_file_of_the_same_bytes_elsewhere_is_no_change(provider: Provider, source: Source) -> None:
    definitions = provider.of("Definitions")
    moved = {**source.inputs, "source": "/elsewhere.yaml", "kubeconfig": "/elsewhere"}
    assert definitions.diff(source.inputs, moved).changes == provider_pb2.DiffResponse.DIFF_NONE
