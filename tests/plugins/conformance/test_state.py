import base64
import json

import pytest

from tests.plugins.conformance.harness import Cluster, Project

pytestmark = pytest.mark.e2e

SETTINGS = """
k.core.v1.ConfigMap("settings", metadata={"namespace": NAMESPACE, "name": "settings", "labels": {"who": "us"}},
                    data={"a": "1"})
"""


def test_secret_data_is_secret_in_the_state(project: Project, cluster: Cluster) -> None:
    result = project.up(
        'k.core.v1.Secret("pair", metadata={"namespace": NAMESPACE, "name": "pair"}, string_data={"p": "hush-hush"})'
    )
    assert result.ok, result.output
    written = json.dumps(project.state())
    assert "hush-hush" not in written
    assert base64.b64encode(b"hush-hush").decode() not in written
    live = cluster.get("v1", "Secret", project.namespace, "pair")
    assert live is not None
    assert base64.b64decode(live["data"]["p"]) == b"hush-hush"
    assert project.run("preview", "--expect-no-changes").ok


def test_the_state_holds_the_live_object_and_its_inputs(project: Project) -> None:
    project.up(SETTINGS)
    (entry,) = project.state()
    assert entry["id"] == f"{project.namespace}/settings"
    assert entry["outputs"]["metadata"]["uid"]
    assert entry["outputs"]["__inputs"]["data"] == {"a": "1"}
    assert entry["outputs"]["__initialApiVersion"] == "v1"
    assert entry["outputs"]["__fieldManager"].startswith("pulumi-kubernetes-")


def test_a_refresh_sees_an_outside_change_and_the_next_run_undoes_it(project: Project, cluster: Cluster) -> None:
    project.up(SETTINGS)
    cluster.merge("v1", "ConfigMap", f"{project.namespace}/settings", {"metadata": {"labels": {"who": "them"}}})
    assert project.refresh().ok
    assert project.state()[0]["outputs"]["metadata"]["labels"]["who"] == "them"
    assert project.preview().steps == ["update ConfigMap settings"]


def test_a_refresh_drops_what_was_deleted_outside(project: Project, cluster: Cluster) -> None:
    project.up(SETTINGS)
    cluster.delete("v1", "ConfigMap", project.namespace, "settings")
    assert project.refresh().ok
    assert project.state() == []
    assert project.preview().steps == ["create ConfigMap settings"]


def test_an_imported_object_is_kept_in_the_state_as_it_is(project: Project, cluster: Cluster) -> None:
    metadata = {"namespace": project.namespace, "name": "settings", "labels": {"who": "us"}}
    made = cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}})
    place = f"{project.namespace}/settings"
    result = project.run(
        "import", "kubernetes:core/v1:ConfigMap", "settings", place, "--yes", "--generate-code=false", "--protect=false"
    )
    assert result.ok, result.output
    (entry,) = project.state()
    assert entry["id"] == place
    assert entry["outputs"]["metadata"]["uid"] == made["metadata"]["uid"]
    project.write(SETTINGS)
    again = project.run("preview", "--expect-no-changes")
    assert again.ok, again.output


def test_importing_what_does_not_exist_fails(project: Project) -> None:
    place = f"{project.namespace}/nothing"
    result = project.run("import", "kubernetes:core/v1:ConfigMap", "x", place, "--yes", "--generate-code=false")
    assert not result.ok
    assert project.state() == []


def test_a_deletion_waits_until_the_object_is_gone(project: Project, cluster: Cluster) -> None:
    project.up(SETTINGS)
    assert project.destroy().ok
    assert cluster.get("v1", "ConfigMap", project.namespace, "settings") is None


def test_a_deletion_held_by_a_finalizer_fails_and_keeps_the_state(project: Project, cluster: Cluster) -> None:
    held = SETTINGS.replace('"labels"', '"annotations": {"pulumi.com/timeoutSeconds": "3"}, "labels"')
    project.up(held)
    place = f"{project.namespace}/settings"
    cluster.merge("v1", "ConfigMap", place, {"metadata": {"finalizers": ["modelstack.dev/held"]}})
    assert not project.destroy().ok
    assert [entry["id"] for entry in project.state()] == [place]
    cluster.merge("v1", "ConfigMap", place, {"metadata": {"finalizers": None}})
    assert project.destroy().ok
    assert project.state() == []


def test_deleting_what_is_gone_already_succeeds(project: Project, cluster: Cluster) -> None:
    project.up(SETTINGS)
    cluster.delete("v1", "ConfigMap", project.namespace, "settings")
    assert project.destroy().ok
    assert project.state() == []


@pytest.mark.parametrize("operation", ["up", "refresh", "destroy"])
def test_an_unreachable_cluster_drops_nothing_from_the_state(project: Project, operation: str) -> None:
    project.up(SETTINGS)
    before = [entry["id"] for entry in project.state()]
    reached, project.kubeconfig = project.kubeconfig, project.folder / "unreachable"
    project.kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: x, user: x}}], "
        'clusters: [{name: x, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: x, user: {token: x}}]}'
    )
    project.write(SETTINGS.replace('"us"', '"others"'))
    result = {"up": project.up, "refresh": project.refresh, "destroy": project.destroy}[operation]()
    project.kubeconfig = reached
    assert not result.ok
    assert "unreachable" in result.text
    assert [entry["id"] for entry in project.state()] == before
