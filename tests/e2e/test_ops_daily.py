"""The daily commands on stack dev: drift, plain YAML, logs, and who is told when something fails."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.e2e.checkout import Checkout, Done
from tests.e2e.cluster import Cluster
from tests.processes import processes
from tests.receivers import Hook, hook
from tests.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.build, pytest.mark.timeout(1500)]

SETTINGS = "Pulumi.dev.yaml"
NAMESPACE = "modelstack-dev"
IN_NAMESPACE = ("--namespace", NAMESPACE)
BUDGET = "kubernetes:policy/v1:PodDisruptionBudget"
TENSOR = {"name": "input", "datatype": "FP32", "shape": [1, 1, 8, 8], "data": [0] * 64}


def ops(checkout: Checkout, *arguments: str) -> Done:
    return checkout.run(".venv/bin/python", "-m", "ops", *arguments)


@contextmanager
def told(dev: Checkout) -> Iterator[Hook]:
    """Whom stack dev tells, for the length of a block."""
    with hook() as there:
        named = f"config:\n  modelstack:notifications: {{webhook: '{there.url}'}}\n"
        with dev.edited(SETTINGS, "config:\n", named):
            yield there


def objects(done: Done) -> list[dict[str, Any]]:
    """What a command printed as JSON, an object a line, without what it said on standard error."""
    return [json.loads(line) for line in done.said.splitlines() if line.startswith("{")]


def test_nobody_changed_anything_and_there_is_no_drift(dev: Checkout) -> None:
    with told(dev) as there:
        done = ops(dev, "drift")
    assert done.code == 0, done.said
    assert there.bodies == []


def test_what_was_changed_by_hand_is_drift_until_it_is_put_back(
    dev: Checkout, cluster: Cluster, tmp_path: Path
) -> None:
    rendered = ops(dev, "render", "dev", "--output", str(tmp_path / "before"))
    assert rendered.code == 0, rendered.said
    state = dev.run("pulumi", "stack", "export", "--stack", "dev").said
    cluster.must("patch", "pdb", "mnist", "--patch", '{"spec": {"maxUnavailable": 2}}', *IN_NAMESPACE)
    cluster.must("delete", "pdb", "digits", *IN_NAMESPACE)
    cluster.must("annotate", "service", "gateway", "example.com/added=by-others", *IN_NAMESPACE)
    try:
        with told(dev) as there:
            done = ops(dev, "drift", "dev", "--json")
        assert done.code == 3, done.said
        (report,) = objects(done)
        changes = {(one["type"], one["name"]): (one["change"], one["fields"]) for one in report["resources"]}
        field = {"path": "spec.maxUnavailable", "change": "changed", "state": 1, "found": 2}
        assert changes == {(BUDGET, "digits"): ("gone", []), (BUDGET, "mnist"): ("changed", [field])}
        (body,) = there.bodies
        assert (body["kind"], body["stack"]) == ("drift", "dev")
        assert dev.run("pulumi", "stack", "export", "--stack", "dev").said == state
    finally:
        files = [str(path) for path in (tmp_path / "before").glob("poddisruptionbudget-*.yaml")]
        cluster.must("apply", "--server-side", "--force-conflicts", *(f"--filename={file}" for file in files))
    done = ops(dev, "drift")
    assert done.code == 0, done.said


def test_the_api_server_takes_what_is_rendered(dev: Checkout, cluster: Cluster, tmp_path: Path) -> None:
    folder = str(tmp_path / "deploy")
    done = ops(dev, "render", "dev", "--output", folder)
    assert done.code == 0, done.said
    said = cluster.run("apply", "--server-side", "--dry-run=server", "--kustomize", folder)
    applied = [line for line in said.splitlines() if line.endswith("serverside-applied (server dry run)")]
    assert len(applied) == len(said.splitlines()) == len(list(Path(folder).iterdir())) - 1


def test_a_preview_renders_what_the_state_does_until_a_setting_changes(dev: Checkout, tmp_path: Path) -> None:
    folder = str(tmp_path / "deploy")
    done = ops(dev, "render", "dev", "--output", folder)
    assert done.code == 0, done.said
    done = ops(dev, "render", "dev", "--from", "preview", "--output", folder, "--check")
    assert done.code == 0, done.said
    with dev.edited(SETTINGS, "gateway: {enabled: true}", "gateway: {enabled: true, queueSeconds: 6}"):
        done = ops(dev, "render", "dev", "--from", "preview", "--output", folder, "--check")
    assert done.code == 3, done.said
    assert f"{folder}/configmap-gateway.yaml: differs" in done.said


def test_another_stack_is_rendered_before_it_was_ever_up(dev: Checkout) -> None:
    digest = dev.outputs()["models"]["digits"]["image"]
    done = ops(dev, "render", "test")
    assert done.code == 0, done.said
    assert "stack test: rendered from a preview" in done.said
    assert f"image: {digest}\n" in done.said


def test_the_id_in_an_answer_finds_its_request_in_the_logs(dev: Checkout) -> None:
    url = dev.outputs()["endpoint"]["digits"]
    answer = urllib3.request("POST", f"{url}/v2/models/digits/infer", json={"inputs": [TENSOR]})
    assert answer.status == 200, answer.data
    name = answer.headers["x-request-id"]
    until(lambda: ops(dev, "logs", "dev", "--grep-id", name).code == 0, "the request is in the logs")
    done = ops(dev, "logs", "dev", "--grep-id", name, "--json")
    (line,) = objects(done)
    assert (line["name"], line["log"]["id"], line["log"]["status"]) == ("gateway", name, 200)
    assert line["log"]["path"] == "/v2/models/digits/infer"


def test_what_a_killed_container_wrote_is_there_by_previous(dev: Checkout, cluster: Cluster) -> None:
    (pod,) = [one for one in cluster.items("pods", NAMESPACE) if is_of(one, "mnist")]
    done = ops(dev, "logs", "dev", "mnist", "--previous", "--since", "all")
    assert done.code == 3, done.said
    (process,) = processes(pod, "model_server")
    os.kill(process, signal.SIGKILL)
    name = pod["metadata"]["name"]
    until(lambda: restarts(cluster.get("pod", name, *IN_NAMESPACE)) == 1, "the container is started again")
    done = ops(dev, "logs", "dev", "mnist", "--previous", "--since", "all", "--json")
    assert done.code == 0, done.said
    assert [line["log"]["message"] for line in objects(done)][:2] == ["listening", "model ready"]


def test_an_up_that_fails_is_told(dev: Checkout) -> None:
    closed = "modelstack:registry: {push: 127.0.0.1:9}\n  modelstack:models:"
    with told(dev) as there, dev.edited(SETTINGS, "modelstack:models:", closed):
        done = dev.make("up")
    assert done.code != 0
    (body,) = there.bodies
    assert (body["kind"], body["stack"]) == ("up-failed", "dev")
    assert "127.0.0.1:9" in body["reason"]


def is_of(pod: dict[str, Any], model: str) -> bool:
    labels = pod["metadata"]["labels"]
    return labels.get("app.kubernetes.io/name") == model and "deletionTimestamp" not in pod["metadata"]


def restarts(pod: dict[str, Any]) -> int:
    return int(pod["status"]["containerStatuses"][0]["restartCount"])
