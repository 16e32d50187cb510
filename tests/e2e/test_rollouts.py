"""A canary on real pods: promoted, refused for what it answers, and not promoted where nothing can be measured."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from tests.e2e.checkout import Checkout
from tests.e2e.cluster import Cluster
from tests.receivers import hook
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.soak, pytest.mark.timeout(1500)]

STACK = "rollouts"
NAMESPACE = f"modelstack-{STACK}"
RECIPE, DATA = "models/digits/recipe.yaml", "models/digits/data.py"
SETTINGS = """config:
  modelstack:models:
    digits:
      recipe: models/digits/recipe.yaml
      replicas: 2
      rollout: {strategy: canary, steps: [{weight: 50, seconds: 10}]}
"""
CALIBRATED = "calibration_samples: 400"
# Every label is another class's: the model passes its gates, and agrees with its own golden answers.
BLUE_GREEN = ("{strategy: canary, steps: [{weight: 50, seconds: 10}]}", "{strategy: blueGreen, previewSeconds: 10}")
SHUFFLED = ("digits.target, seed", "(digits.target + 1) % 10, seed")


@pytest.fixture(scope="module")
def canary(checkout: Checkout) -> Iterator[Checkout]:
    """The clone with a stack of its own, whose model is rolled out by canary."""
    (checkout.folder / f"Pulumi.{STACK}.yaml").write_text(SETTINGS)
    checkout.must("up", STACK)
    yield checkout
    checkout.must("destroy", STACK)


def version(checkout: Checkout) -> str:
    """What the stack's endpoint says it serves."""
    url = checkout.outputs(STACK)["endpoint"]["digits"]
    # A connection of its own: one that is kept alive stays with the pod it was made to.
    with urllib3.PoolManager() as pool:
        found: str = pool.request("GET", f"{url}/v2/models/digits", timeout=10).json()["versions"][0]
    return found


def rollout(cluster: Cluster) -> dict[str, Any]:
    return cluster.get("rollouts.argoproj.io", "digits", "--namespace", NAMESPACE)


def named(cluster: Cluster, name: str) -> list[dict[str, Any]]:
    pods = cluster.items("pods", NAMESPACE)
    return [pod for pod in pods if pod["metadata"]["labels"].get("app.kubernetes.io/name") == name]


def versions(cluster: Cluster) -> set[str]:
    """The versions of the model's pods that run."""
    pods = cluster.items("pods", NAMESPACE)
    labels = [pod["metadata"]["labels"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    return {one["app.kubernetes.io/version"] for one in labels if one.get("modelstack.dev/model") == "digits"}


def test_the_first_version_is_served_at_once(canary: Checkout, cluster: Cluster) -> None:
    assert rollout(cluster)["status"]["phase"] == "Healthy"
    assert versions(cluster) == {version(canary)}


def test_nothing_is_pending_after_the_controller_has_pointed_its_services(canary: Checkout) -> None:
    done = canary.run("pulumi", "refresh", "--stack", STACK, "--yes", "--non-interactive")
    assert done.code == 0, done.said
    canary.must("preview", STACK, ARGS="--expect-no-changes")


def test_a_version_that_holds_to_its_limits_is_promoted(canary: Checkout, cluster: Cluster) -> None:
    before = version(canary)
    with canary.edited(RECIPE, CALIBRATED, "calibration_samples: 390"):
        canary.must("up", STACK)
        assert version(canary) != before
        assert versions(cluster) == {version(canary)}
        runs = cluster.items("analysisruns.argoproj.io", NAMESPACE)
        measured = {one["name"]: one["phase"] for run in runs for one in run["status"]["metricResults"]}
        assert measured == dict.fromkeys(("agreement", "error-ratio", "p99"), "Successful")


def test_a_model_that_passes_its_gates_and_is_wrong_is_refused_by_name(canary: Checkout, cluster: Cluster) -> None:
    before = version(canary)
    settings = f"Pulumi.{STACK}.yaml"
    with hook() as told, canary.edited(DATA, *SHUFFLED):
        notified = f"config:\n  modelstack:notifications: {{webhook: '{told.url}'}}\n"
        with canary.edited(settings, "config:\n", notified):
            done = canary.make("up", STACK)
        assert done.code != 0
        (body,) = told.bodies
        assert (body["kind"], body["stack"]) == ("canary-refused", STACK)
        assert 'Metric "agreement" assessed Failed' in body["reason"]
        assert 'Metric "agreement" assessed Failed' in done.said, done.said
        assert "golden samples) of http://digits-canary:8080 with stable is below 0.75" in done.said
        assert "the version before goes on serving" in done.said
        until(lambda: versions(cluster) == {before}, "the canary is gone")
        assert version(canary) == before
    canary.must("up", STACK)
    canary.must("preview", STACK, ARGS="--expect-no-changes")


def test_without_prometheus_nothing_is_promoted_and_with_it_another_try_is(canary: Checkout, cluster: Cluster) -> None:
    before = version(canary)
    with canary.edited(RECIPE, CALIBRATED, "calibration_samples: 380"):
        cluster.must("scale", "statefulset", "prometheus", "--replicas=0", "--namespace", NAMESPACE)
        until(lambda: not named(cluster, "prometheus"), "Prometheus has ended")
        done = canary.make("up", STACK)
        assert done.code != 0
        assert re.search(r'Metric "(error-ratio|p99)" assessed Error due to consecutiveErrors', done.said), done.said
        # Until its pods are gone the canary answers its share.
        until(lambda: versions(cluster) == {before}, "the canary is gone")
        assert version(canary) == before
        cluster.must("scale", "statefulset", "prometheus", "--replicas=1", "--namespace", NAMESPACE)
        said = canary.must("up", STACK)
        assert "trying the same version again" in said
        assert versions(cluster) == {version(canary)} != {before}


def test_blue_green_switches_after_its_analysis_and_not_to_a_wrong_model(canary: Checkout, cluster: Cluster) -> None:
    with canary.edited(f"Pulumi.{STACK}.yaml", *BLUE_GREEN):
        canary.must("up", STACK)
        before = version(canary)
        with canary.edited(DATA, *SHUFFLED):
            done = canary.make("up", STACK)
        assert done.code != 0
        assert 'Metric "agreement" assessed Failed' in done.said, done.said
        assert version(canary) == before
        canary.must("up", STACK)


def test_a_model_goes_back_to_a_deployment_and_the_kinds_go_with_the_last_rollout(
    canary: Checkout, cluster: Cluster
) -> None:
    text = (canary.folder / f"Pulumi.{STACK}.yaml").read_text()
    rolled = next(line for line in text.splitlines() if "rollout:" in line)
    with canary.edited(f"Pulumi.{STACK}.yaml", rolled, ""):
        canary.must("up", STACK)
        assert cluster.items("crd") == []
        canary.must("preview", STACK, ARGS="--expect-no-changes")
