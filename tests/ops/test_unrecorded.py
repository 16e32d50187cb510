"""Which found objects are put under which URN that a preview would create."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from local.plugins.kubernetes.config import Target
from ops.unrecorded import Found, NotLookedFor, adopted, signed_in

PARENT = "urn:pulumi:dev::tiny::modelstack:component:Service::digits"
URN = f"{PARENT}$kubernetes:apps/v1:Deployment::server"
FOUND = Found("apps/v1", "Deployment", "models", "server-0a1b2c3d")


def creation(name: str = "server-ffffffff", *, autonamed: bool = True, **further: Any) -> dict[str, Any]:
    marks = {"annotations": {"pulumi.com/autonamed": "true"}} if autonamed else {}
    inputs = {"metadata": {"name": name, "namespace": "models", **marks}, "spec": {"replicas": 2}}
    new = {"urn": URN, "type": "kubernetes:apps/v1:Deployment", "custom": True, "inputs": inputs, **further}
    return {"op": "create", "newState": new}


def taken(step: dict[str, Any], found: Found = FOUND, *known: str) -> list[dict[str, Any]]:
    state = {"deployment": {"resources": [{"urn": urn, "type": "x"} for urn in known]}}
    after, _ = adopted(state, [step], [found])
    resources: list[dict[str, Any]] = after["deployment"]["resources"]
    return [one for one in resources if one["urn"] == URN]


def test_an_autonamed_object_is_taken_under_the_name_it_has() -> None:
    (record,) = taken(creation())
    assert record["id"] == "models/server-0a1b2c3d"
    assert record["inputs"]["metadata"]["name"] == "server-0a1b2c3d"
    assert record["inputs"]["spec"] == {"replicas": 2}


def test_an_object_of_a_fixed_name_is_taken_by_that_name() -> None:
    fixed = creation("server", autonamed=False)
    assert taken(fixed) == []
    assert len(taken(fixed, Found("apps/v1", "Deployment", "models", "server"))) == 1


def test_an_ending_that_is_not_the_engines_is_another_object() -> None:
    assert taken(creation(), Found("apps/v1", "Deployment", "models", "server-blue")) == []


def test_another_kind_or_namespace_is_another_object() -> None:
    assert taken(creation(), Found("apps/v1", "StatefulSet", "models", FOUND.name)) == []
    assert taken(creation(), Found("apps/v1", "Deployment", "other", FOUND.name)) == []


def test_a_record_that_is_there_is_not_doubled() -> None:
    assert len(taken(creation(), FOUND, URN)) == 1


def test_an_object_whose_parent_is_not_recorded_waits() -> None:
    child = creation(parent=PARENT)
    assert taken(child) == []
    assert len(taken(child, FOUND, PARENT)) == 1


def signing_in(folder: Path, script: str) -> Target:
    program = folder / "token"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    asked = {"command": str(program), "args": ["get"], "env": [{"name": "WHO", "value": "me"}]}
    return Target("https://127.0.0.1:1", "default", {}, {"exec": asked}, folder)


def test_a_kubeconfigs_program_gives_the_token_as_of_eks(tmp_path: Path) -> None:
    target = signing_in(tmp_path, """echo "{\\"status\\": {\\"token\\": \\"$1-$WHO\\"}}\"""")
    assert signed_in(target).user == {"token": "get-me"}


@pytest.mark.parametrize("script", ["exit 1", "echo hello", "echo '{}'"])
def test_a_program_that_gives_no_token_is_told(tmp_path: Path, script: str) -> None:
    with pytest.raises(NotLookedFor, match="gave no token"):
        signed_in(signing_in(tmp_path, script))
