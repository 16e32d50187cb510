"""In which order a stack goes: what a controller looks after before the controller, the namespace last."""

from __future__ import annotations

from typing import Any

import pytest

from tests.components.conftest import MODELS, Program
from tests.components.programs import Run

ROLLOUTS: dict[str, dict[str, Any]] = {
    "canary": {"strategy": "canary", "steps": [{"weight": 50, "seconds": 10}]},
    "blueGreen": {"strategy": "blueGreen", "previewSeconds": 20},
}
CONTROLLER = "kubernetes:apps/v1:Deployment::argo-rollouts"
LEAVE = (
    "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding::argo-rollouts",
    "modelstack:index:Definitions::argo-rollouts",
)
WORKED_ON = ("Rollout::", "AnalysisTemplate::", "core/v1:Service::digits", "Ingress::", "ScaledObject::")


@pytest.fixture(params=ROLLOUTS)
def run(request: pytest.FixtureRequest, program: Program) -> Run:
    """A stack with all that a controller or a load balancer works on."""
    digits = {**MODELS["digits"], "rollout": ROLLOUTS[request.param]}
    return program({"models": {**MODELS, "digits": digits}, "exposure": {"type": "LoadBalancer"}})


def of(run: Run, ending: str) -> str:
    """Return the URN that ends so."""
    (found,) = [urn for urn in run.after if urn.endswith(ending)]
    return found


def test_what_the_controller_works_on_goes_before_it(run: Run) -> None:
    controller = of(run, CONTROLLER)
    worked_on = [urn for urn in run.after if any(one in urn for one in WORKED_ON) and "digits-pods" not in urn]
    assert len(worked_on) >= 4
    assert [urn for urn in worked_on if controller not in run.waits_for(urn)] == []


def test_the_controller_goes_before_what_lets_it_work(run: Run) -> None:
    assert {of(run, one) for one in LEAVE} <= run.waits_for(of(run, CONTROLLER))


def test_every_object_goes_before_the_namespace(run: Run) -> None:
    namespace = of(run, "kubernetes:core/v1:Namespace::cluster")
    objects = [urn for urn in run.after if "kubernetes:" in urn.rpartition("::")[0] and urn != namespace]
    assert len(objects) > 20
    assert [urn for urn in objects if namespace not in run.waits_for(urn) and "pulumi:providers" not in urn] == []
