import re
from pathlib import Path
from typing import Any

import pytest

from local.plugins.kubernetes import config, jsonpath, naming, planning, ready
from local.plugins.values import UNKNOWN

URN = "urn:pulumi:dev::p::mine:index:Group$kubernetes:apps/v1:Deployment::web"
FREE = planning.Autonaming(False, "")
KUBECONFIG = """
current-context: one
contexts:
- {name: one, context: {cluster: c1, user: u}}
- {name: two, context: {cluster: c2, user: u, namespace: there}}
clusters:
- {name: c1, cluster: {server: "https://one:1"}}
- {name: c2, cluster: {server: "https://two:2/"}}
users: [{name: u, user: {token: t}}]
"""


def checked(news: dict[str, Any], olds: dict[str, Any] | None = None, **changed: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"urn": URN, "seed": b"s", "autonaming": FREE, "client": None, "namespace": "default"}
    return planning.checked(news, olds or {}, **{**options, **changed})


def test_the_type_gives_kind_and_version() -> None:
    assert naming.kind_of_type("kubernetes:core/v1:Service") == ("v1", "Service")
    assert naming.kind_of_type("kubernetes:a.example.com/v2:Widget") == ("a.example.com/v2", "Widget")
    assert naming.type_of_urn(URN) == "kubernetes:apps/v1:Deployment"


@pytest.mark.parametrize("token", ["kubernetes:helm.sh/v3:Release", "kubernetes:core/v1:NamespacePatch"])
def test_what_the_stand_in_leaves_out_is_refused_by_name(token: str) -> None:
    with pytest.raises(naming.Unsupported, match="use the official one"):
        naming.kind_of_type(token)


def test_a_name_is_the_same_for_the_same_seed_and_differs_for_another() -> None:
    assert naming.autoname(URN, b"1") == naming.autoname(URN, b"1") != naming.autoname(URN, b"2")
    assert re.fullmatch(r"web-[0-9a-f]{8}", naming.autoname(URN, b""))


def test_an_unnamed_object_keeps_the_name_it_was_given() -> None:
    first = checked({"metadata": {}})
    assert checked({"metadata": {"labels": {}}}, first, seed=b"other")["metadata"]["name"] == first["metadata"]["name"]


def test_a_fixed_name_is_left_alone_and_not_marked() -> None:
    assert checked({"metadata": {"name": "web"}})["metadata"] == {"name": "web", "namespace": "default"}


def test_an_unknown_name_is_no_missing_name() -> None:
    assert checked({"metadata": {"name": UNKNOWN}})["metadata"]["name"] is UNKNOWN


def test_cluster_scoped_kinds_get_no_namespace() -> None:
    urn = "urn:pulumi:dev::p::kubernetes:core/v1:Namespace::n"
    assert "namespace" not in checked({}, urn=urn)["metadata"]


def test_the_engines_own_naming_rules_are_followed() -> None:
    assert checked({}, autonaming=planning.Autonaming(False, "given"))["metadata"]["name"] == "given"
    with pytest.raises(planning.Refused, match="autonaming is disabled"):
        checked({}, autonaming=planning.Autonaming(True, ""))


def test_generated_names_are_refused() -> None:
    with pytest.raises(planning.Refused, match="generateName"):
        checked({"metadata": {"generateName": "x-"}})


def test_a_kubeconfig_leads_to_its_current_context_or_the_one_named() -> None:
    data, folder = config.parse(KUBECONFIG)
    first = config.target(data, folder, {})
    second = config.target(data, folder, {"kubernetes:config:context": "two"})
    assert (first.server, first.namespace) == ("https://one:1", "default")
    assert (second.server, second.namespace) == ("https://two:2", "there")


@pytest.mark.parametrize("text", ["no such file", "a: [", "{contexts: []}"])
def test_a_kubeconfig_that_leads_nowhere_is_refused(text: str) -> None:
    with pytest.raises(config.KubeconfigError):
        config.target(*config.parse(text), {})


def test_a_missing_ambient_kubeconfig_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(config.KubeconfigError, match=str(tmp_path)):
        config.ambient({"HOME": str(tmp_path)})


def test_the_same_cluster_in_another_spelling_is_the_same_cluster(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    assert config.active_cluster({"kubeconfig": str(path)}) == config.active_cluster({"kubeconfig": KUBECONFIG})
    assert config.active_cluster({"kubeconfig": KUBECONFIG, "context": "two"}) == {"server": "https://two:2/"}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("jsonpath={.status.phase}", True),
        ("jsonpath={.status.phase}=Running", True),
        ("jsonpath={.status.phase}=Failed", False),
        ("jsonpath={.status.missing}", False),
        ('jsonpath={.status.conditions[?(@.type=="Ready")].status}=True', True),
        ("jsonpath={.status.conditions[0].type}=Old", True),
        ("jsonpath={.status.conditions[*].type}=Old", True),
        ("jsonpath={.metadata.labels['a.b/c']}=d", True),
        ("jsonpath={.status.replicas}=3", True),
        ("jsonpath={.status.on}=true", True),
    ],
)
def test_wait_for_reads_paths_as_kubectl_does(expression: str, expected: bool) -> None:
    conditions = [{"type": "Old", "status": "False"}, {"type": "Ready", "status": "True"}]
    status = {"phase": "Running", "conditions": conditions, "replicas": 3, "on": True}
    live = {"metadata": {"labels": {"a.b/c": "d"}}, "status": status}
    assert jsonpath.parse(expression).matches(live) is expected


@pytest.mark.parametrize("expression", ["jsonpath=.a", "jsonpath={}", "jsonpath={.a", "jsonpath={.a..b}", "ready"])
def test_a_wait_for_that_cannot_be_read_is_refused(expression: str) -> None:
    with pytest.raises(jsonpath.ExpressionError):
        ready.check_for({"metadata": {"annotations": {"pulumi.com/waitFor": expression}}})


def test_a_pods_reasons_name_scheduling_image_and_crash() -> None:
    pod = {
        "metadata": {"name": "web-1"},
        "status": {
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no cpu"}],
            "containerStatuses": [
                {"name": "a", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}},
                {
                    "name": "b",
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": {"exitCode": 3}},
                },
            ],
        },
    }
    reasons = " | ".join(ready.pod_reasons(pod))
    for word in ("Unschedulable", "no cpu", "ImagePullBackOff", "not found", "CrashLoopBackOff", "exit code 3"):
        assert word in reasons


def test_the_timeout_is_the_programs_then_the_annotations_then_ten_minutes() -> None:
    inputs = {"metadata": {"annotations": {"pulumi.com/timeoutSeconds": "30"}}}
    assert [naming.timeout_seconds(inputs, 5), naming.timeout_seconds(inputs, 0), naming.timeout_seconds({}, 0)] == [
        5,
        30,
        600,
    ]
