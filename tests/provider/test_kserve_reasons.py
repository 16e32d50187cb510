"""What an InferenceService and its Deployments say: whether the wanted pods serve, and what prevents it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from provider import kserve_reasons

Object = dict[str, Any]
READY: Object = {"metadata": {"name": "digits"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}
DONE: Object = {
    "metadata": {"name": "digits-predictor", "generation": 3},
    "spec": {"replicas": 2, "template": {"metadata": {"annotations": {"modelstack.dev/wanted": "new"}}}},
    "status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
}
WORKERS: Object = {**DONE, "metadata": {"name": "digits-predictor-worker", "generation": 3}}


def changed(found: Object, path: tuple[str, ...], value: object) -> Object:
    """Return a copy with another value at a path of keys."""
    copy = deepcopy(found)
    *rooms, key = path
    room = copy
    for one in rooms:
        room = room[one]
    room[key] = value
    return copy


def refused(transition: str, **said: object) -> Object:
    status = {"modelStatus": {"transitionStatus": transition, "lastFailureInfo": said}}
    return {"metadata": {"name": "digits"}, "status": status}


def test_pods_serve_that_carry_the_mark_are_all_new_and_as_many_as_asked_for() -> None:
    assert kserve_reasons.serves(READY, [DONE], "new", 2)
    assert kserve_reasons.serves(READY, [DONE, WORKERS], "new", 2)


def test_of_a_scaled_model_no_number_is_asked_for() -> None:
    assert kserve_reasons.serves(READY, [DONE], "new", 0)
    assert not kserve_reasons.serves(READY, [DONE], "new", 3)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "template", "metadata", "annotations"), {"modelstack.dev/wanted": "old"}),  # Ready is of before
        (("metadata", "generation"), 4),
        (("status", "updatedReplicas"), 1),
        (("status", "availableReplicas"), 1),
        (("status", "replicas"), 3),  # one of the version before is still there
        (("status",), {}),
    ],
)
def test_pods_that_are_not_all_new_do_not_serve_yet(path: tuple[str, ...], value: object) -> None:
    assert not kserve_reasons.serves(READY, [changed(DONE, path, value)], "new", 2)
    assert not kserve_reasons.serves(READY, [DONE, changed(WORKERS, path, value)], "new", 2)


def test_nothing_serves_before_the_controller_has_made_a_deployment_or_says_that_it_is_ready() -> None:
    assert not kserve_reasons.serves(READY, [], "new", 0)
    assert not kserve_reasons.serves(READY, [WORKERS], "new", 0)
    assert not kserve_reasons.serves({"metadata": {"name": "digits"}}, [DONE], "new", 2)


@pytest.mark.parametrize(
    ("live", "reason"),
    [
        (
            refused("InvalidSpec", reason="RuntimeNotRecognized", message="Waiting for runtime\nto be there"),
            "RuntimeNotRecognized: Waiting for runtime to be there",
        ),
        (refused("InvalidSpec"), "InvalidSpec: no reason given"),
        # It is of any one pod: after a version that crashed, for as long as its pods are there.
        (refused("BlockedByFailedLoad", reason="ModelLoadFailed", message="of before", exitCode=7), None),
        (refused("InProgress", reason="ModelLoadFailed", message="of before"), None),
        (READY, None),
    ],
)
def test_what_no_waiting_mends_is_told(live: Object, reason: str | None) -> None:
    assert kserve_reasons.refusal(live, [DONE], "new") == reason


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("InvalidGPUAllocation", "InvalidGPUAllocation: too few"),
        ("MinimumReplicasUnavailable", None),  # pods that start
        ("ProgressDeadlineExceeded", None),  # KServe's ten minutes, where the stack may give more
    ],
)
def test_a_predictor_that_is_not_ready_has_failed_by_its_reason_alone(reason: str, told: str | None) -> None:
    condition = {"type": "PredictorReady", "status": "False", "reason": reason, "message": "too few"}
    live = {"metadata": {"name": "digits"}, "status": {"conditions": [condition]}}
    assert kserve_reasons.refusal(live, [], "new") == told


def test_pods_that_are_not_admitted_are_told_of_the_version_that_is_waited_for() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    short = changed(WORKERS, ("status",), {"conditions": [condition]})
    assert kserve_reasons.refusal(READY, [DONE, short], "new") == "FailedCreate: exceeded quota"
    assert kserve_reasons.refusal(READY, [DONE, short], "other") is None


def test_one_line_says_how_far_it_is() -> None:
    status = [{"type": "Ready", "status": "False"}, {"type": "Stopped", "status": "False"}]
    waiting = {**READY, "status": {"conditions": status}}
    few = {**WORKERS, "status": {"observedGeneration": 3, "updatedReplicas": 1}}
    assert kserve_reasons.progress(READY, [], "new").startswith("the controller has not made its Deployment")
    assert kserve_reasons.progress(READY, [DONE], "other").startswith("the controller has not made its Deployment")
    assert kserve_reasons.progress(READY, [DONE, few], "new") == (
        "digits-predictor-worker: 1 of 2 pods new, 0 available"
    )
    assert kserve_reasons.progress(waiting, [DONE], "new") == "conditions not true: Ready"
