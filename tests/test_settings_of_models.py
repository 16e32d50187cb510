"""How many pods a model has and how a new version takes over: defaults, and what cannot work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.test_settings import load, model, refused

CPU = {"min": 1, "max": 4, "cpu": 70}
WAITING = {"max": 4, "waiting": 8}
KEDA = {"installed": True}
OWN = {
    "cluster": {"kubeconfig": "~/.kube/config"},
    "registry": {"push": "registry.example"},
    "base": "registry.example/base:1",
}


def test_a_scaled_model_begins_with_its_least_pods_and_one_at_least() -> None:
    found = load(models=model(scale={**CPU, "min": 2})).models["digits"]
    assert (found.first, found.most, found.to_zero) == (2, 4, False)
    sleeps = model(scale={**WAITING, "min": 0})
    slept = load(models=sleeps, keda=KEDA, gateway={"enabled": True}).models["digits"]
    assert (slept.first, slept.most, slept.to_zero) == (1, 4, True)


def test_a_model_that_is_not_scaled_has_its_replicas() -> None:
    found = load(models=model(replicas=3)).models["digits"]
    assert (found.first, found.most, found.to_zero) == (3, 3, False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": {"cpu": 70}}, "models.digits.scale.max: is missing; add it"),
        ({"scale": {**CPU, "min": 5}}, "models.digits.scale: min 5 is above max 4; lower min or raise max"),
        ({"scale": {"max": 4}}, "models.digits.scale: names nothing to measure; add cpu, waiting or requests"),
        ({"scale": {**CPU, "min": 0}}, "models.digits.scale: min: 0 with cpu alone never wakes"),
        ({"scale": {**CPU, "cpus": 1}}, "models.digits.scale.cpus: is no known key, did you mean `cpu`"),
        ({"scale": {**CPU, "cpu": "70%"}}, "models.digits.scale.cpu: '70%': "),
        ({"scale": CPU, "replicas": 2}, "models.digits: names replicas and scale"),
        (
            {"scale": {**WAITING, "min": 0}, "rollout": {"strategy": "canary"}},
            "models.digits: scale.min: 0 leaves rollout.strategy canary no pod to compare with",
        ),
    ],
)
def test_a_scale_that_cannot_work_is_refused(changes: dict[str, Any], message: str) -> None:
    assert refused(models=model(**changes)).startswith(f"modelstack:{message}")


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"keda": KEDA, "monitoring": {"enabled": False}}, "read from Prometheus, which monitoring.enabled: false"),
        (OWN, "read by KEDA; install it in the cluster and set modelstack:keda: {installed: true}, or use cpu"),
        ({"keda": KEDA}, "min: 0 is woken by what the gateway is asked, and gateway.enabled is false"),
    ],
)
def test_series_are_refused_where_nobody_reads_them(others: dict[str, Any], message: str) -> None:
    said = refused(models=model(scale={**WAITING, "min": 0}), **others)
    assert "models.digits.scale: " in said
    assert message in said


def test_the_embedded_platform_brings_what_reads_series() -> None:
    assert load(models=model(scale=WAITING)).needs_keda
    assert not load(models=model(scale=CPU)).needs_keda


def test_series_of_another_server_are_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: digits\nruntime: {name: triton}\n")
    asked = model(recipe=str(recipe), base="registry.example/server:1", scale=WAITING)
    said = refused(models=asked, keda=KEDA)
    assert said.startswith("modelstack:models.digits.scale: waiting and requests are series of onnxruntime")


def test_a_model_is_rolled_out_by_a_deployment_unless_it_says_otherwise() -> None:
    loaded = load()
    assert loaded.models["digits"].rollout.strategy == "rolling"
    assert not loaded.needs_controller


def test_a_canary_needs_a_controller_that_the_cluster_may_have() -> None:
    rolled = model(rollout={"strategy": "canary"})
    assert load(models=rolled).needs_controller
    assert not load(models=rolled, rollouts={"installed": True}).needs_controller


@pytest.mark.parametrize(
    ("rollout", "message"),
    [
        ({"strategy": "canari"}, "models.digits.rollout.strategy: 'canari': "),
        ({"strategy": "canary", "step": []}, "models.digits.rollout.step: is no known key, did you mean `steps`"),
        (
            {"strategy": "canary", "steps": [{"weigth": 20}]},
            "models.digits.rollout.steps.0.weigth: is no known key, did you mean `weight`",
        ),
        (
            {"strategy": "canary", "steps": [{"weight": 50}, {"weight": 20}]},
            "models.digits.rollout: steps: weights [50, 20] do not rise; sort them",
        ),
        ({"strategy": "canary", "steps": [{"weight": 100}]}, "models.digits.rollout.steps.0.weight: "),
        (
            {"strategy": "blueGreen", "steps": [{"weight": 20}]},
            "models.digits.rollout: steps: is of strategy canary, not blueGreen; remove one of the two",
        ),
        (
            {"previewSeconds": 20},
            "models.digits.rollout: previewSeconds: is of strategy blueGreen, not rolling; remove one of the two",
        ),
        ({"strategy": "canary", "minAgreement": 0}, "models.digits.rollout.minAgreement: 0: "),
    ],
)
def test_a_wrong_rollout_is_named(rollout: dict[str, Any], message: str) -> None:
    assert refused(models=model(rollout=rollout)).startswith(f"modelstack:{message}")


def test_a_canary_without_monitoring_is_refused() -> None:
    said = refused(models=model(rollout={"strategy": "canary"}), monitoring={"enabled": False})
    assert said.startswith("modelstack: models.digits.rollout.strategy: is judged by Prometheus, ")


def test_a_canary_of_another_server_is_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("name: digits\nruntime: {name: triton}\n")
    said = refused(models=model(recipe=str(recipe), base="server:1", rollout={"strategy": "canary"}))
    assert said.startswith("modelstack:models.digits.rollout.strategy: 'canary' is judged by the series and the golden")
    assert "is served by triton; use rolling" in said


KSERVE: dict[str, Any] = {"serve": {"by": "kserve"}, "base": "registry.example/server:1"}
INSTALLED = {"installed": True}


def recipe_of(folder: Path, runtime: str) -> str:
    """Write a recipe of digits for this server."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(f"name: digits\nruntime: {runtime}\n")
    return str(recipe)


