import re

import pytest

from tests.plugins.conformance.harness import Cluster, Project

pytestmark = pytest.mark.e2e

CONFIG_MAP = 'k.core.v1.ConfigMap("settings", metadata={{"namespace": NAMESPACE{name}}}, data={{"a": {value!r}}})'


def config_map(value: str, name: str = "") -> str:
    fixed = f', "name": "{name}"' if name else ""
    return f'made = {CONFIG_MAP.format(name=fixed, value=value)}\npulumi.export("name", made.metadata.name)'


def test_an_unnamed_object_gets_its_resource_name_and_eight_hex_digits(project: Project, cluster: Cluster) -> None:
    result = project.up(config_map("1"))
    assert result.steps == ["create ConfigMap settings"], result.output
    name = project.outputs()["name"]
    assert re.fullmatch(r"settings-[0-9a-f]{8}", name)
    live = cluster.get("v1", "ConfigMap", project.namespace, name)
    assert live is not None
    assert live["data"] == {"a": "1"}
    assert live["metadata"]["annotations"]["pulumi.com/autonamed"] == "true"


def test_a_second_run_keeps_the_name_and_changes_nothing(project: Project) -> None:
    project.up(config_map("1"))
    before = project.outputs()
    again = project.run("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert again.ok, again.output
    assert again.steps == []
    assert project.outputs() == before


def test_replacing_an_autonamed_object_creates_before_it_deletes(project: Project, cluster: Cluster) -> None:
    project.up(config_map("1"))
    old = project.outputs()["name"]
    result = project.up(config_map("2"))
    assert result.ok, result.output
    assert result.steps == [
        "create-replacement ConfigMap settings",
        "replace ConfigMap settings",
        "delete-replaced ConfigMap settings",
    ]
    assert project.outputs()["name"] != old
    assert cluster.get("v1", "ConfigMap", project.namespace, old) is None


def test_replacing_an_object_with_a_fixed_name_deletes_first(project: Project, cluster: Cluster) -> None:
    project.up(config_map("1", "fixed"))
    result = project.up(config_map("2", "fixed"))
    assert result.ok, result.output
    assert result.steps == [
        "delete-replaced ConfigMap settings",
        "replace ConfigMap settings",
        "create-replacement ConfigMap settings",
    ]
    live = cluster.get("v1", "ConfigMap", project.namespace, "fixed")
    assert live is not None
    assert live["data"] == {"a": "2"}


def test_an_object_without_a_namespace_goes_to_the_kubeconfigs(project: Project, cluster: Cluster) -> None:
    name = f"conformance-{project.namespace}"
    result = project.up(f'k.core.v1.ConfigMap("settings", metadata={{"name": "{name}"}}, data={{}})')
    assert result.ok, result.output
    assert project.state()[0]["id"] == f"default/{name}"
    assert cluster.get("v1", "ConfigMap", "default", name) is not None


def test_creating_what_exists_fails_and_leaves_it_as_it_is(project: Project, cluster: Cluster) -> None:
    metadata = {"namespace": project.namespace, "name": "taken"}
    cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "theirs"}})
    result = project.up(config_map("mine", "taken"))
    assert not result.ok
    assert "already exists" in result.text
    assert "was not successfully created" in result.text
    assert project.state() == []
    live = cluster.get("v1", "ConfigMap", project.namespace, "taken")
    assert live is not None
    assert live["data"] == {"a": "theirs"}
