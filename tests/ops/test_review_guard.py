"""Which states are a review stack's own, and which are refused before anything of them is destroyed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ops.review.guard import RefusedError, require_own
from ops.review.mark import mark_of, marked
from settings import ReviewSettings

STACK, PROJECT, HERE = "review-7", "shop", "aaaaaaaaaaaaaaaa"
MARK = ReviewSettings(
    pull_request=7,
    owner="someone",
    created="2026-01-01T00:00:00Z",
    expires="2026-01-02T00:00:00Z",
    project=PROJECT,
    namespace="shop-review-7",
    cluster=HERE,
    registry="registry.example/review/shop/7",
    source="test",
)
State = dict[str, Any]


def resource(kind: str, name: str, **inputs: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:{STACK}::{PROJECT}::{kind}::{name}", "type": kind, "custom": True, "inputs": inputs}


def state() -> State:
    """Return what the engine records of a small review stack."""
    found = marked({"version": 3, "deployment": {}}, PROJECT, STACK, MARK)
    label = {"modelstack.dev/stack": STACK}
    found["deployment"]["resources"] += [
        resource("pulumi:providers:kubernetes", "cluster", kubeconfig="/home/ci/kubeconfig", context="staging"),
        resource("pulumi:providers:modelstack", "default"),
        resource("kubernetes:core/v1:Namespace", "cluster", metadata={"name": MARK.namespace, "labels": label}),
        resource("kubernetes:apps/v1:Deployment", "digits", metadata={"name": "digits", "namespace": MARK.namespace}),
        resource(
            "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole", "own", metadata={"name": "own", "labels": label}
        ),
        resource("modelstack:index:ModelImage", "digits", push="registry.example", repository="review/shop/7/digits"),
        resource("modelstack:index:SmokeTest", "digits", namespace=MARK.namespace, kubeconfig="/home/ci/kubeconfig"),
    ]
    return found


def here(kubeconfig: str, context: str | None) -> str:
    return HERE


def refusal(changed: State, stack: str = STACK, cluster: Callable[[str, str | None], str] = here) -> str:
    with pytest.raises(RefusedError) as caught:
        require_own(changed, stack, PROJECT, cluster)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def holding(*further: dict[str, Any]) -> State:
    changed = state()
    changed["deployment"]["resources"] += further
    return changed


def with_mark(**changes: Any) -> State:
    changed = copy.deepcopy(state())
    changed["deployment"]["resources"][0]["outputs"]["review"] |= changes
    return changed


def test_a_review_stack_of_this_project_and_cluster_passes() -> None:
    assert require_own(state(), STACK, PROJECT, here) == MARK
    assert require_own(state(), f"acme/{STACK}", PROJECT, here) == MARK


@pytest.mark.parametrize("name", ["dev", "prod", "review-7-copy", "review-"])
def test_a_stack_of_another_name_is_refused_though_it_has_a_mark(name: str) -> None:
    assert "its name is none of a review stack" in refusal(state(), name)


def test_a_stack_without_a_mark_is_refused() -> None:
    changed = state()
    changed["deployment"]["resources"][0]["outputs"] = {}
    assert mark_of(changed) is None
    assert "has no mark" in refusal(changed)


@pytest.mark.parametrize("expires", ["soon", "2026-01-02", "2026-13-01T00:00:00Z", "", 5])
def test_a_mark_that_cannot_be_read_is_none(expires: Any) -> None:
    assert "has no mark" in refusal(with_mark(expires=expires))


def test_the_mark_of_another_pull_request_is_refused() -> None:
    assert "its mark is of pull request 8" in refusal(with_mark(pullRequest=8))


def test_a_stack_of_another_project_is_refused() -> None:
    assert "is of project 'other', here is 'shop'" in refusal(with_mark(project="other"))


def test_a_stack_of_another_cluster_is_refused() -> None:
    asked = []

    def elsewhere(kubeconfig: str, context: str | None) -> str:
        asked.append((kubeconfig, context))
        return "b" * 16

    assert f"was made in cluster {HERE}" in refusal(state(), cluster=elsewhere)
    assert asked[0][0] == "/home/ci/kubeconfig"


def test_every_kubeconfig_that_something_is_reached_by_is_asked_for() -> None:
    def one_only(kubeconfig: str, context: str | None) -> str:
        return HERE if kubeconfig == "/home/ci/kubeconfig" else "b" * 16

    elsewhere = resource("modelstack:index:Definitions", "kinds", kubeconfig="/root/production")
    assert "'/root/production' leads to" in refusal(holding(elsewhere), cluster=one_only)


def test_a_cluster_that_does_not_answer_is_refused_with_the_reason() -> None:
    def silent(kubeconfig: str, context: str | None) -> str:
        raise RefusedError("which cluster it is cannot be told (no answer)")

    assert refusal(state(), cluster=silent) == f"stack {STACK}: which cluster it is cannot be told (no answer)"


FOREIGN = {
    "an object of another namespace": resource(
        "kubernetes:core/v1:Secret", "key", metadata={"name": "key", "namespace": "shop-prod"}
    ),
    "another namespace": resource(
        "kubernetes:core/v1:Namespace",
        "prod",
        metadata={"name": "shop-prod", "labels": {"modelstack.dev/stack": STACK}},
    ),
    "an object of the whole cluster without the stack's label": resource(
        "kubernetes:core/v1:Node", "node", metadata={"name": "node"}
    ),
    "an image of another stack's repository": resource(
        "modelstack:index:ModelImage", "digits", push="registry.example", repository="shop/digits"
    ),
    "an image of a neighbour's repository": resource(
        "modelstack:index:ModelImage", "digits", push="registry.example", repository="review/shop/77/digits"
    ),
    "an image of another registry": resource(
        "modelstack:index:ModelImage", "digits", push="other.example", repository="review/shop/7/digits"
    ),
    "a resource of a cloud": resource("aws:s3/bucketV2:BucketV2", "models"),
    "a command": resource("command:local:Command", "anything"),
    "a test in another namespace": resource("modelstack:index:SmokeTest", "it", namespace="shop-prod"),
    "a provider that leaves the cluster to the machine": resource("pulumi:providers:kubernetes", "other"),
    "a resource under another stack's name": {
        **resource("kubernetes:apps/v1:Deployment", "x", metadata={"namespace": MARK.namespace}),
        "urn": "urn:pulumi:prod::shop::kubernetes:apps/v1:Deployment::x",
    },
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_state_that_holds_what_is_not_the_stacks_own_is_refused(foreign: dict[str, Any]) -> None:
    assert refusal(holding(foreign)).startswith(f"stack {STACK}: ")


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN.keys())
def test_an_operation_that_was_begun_counts_as_what_is_recorded(foreign: dict[str, Any]) -> None:
    changed = state()
    changed["deployment"]["pending_operations"] = [{"type": "creating", "resource": foreign}]
    assert refusal(changed).startswith(f"stack {STACK}: ")


@pytest.mark.parametrize(
    "forged",
    [
        {"namespace": "shop-test"},
        {"namespace": "shop-review-8"},
        {"registry": "registry.example/shop"},
        {"registry": "registry.example/review/shop/8"},
    ],
)
def test_a_mark_that_names_another_stacks_place_is_refused(forged: dict[str, str]) -> None:
    found = copy.deepcopy(state())
    mark = MARK.model_copy(update=forged)
    outputs = marked({"version": 3, "deployment": {}}, PROJECT, STACK, mark)["deployment"]["resources"]
    kinds = {one["type"] for one in outputs}
    kept = [one for one in found["deployment"]["resources"] if one["type"] not in kinds]
    found["deployment"]["resources"] = [*outputs, *kept]
    assert mark_of(found) == mark
    assert "none of a review stack's" in refusal(found)
