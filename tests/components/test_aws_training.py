"""What pods that train may do in AWS: each promise of docs/training.md, by resource."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pulumi import _types as sdk

from tests.components.conftest import MODELS, Program
from tests.components.programs import Object, Run, stack_of
from tests.components.test_aws import ACCOUNT, REGION, config
from tests.components.test_aws_types import _of_mapping, declared

IMAGE = f"registry.example/build@sha256:{'b' * 64}"
TRAINING: Object = {"where": "job", "secret": "signing", "data": "s3://data/digits"}  # pragma: allowlist secret
REGISTRY: Object = {"prefix": "shop", "signingKey": "env://SIGNING_KEY", "publicKeys": ["keys/prod.pub"]}


def training(registry: Object | None = None, **changes: Any) -> Object:
    models = {**MODELS, "digits": {**MODELS["digits"], "training": {**TRAINING, **changes}}}
    return config(models=models, registry={**REGISTRY, **(registry or {})}, training={"image": IMAGE})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return stack_of(monkeypatch, tmp_path_factory.mktemp("data"), training(), stack="prod")


def allowed(run: Run) -> dict[str, Object]:
    """Return what the role of the training may do, by the policy's name."""
    found = {name: one["policy"] for name, one in run.of("RolePolicy").items() if name.startswith("digits-train-")}
    return {name.removeprefix("digits-train-"): json.loads(one)["Statement"][0] for name, one in found.items()}


def test_the_role_is_of_pods_with_the_trainings_service_account_alone(run: Run) -> None:
    (association,) = run.of("PodIdentityAssociation").values()
    assert (association["namespace"], association["serviceAccount"]) == ("modelstack-prod", "digits-train")
    assert association["roleArn"] == "arn:aws:test:::Role/digits-train"
    trust = json.loads(run.of("Role")["digits-train"]["assumeRolePolicy"])["Statement"][0]
    assert trust["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert run.of("Job")["digits-train"]["spec"]["template"]["spec"]["serviceAccountName"] == "digits-train"


def test_it_reads_one_prefix_and_lists_nothing(run: Run) -> None:
    assert allowed(run)["data"] == {
        "Effect": "Allow",
        "Action": ["s3:GetObject"],
        "Resource": "arn:aws:s3:::data/digits/*",
    }


def test_it_pushes_to_the_repository_of_its_model(run: Run) -> None:
    found = allowed(run)["push"]
    assert found["Resource"] == "arn:aws:test:::Repository/shop/digits"
    assert not [action for action in found["Action"] if "*" in action or "Delete" in action]
    (container,) = run.of("Job")["digits-train"]["spec"]["template"]["spec"]["containers"]
    assert f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/shop/digits" in container["command"]


def test_the_one_wildcard_is_that_of_a_token_which_knows_no_resource(run: Run) -> None:
    wide = [one["Action"] for one in allowed(run).values() if one["Resource"] == "*"]
    assert wide == [["ecr:GetAuthorizationToken"]]


def test_without_data_or_a_repository_of_its_own_it_may_do_nothing_with_them(program: Program) -> None:
    assert set(allowed(program(training(data=None), stack="prod"))) == {"push", "login"}
    assert set(allowed(program(training({"push": "registry.example.com"}), stack="prod"))) == {"data"}


def test_no_pod_of_it_starts_before_it_has_its_role(run: Run) -> None:
    (association,) = [urn for urn in run.after if urn.endswith("PodIdentityAssociation::digits-train")]
    (job,) = [urn for urn in run.after if urn.endswith("Job::digits-train")]
    assert association in run.waits_for(job)


def test_every_input_is_of_the_type_that_the_provider_declares(run: Run) -> None:
    made = [one for one in run.made if one.type.startswith("aws:") and one.name.startswith("digits-train")]
    assert len(made) == 5
    found = [fault for one in made for fault in _of_mapping(one.name, one.inputs, sdk.input_type_types(declared(one)))]
    assert found == []


def test_a_stack_that_trains_nothing_has_no_role_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prod = stack_of(monkeypatch, tmp_path, config(), stack="prod")
    assert prod.of("PodIdentityAssociation") == {}
