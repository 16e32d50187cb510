"""The program's own stacks, as it asks the engine for them, before every policy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from model_build import recipe as recipes
from tests.components.programs import PROJECT, Made, Object, Run, stack_of
from tests.components.test_kserve import by_kserve
from tests.components.test_scaling import BAKED
from tests.policy.cases import INSIDE
from tests.policy.judging import Given, Judges

Judged = Callable[..., dict[str, list[str]]]
DIGITS = {"recipe": "models/digits/recipe.yaml"}
KEYS = {"push": "127.0.0.1:7401", "publicKeys": ["keys/release.pub"]}
SLO = {"availability": 0.999, "p99Seconds": 0.1}
CANARY = {"strategy": "canary"}
HOST = "models.example.com"
# What a stack says beside its models, or of digits.
SETTINGS: dict[str, Object] = {
    "canary": {"models": {"digits": {**DIGITS, "replicas": 2, "rollout": CANARY}}},
    "blue-green": {
        "models": {"digits": {**DIGITS, "rollout": {"strategy": "blueGreen"}}},
        "gateway": {"enabled": True},
    },
    "cached": {"models": {"digits": {**DIGITS, "cached": True}}},
    "scaled": {"models": {"digits": {**DIGITS, "scale": {"max": 3, "requests": 10}}}},
    "stored": {"models": {"digits": DIGITS}, "monitoring": {"storage": "1Gi"}},
    "load balancer inside": {"exposure": {"type": "LoadBalancer", "annotations": INSIDE}},
    "load balancer for networks": {"exposure": {"type": "LoadBalancer", "allow": {"cidrs": ["10.0.0.0/8"]}}},
    "ingress": {"exposure": {"type": "Ingress", "host": HOST, "tlsSecret": "tls"}},  # pragma: allowlist secret
    "ingress behind TLS": {"exposure": {"type": "Ingress", "host": HOST, "https": True}},
    "route": {"exposure": {"type": "HTTPRoute", "host": HOST, "https": True, "parent": {"name": "public"}}},
}


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Judged:
    def run(config: Object, stack: str = "dev") -> dict[str, list[str]]:
        whole = {"models": {"digits": DIGITS}, **config}
        made = stack_of(monkeypatch, tmp_path, whole, stack=stack, baked=BAKED)
        return Judges(whole, stack).all_of(*given(made))

    return run


def given(run: Run) -> list[Given]:
    """What the engine hands to policies; of an image also what the provider adds of its recipe."""
    return [Given(one.type, _completed(one), one.name) for one in run.made]


def _completed(one: Made) -> Object:
    if not one.type.endswith(":ModelImage"):
        return one.inputs
    recipe = recipes.load(PROJECT / one.inputs["recipe"])
    return {**one.inputs, "parsed": recipe.model_dump(mode="json")}


@pytest.mark.parametrize("stack", ["dev", "test"])
def test_the_stacks_of_the_repository_keep_every_policy(judged: Judged, stack: str) -> None:
    settings = yaml.safe_load((PROJECT / f"Pulumi.{stack}.yaml").read_text())["config"]
    assert judged({key.removeprefix("modelstack:"): one for key, one in settings.items()}, stack) == {}


def test_every_kind_of_pod_that_the_program_makes_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    digits = {**DIGITS, "rollout": CANARY}
    config = {
        "models": {"digits": digits, "mnist": {"recipe": "models/mnist/recipe.yaml"}},
        "gateway": {"enabled": True},
    }
    unlimited = [_unlimited(one) for one in given(stack_of(monkeypatch, tmp_path, config))]
    told = Judges().judge("requests-and-limits", *unlimited)
    seen = {message.split(": ")[0].rpartition(":")[2] for message in told}
    assert seen >= {"Rollout digits", "AnalysisTemplate digits-agreement", "Deployment mnist", "StatefulSet prometheus"}
    assert seen >= {"Deployment gateway", "Deployment argo-rollouts", "SmokeTest mnist-smoke"}


def _unlimited(one: Given) -> Given:
    return Given(one.type, json.loads(json.dumps(one.properties).replace('"limits"', '"none"')), one.name)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_stack_keeps_every_policy_whatever_its_settings_ask_for(judged: Judged, name: str) -> None:
    assert judged(SETTINGS[name]) == {}


@pytest.mark.parametrize("case", ["triton", "vllm", "vllm-over-nodes"])
def test_models_that_kserve_serves_keep_every_policy(judged: Judged, tmp_path: Path, case: str) -> None:
    assert judged(by_kserve(tmp_path, case)) == {}


@pytest.mark.parametrize(
    ("exposure", "property_"),
    [
        ({"type": "LoadBalancer"}, "spec.type: 'LoadBalancer'"),
        ({"type": "Ingress", "host": HOST}, "spec.tls: is missing"),
        ({"type": "HTTPRoute", "host": HOST, "parent": {"name": "public"}}, "modelstack.dev/https"),
    ],
)
def test_a_way_in_for_everyone_or_in_the_clear_is_refused(judged: Judged, exposure: Object, property_: str) -> None:
    told = judged({"exposure": exposure})
    assert list(told) == ["no-public-endpoint"]
    assert all(property_ in message for message in told["no-public-endpoint"])


def test_a_stack_that_says_no_more_than_dev_is_refused_in_prod(judged: Judged) -> None:
    assert set(judged({}, "prod")) == {"signed-image", "canary-in-prod", "slo-in-prod"}


def test_prod_is_let_pass_with_keys_a_canary_and_an_objective(judged: Judged) -> None:
    assert judged({"models": {"digits": {**DIGITS, "rollout": CANARY, "slo": SLO}}, "registry": KEYS}, "prod") == {}


def test_a_generated_text_is_refused_in_prod_without_a_written_reason(judged: Judged, tmp_path: Path) -> None:
    config = by_kserve(tmp_path, "vllm", slo=SLO)
    told = judged({**config, "registry": KEYS}, "prod")
    assert set(told) == {"gates-in-prod", "canary-in-prod"}
    reason = "nothing measures its text yet, and KServe has no canary here"
    excepted = [{"policy": name, "resource": "digits", "reason": reason} for name in told]
    assert judged({**config, "registry": KEYS, "policies": {"exceptions": excepted}}, "prod") == {}
