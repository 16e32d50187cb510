"""The whole program on the embedded platform, as a user of a clean clone runs it."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
import urllib3

from tests.e2e.checkout import ROOT, Checkout
from tests.e2e.cluster import Cluster
from tests.waiting import until

OWN = "{name: onnxruntime}"
pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.timeout(1500)]


def query(url: str, expression: str) -> list[dict[str, Any]]:
    answer = urllib3.request("GET", f"{url}/api/v1/query", fields={"query": expression}, timeout=10)
    result: list[dict[str, Any]] = answer.json()["data"]["result"]
    return result


def is_of(pod: dict[str, Any], model: str) -> bool:
    labels = pod["metadata"]["labels"]
    return labels.get("modelstack.dev/model") == model and "deletionTimestamp" not in pod["metadata"]


def counts(url: str, expression: str) -> dict[str, int]:
    return {one["metric"]["model"]: int(one["value"][1]) for one in query(url, expression)}


def answers_for_each_model(url: str, expression: str) -> bool:
    return {one["metric"]["model"] for one in query(url, expression)} == {"digits", "mnist"}


def test_make_up_builds_and_serves_both_models(dev: Checkout, first_up: str) -> None:
    assert set(dev.outputs()["endpoint"]) == {"digits", "mnist"}


def test_a_second_up_changes_nothing(dev: Checkout) -> None:
    said = dev.must("up")
    assert re.search(r"^ +\d+ unchanged$", said, re.MULTILINE), said
    assert "to create" not in said
    assert "to update" not in said


def test_a_preview_expects_no_changes(dev: Checkout) -> None:
    dev.must("preview", ARGS="--expect-no-changes")


def test_a_refresh_finds_the_cluster_as_the_program_wants_it(dev: Checkout) -> None:
    done = dev.run("pulumi", "refresh", "--stack", "dev", "--yes", "--non-interactive", "--expect-no-changes")
    assert done.code == 0, done.said
    dev.must("preview", ARGS="--expect-no-changes")


def test_every_held_out_sample_is_sent_and_97_percent_are_right(dev: Checkout) -> None:
    said = dev.must("predict")
    found = re.findall(r"^(\w+): (\d+)/(\d+) correct over HTTP, p50 \d+\.\d ms$", said, re.MULTILINE)
    totals = {model: (int(correct), int(total)) for model, correct, total in found}
    assert {model: total for model, (_, total) in totals.items()} == {"digits": 360, "mnist": 2000}
    assert all(correct >= 0.97 * total for correct, total in totals.values()), said


def test_prometheus_scrapes_every_server(dev: Checkout) -> None:
    url = dev.outputs()["prometheus"]
    assert {one["metric"]["model"] for one in query(url, 'up{model!=""}')} == {"digits", "mnist"}
    # Of pods that have ended a cluster's DNS tells for half a minute.
    until(lambda: {one["value"][1] for one in query(url, 'up{model!=""}')} == {"1"}, "every server is scraped")


def test_prometheus_counts_the_requests_of_predict(dev: Checkout) -> None:
    url = dev.outputs()["prometheus"]
    expression = 'sum by (model) (modelstack_requests_total{code="200"})'
    before = counts(url, expression)
    dev.must("predict")
    wanted = {"digits": before.get("digits", 0) + 360, "mnist": before.get("mnist", 0) + 2000}
    # The first reading may miss what was sent since the last scrape, so that the second may be higher still.
    until(lambda: all(counts(url, expression).get(name, 0) >= wanted[name] for name in wanted), f"at least {wanted}")


def test_the_queries_of_the_readme_answer_for_each_model(dev: Checkout) -> None:
    url = dev.outputs()["prometheus"]
    asked = re.findall(r"--data-urlencode 'query=(.+)'$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert len(asked) == 2
    for expression in asked:
        until(partial(answers_for_each_model, url, expression), expression)


def test_a_pod_beyond_the_restricted_profile_is_refused(dev: Checkout, cluster: Cluster) -> None:
    namespace = dev.outputs()["namespace"]
    said = cluster.refusal("run", "root", "--image=any", "--privileged", "--dry-run=server", "--namespace", namespace)
    assert 'violates PodSecurity "restricted' in said


def test_images_run_by_digest_alone(dev: Checkout, cluster: Cluster) -> None:
    pods = cluster.items("pods", dev.outputs()["namespace"])
    images = [one["image"] for pod in pods for one in pod["spec"]["containers"]]
    assert all(re.search(r"@sha256:[0-9a-f]{64}$", image) for image in images), images


def test_a_changed_parameter_is_named_and_touches_only_its_model(dev: Checkout) -> None:
    with dev.edited("models/digits/recipe.yaml", "calibration_samples: 400", "calibration_samples: 300"):
        plan = dev.preview()
        planned = dev.planned()
    assert planned == {
        "modelstack:index:ModelImage::digits": "update",
        "kubernetes:apps/v1:Deployment::digits": "update",
        "modelstack:index:SmokeTest::digits-smoke": "update",
    }
    said = " ".join(one["message"] for one in plan["diagnostics"])
    assert "steps.quantize.calibration_samples: 400 → 300" in said


def test_weights_packaged_as_a_volume_are_mounted_beside_the_runtime_image(dev: Checkout, cluster: Cluster) -> None:
    with dev.edited("models/mnist/recipe.yaml", "runtime: {name: onnxruntime}", f"runtime: {OWN}\npackaging: volume"):
        dev.must("up")
        (pod,) = [one for one in cluster.items("pods", dev.outputs()["namespace"]) if is_of(one, "mnist")]
        said = dev.must("predict")
    image = dev.outputs()["models"]["mnist"]["image"]
    assert [one["image"]["reference"] for one in pod["spec"]["volumes"] if "image" in one] == [image]
    assert [one["image"] for one in pod["spec"]["containers"]] != [image]
    assert re.search(r"^mnist: 19\d\d/2000 correct over HTTP", said, re.MULTILINE), said
    dev.must("up")


def test_the_stacks_salt_stays_out_of_the_checkout(dev: Checkout) -> None:
    assert (dev.folder / "Pulumi.dev.yaml").read_bytes() == (ROOT / "Pulumi.dev.yaml").read_bytes()


def test_another_stack_knows_the_digest_at_once_and_builds_nothing(dev: Checkout) -> None:
    digests = {name: one["image"] for name, one in dev.outputs()["models"].items()}
    first = dev.must("preview", "test")
    assert all(image in first for image in digests.values()), first
    said = dev.must("up", "test")
    assert "train" not in said
    assert {name: one["image"] for name, one in dev.outputs("test")["models"].items()} == digests
