"""Secrets of AWS Secrets Manager in a stack's namespace: what may be read, and what the operator is asked for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from tests.components.aws_whole import TLS, WHOLE
from tests.components.conftest import Program
from tests.components.programs import Made, Object, Run, stack_in
from tests.components.test_aws import ACCOUNT, REGION, config

OPERATOR = f"arn:aws:iam::{ACCOUNT}:role/external-secrets"
DEFINITIONS = "github.com/external-secrets/external-secrets@v1.3.2"
DEFINITIONS_SUM = "h1:u2J8RjlHIeF0oZCqtl92adI/uZWUwOesJIDkfql6LqQ="
KINDS = ("SecretStore", "ExternalSecret")
needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="go is not on PATH; it fetches the definitions")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    given = config({"secrets": WHOLE["secrets"]})
    return stack_in(tmp_path_factory.mktemp("data"), given, stack="prod")


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of schemas as the operator's project publishes them, by hash, closed to keys that they do not name."""
    command = ["go", "mod", "download", "-json", DEFINITIONS]
    folder = tmp_path_factory.mktemp("module")
    told = json.loads(subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=300).stdout)
    assert told["Sum"] == DEFINITIONS_SUM
    files = Path(told["Dir"]) / "config/crds/bases"
    for kind in KINDS:
        found = schema(files / f"external-secrets.io_{kind.lower()}s.yaml")
        (folder / f"{kind}.json").write_text(json.dumps(found))
    return folder


def schema(path: Path) -> Object:
    versions = yaml.safe_load(path.read_text())["spec"]["versions"]
    (found,) = [one["schema"]["openAPIV3Schema"] for one in versions if one["name"] == "v1"]
    return dict(closed(found))


def closed(node: Any) -> Any:
    """Return a schema that refuses keys which it does not name, as the API server does by field validation."""
    if isinstance(node, list):
        return [closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    inner = {key: closed(one) for key, one in node.items()}
    shut = "properties" in node and isinstance(node["properties"], dict) and "type" in node
    return {"additionalProperties": False, **inner} if shut else inner


def resources(run: Run) -> list[Made]:
    return [one for one in run.made if one.type.startswith("kubernetes:external-secrets.io/v1:")]


def as_sent(one: Made) -> Object:
    """Return the object as the API server gets it."""
    return {**deepcopy(one.inputs), "metadata": {"name": one.name}}


def faults(schemas: Path, kind: str, *sent: Object) -> str:
    """Return what a kind's schema says against objects; nothing where it takes them."""
    files = [schemas / f"{kind}-{number}-sent.json" for number in range(len(sent))]
    for file, one in zip(files, sent, strict=True):
        file.write_text(json.dumps(one))
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--schemafile",
        str(schemas / f"{kind}.json"),
        *map(str, files),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout if done.returncode else ""


def test_nothing_of_it_is_made_unless_secrets_are_named(program: Program) -> None:
    assert resources(program(config(), stack="prod")) == []


def test_the_role_may_read_what_is_named_and_nothing_else(run: Run) -> None:
    (statement,) = json.loads(run.of("RolePolicy")["external-secrets-read"]["policy"])["Statement"]
    assert statement["Action"] == ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    place = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret"
    assert statement["Resource"] == [f"{place}:prod/models-??????", f"{place}:prod/upstream-??????"]


def test_the_operator_alone_takes_the_role(run: Run) -> None:
    (trust,) = json.loads(run.of("Role")["external-secrets"]["assumeRolePolicy"])["Statement"]
    assert trust["Principal"] == {"AWS": OPERATOR}


def test_the_store_reads_as_that_role(run: Run) -> None:
    store = run.of("SecretStore")["external-secrets"]["spec"]["provider"]["aws"]
    assert store == {"service": "SecretsManager", "region": REGION, "role": "arn:aws:test:::Role/external-secrets"}


def test_each_secret_is_made_of_the_values_that_are_named_for_it(run: Run) -> None:
    spec = run.of("ExternalSecret")["models-tls"]["spec"]
    assert spec["target"]["name"] == "models-tls"
    assert spec["target"]["template"] == {"type": "kubernetes.io/tls"}
    assert {one["secretKey"]: one["remoteRef"] for one in spec["data"]} == {
        "tls.crt": {"key": "prod/models", "property": "certificate"},
        "tls.key": {"key": "prod/models", "property": "key"},
    }
    (whole,) = run.of("ExternalSecret")["upstream"]["spec"]["data"]
    assert whole["remoteRef"] == {"key": "prod/upstream"}


def test_up_waits_until_each_is_there(run: Run) -> None:
    for one in resources(run):
        assert one.inputs["metadata"]["annotations"] == {"pulumi.com/waitFor": "condition=Ready"}
    (store,) = [urn for urn in run.after if urn.endswith(":SecretStore::external-secrets")]
    secrets = [urn for urn in run.after if ":ExternalSecret::" in urn]
    assert len(secrets) == 2
    assert all(store in run.waits_for(urn) for urn in secrets)


def test_the_gateway_waits_for_the_secret_that_it_mounts(program: Program) -> None:
    gateway = {"enabled": True, "tls": TLS}
    run = program(config({"secrets": WHOLE["secrets"]}, gateway=gateway), stack="prod")
    (pods,) = [urn for urn in run.after if urn.endswith(":Deployment::gateway")]
    found = {urn.rpartition("::")[2] for urn in run.waits_for(pods) if ":ExternalSecret::" in urn}
    assert found == {"models-tls"}


@needs_go
def test_the_operators_own_definitions_take_every_object(run: Run, schemas: Path) -> None:
    for kind, number in zip(KINDS, (1, 2), strict=True):
        sent = [as_sent(one) for one in resources(run) if one.inputs["kind"] == kind]
        assert len(sent) == number
        assert faults(schemas, kind, *sent) == ""


@needs_go
@pytest.mark.parametrize(
    ("kind", "way", "value"),
    [
        ("SecretStore", ("provider", "aws", "service"), "SecretManager"),
        ("SecretStore", ("provider", "aws", "roleArn"), "arn"),
        ("ExternalSecret", ("target", "creationPolicy"), "Nobody"),
        ("ExternalSecret", ("data", 0, "remoteRef", "field"), "a"),
    ],
)
def test_what_those_definitions_do_not_know_is_refused(
    run: Run, schemas: Path, kind: str, way: tuple[Any, ...], value: str
) -> None:
    sent = as_sent(next(one for one in resources(run) if one.inputs["kind"] == kind))
    place: Any = sent["spec"]
    for key in way[:-1]:
        place = place[key]
    place[way[-1]] = value
    said = faults(schemas, kind, sent)
    assert value in said or str(way[-1]) in said


@pytest.mark.parametrize(
    ("secrets", "message"),
    [
        (
            {"operator": "external-secrets", "secrets": {"a": {"keys": {"b": {"name": "c"}}}}},
            "aws.secrets.operator: ",
        ),
        ({"operator": OPERATOR, "secrets": {}}, "aws.secrets.secrets: {}: dictionary should have at least 1 item"),
        ({"operator": OPERATOR, "secrets": {"a": {"keys": {"b": {"name": "a*"}}}}}, "string should match pattern"),
        (
            {"operator": OPERATOR, "refresh": "daily", "secrets": {"a": {"keys": {"b": {"name": "c"}}}}},
            "aws.secrets.refresh: 'daily': string should match",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(program: Program, secrets: Object, message: str) -> None:
    with pytest.raises(pulumi.RunError) as caught:
        program(config({"secrets": secrets}), stack="prod")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