def test_a_models_pods_are_the_stacks_own_unless_it_says_otherwise(tmp_path: Path) -> None:
    assert not load().models["digits"].serve.by_kserve
    asked = model(**KSERVE, recipe=recipe_of(tmp_path, "{name: kserve}"))
    found = load(models=asked, kserve=INSTALLED).models["digits"].serve
    assert (found.by_kserve, found.over_nodes, found.runtime) == (True, False, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"serve": {"by": "knative"}}, "models.digits.serve.by: 'knative': "),
        ({"serve": {"nodes": 2}}, "models.digits.serve: nodes: is of by: kserve, not by: stack; remove it"),
        ({"serve": {"runtime": "own"}}, "models.digits.serve: runtime: is of by: kserve, not by: stack; remove it"),
        ({"serve": {"by": "kserve", "nodes": 17}}, "models.digits.serve.nodes: 17: "),
        (
            {"serve": {"by": "kserve"}, "rollout": {"strategy": "canary"}},
            "models.digits: rollout.strategy: canary is of by: stack, KServe's Deployment is a rolling one",
        ),
        (
            {"serve": {"by": "kserve", "nodes": 2}, "replicas": 2},
            "models.digits: serve.nodes: 2 is for one replica",
        ),
        (
            {"serve": {"by": "kserve", "nodes": 2}, "scale": {"max": 1, "cpu": 70}},
            "models.digits: serve.nodes: 2 is for one replica",
        ),
    ],
)
def test_what_kserve_does_not_do_is_refused(changes: dict[str, Any], message: str) -> None:
    assert refused(models=model(**changes), kserve=INSTALLED).startswith(f"modelstack:{message}")


def test_kserve_has_to_be_there() -> None:
    said = refused(models=model(**KSERVE))
    assert "models.digits.serve.by: kserve needs KServe's controller; install it in the cluster and set" in said


@pytest.mark.parametrize(
    ("runtime", "serve", "message"),
    [
        ("{name: onnxruntime}", {}, "serve.by: kserve runs kserve and vllm alone, "),
        ("{name: triton}", {}, "serve.by: kserve runs kserve and vllm alone, "),
        ("{name: kserve}", {"nodes": 2}, "serve.nodes: 2 share the GPUs of vllm, "),
        ("{name: vllm, tensor_parallel: 4}", {"nodes": 3}, "serve.nodes: 3 does not divide the 4 GPUs of "),
        ("{name: vllm}", {"nodes": 2}, "serve.nodes: 2 does not divide the 1 GPUs of "),
        (
            "{name: vllm, tensor_parallel: 2, pipeline_parallel: 3}",
            {"nodes": 4},
            "serve.nodes: 4 does not divide the 6 GPUs of ",
        ),
    ],
)
def test_a_recipe_that_kserve_cannot_serve_is_refused(
    tmp_path: Path, runtime: str, serve: dict[str, Any], message: str
) -> None:
    asked = model(**{**KSERVE, "serve": {"by": "kserve", **serve}}, recipe=recipe_of(tmp_path, runtime))
    assert refused(models=asked, kserve=INSTALLED).startswith(f"modelstack:models.digits.{message}")


def test_names_that_kserve_would_not_take_or_takes_itself_are_refused() -> None:
    own, digits = model()["digits"], model(**KSERVE)["digits"]
    said = refused(models={"3d": digits}, kserve=INSTALLED)
    assert said.startswith("modelstack: models: '3d' begins with a digit, names of KServe with a letter; rename")
    for name in ("digits-predictor", "digits-predictor-worker"):
        said = refused(models={"digits": digits, name: own}, kserve=INSTALLED)
        assert said.startswith(f"modelstack: models: '{name}' is the name of another object of the stack")
