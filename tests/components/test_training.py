"""Training in the cluster: what each engine is asked for, what its pods may do, and what waits for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_build import inputs
from settings import TrainingSettings
from tests.components.conftest import MODELS, Program
from tests.components.definitions import PYTORCHJOB, RAYJOB, Validator, faults, validator_of, validator_of_jobs
from tests.components.programs import PROJECT, Object, Run, hexadecimal
from tests.test_settings import OWN_CLUSTER, refused

IMAGE = f"registry.example/build@sha256:{'b' * 64}"
REGISTRY: Object = {"push": "registry.example:5000", "signingKey": "env://SIGNING_KEY", "publicKeys": ["keys/prod.pub"]}
COMMON: Object = {"image": IMAGE, "operators": {"pytorchjob": "kubeflow", "rayjob": "kuberay"}}
ONE: Object = {
    "where": "job",
    "secret": "signing",  # pragma: allowlist secret
    "gpus": 1,
    "pool": "h100",
    "data": "s3://data/digits",
}
KINDS = {"job": "Job", "pytorchjob": "PyTorchJob", "rayjob": "RayJob"}
CONTAINERS = {"job": "train", "pytorchjob": "pytorch", "rayjob": "ray-worker"}
Training = Callable[..., Run]


def config(**training: Any) -> Object:
    models = {**MODELS, "digits": {**MODELS["digits"], "training": {**ONE, **training}}}
    return {**OWN_CLUSTER, "registry": REGISTRY, "training": COMMON, "models": models}


@pytest.fixture
def training(program: Program, tmp_path: Path) -> Training:
    """Return a run of the program on a cluster of one's own, where digits is trained."""

    def run(**changes: Any) -> Run:
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text("")
        return program({**config(**changes), "cluster": {"kubeconfig": str(kubeconfig)}})

    return run


def made(run: Run, kind: str) -> Object:
    """Return the object of the engine, as the API server would get it."""
    found = [one for one in run.objects() if one.name == "digits-train" and one.type.endswith(f":{kind}")]
    (one,) = found
    return {"apiVersion": "batch/v1", "kind": kind, **one.inputs}


def pods(found: Object) -> list[Object]:
    """Return the templates of every pod of an engine's object."""
    spec = found["spec"]
    if found["kind"] == "Job":
        return [spec["template"]]
    if found["kind"] == "PyTorchJob":
        return [one["template"] for one in spec["pytorchReplicaSpecs"].values()]
    cluster = spec["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [*(one["template"] for one in groups), spec["submitterPodTemplate"]]


def trainer(found: Object) -> Object:
    """Return the container that builds."""
    containers = [container for pod in pods(found) for container in pod["spec"]["containers"]]
    return next(one for one in containers if one["name"] in CONTAINERS.values())


def schema_of(where: str) -> Validator:
    """Return what finds faults of an engine's object."""
    if where == "job":
        return validator_of_jobs()
    return validator_of(PYTORCHJOB if where == "pytorchjob" else RAYJOB, "v1")


@pytest.mark.parametrize(
    ("where", "workers"), [("job", 1), ("job", 4), ("pytorchjob", 1), ("pytorchjob", 4), ("rayjob", 1)]
)
def test_every_object_is_as_the_schema_of_its_kind_says(training: Training, where: str, workers: int) -> None:
    found = made(training(where=where, workers=workers), KINDS[where])
    assert list(faults(schema_of(where), found)) == []


@pytest.mark.parametrize("where", KINDS)
def test_a_field_that_no_kind_has_is_found(training: Training, where: str) -> None:
    found = made(training(where=where), KINDS[where])
    trainer(found)["comand"] = ["true"]
    assert any("'comand' was unexpected" in one for one in faults(schema_of(where), found))


@pytest.mark.parametrize("where", ["job", "pytorchjob"])
def test_a_worker_builds_pushes_and_signs_what_the_stack_then_finds(training: Training, where: str) -> None:
    run = training(where=where)
    base = f"{OWN_CLUSTER['base']}@sha256:{hexadecimal(str(OWN_CLUSTER['base']))}"
    assert trainer(made(run, KINDS[where]))["command"] == [
        *("/modelstack/.venv-build/bin/python", "-P", "-m", "model_build", "build"),
        *("--recipe", "models/digits/recipe.yaml", "--push", "registry.example:5000/modelstack/digits"),
        *("--base", base, "--key", "env://SIGNING_KEY", "--json"),
    ]
    wanted = run.of("ModelImage")["digits"]
    assert (wanted["push"], wanted["repository"], wanted["base"]) == (
        "registry.example:5000",
        "modelstack/digits",
        base,
    )


def test_ray_starts_the_build_where_what_it_asks_for_is(training: Training) -> None:
    spec = made(training(where="rayjob"), "RayJob")["spec"]
    assert spec["entrypoint"].startswith(
        "cd /modelstack && exec /modelstack/.venv-build/bin/python -P -m model_build build"
    )
    assert (spec["entrypointNumCpus"], spec["entrypointNumGpus"]) == (1, 1)
    assert spec["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert "command" not in trainer({"kind": "RayJob", "spec": spec})


def test_the_image_waits_for_its_training_and_no_other_does(training: Training) -> None:
    run = training()
    (job,) = [urn for urn in run.after if urn.endswith("Job::digits-train")]
    waiting = {urn.rpartition("::")[2] for urn in run.after if "ModelImage::" in urn and job in run.waits_for(urn)}
    assert waiting == {"digits"}


@pytest.mark.parametrize("where", ["pytorchjob", "rayjob"])
def test_an_engine_of_others_is_waited_for_until_it_says_that_it_ended_well(training: Training, where: str) -> None:
    annotations = made(training(where=where), KINDS[where])["metadata"]["annotations"]
    assert annotations == {
        "pulumi.com/waitFor": {
            "pytorchjob": "condition=Succeeded",
            "rayjob": "jsonpath={.status.jobStatus}=SUCCEEDED",
        }[where]
    }


@pytest.mark.parametrize("where", KINDS)
def test_other_inputs_are_another_training(training: Training, where: str) -> None:
    found = made(training(where=where), KINDS[where])
    base = f"registry.example/base@sha256:{hexadecimal(str(OWN_CLUSTER['base']))}"
    hashed = inputs.compute(PROJECT / "models/digits/recipe.yaml", base).hash
    assert found["metadata"]["name"] == f"digits-train-{hashed[:8]}"
    assert all(pod["metadata"]["labels"]["modelstack.dev/inputs"] == hashed[:16] for pod in pods(found))


@pytest.mark.parametrize("where", KINDS)
def test_every_pod_is_restricted_and_has_no_token(training: Training, where: str) -> None:
    run = training(where=where)
    for pod in pods(made(run, KINDS[where])):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        for container in spec["containers"]:
            assert container["image"] == IMAGE
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
    assert run.of("ServiceAccount")["digits-train"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("where", KINDS)
def test_only_what_trains_has_gpus_the_key_and_the_role(training: Training, where: str) -> None:
    for pod in pods(made(training(where=where), KINDS[where])):
        (container,) = pod["spec"]["containers"]
        trains = container["name"] in CONTAINERS.values()
        assert ("nvidia.com/gpu" in container["resources"]["limits"]) == trains
        assert ("SIGNING_KEY" in {one["name"] for one in container["env"]}) == trains
        assert ("login" in {one["name"] for one in pod["spec"]["volumes"]}) == trains
        assert pod["spec"].get("serviceAccountName") == ("digits-train" if trains else None)
        assert pod["spec"].get("nodeSelector") == ({"modelstack.dev/gpu-pool": "h100"} if trains else None)
        assert bool(pod["spec"].get("tolerations")) == trains


def test_a_gate_that_is_missed_is_not_tried_again_and_a_lost_node_is(training: Training) -> None:
    spec = made(training(), "Job")["spec"]
    fails, ignored = spec["podFailurePolicy"]["rules"]
    assert (fails["action"], 5 in fails["onExitCodes"]["values"]) == ("FailJob", True)
    assert (ignored["action"], ignored["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert spec["backoffLimit"] == 2


def test_the_workers_of_a_job_find_each_other(training: Training) -> None:
    run = training(workers=4)
    found = made(run, "Job")
    spec, name = found["spec"], found["metadata"]["name"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
    told = {one["name"]: one for one in trainer(found)["env"]}
    assert (told["WORLD_SIZE"]["value"], told["MASTER_ADDR"]["value"]) == ("4", f"{name}-0.digits-train")
    assert "job-completion-index" in told["RANK"]["valueFrom"]["fieldRef"]["fieldPath"]
    service = run.of("Service")["digits-train"]["spec"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)
    assert spec["template"]["spec"]["subdomain"] == "digits-train"


def test_a_pytorchjob_has_one_master_and_the_other_workers(training: Training) -> None:
    replicas = made(training(where="pytorchjob", workers=4), "PyTorchJob")["spec"]["pytorchReplicaSpecs"]
    assert {name: one["replicas"] for name, one in replicas.items()} == {"Master": 1, "Worker": 3}


def egress(run: Run) -> list[Object]:
    found: list[Object] = run.of("NetworkPolicy")["digits-train"]["spec"]["egress"]
    return found


def test_a_training_reaches_names_https_and_its_registry(training: Training) -> None:
    run = training(data=None)
    ports = [port["port"] for rule in egress(run) for port in rule["ports"]]
    assert ports == [53, 53, 443, 5000]
    assert "ingress" not in run.of("NetworkPolicy")["digits-train"]["spec"]


def test_workers_reach_each_other_and_rays_operator_reaches_its_head(training: Training) -> None:
    several = training(where="pytorchjob", workers=2).of("NetworkPolicy")["digits-train"]["spec"]
    (peers,) = several["ingress"]
    assert peers == {"from": [{"podSelector": {"matchLabels": {**_own("digits-train")}}}]}
    _, operator = training(where="rayjob").of("NetworkPolicy")["digits-train"]["spec"]["ingress"]
    assert operator["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kuberay"}}}]
    assert [port["port"] for port in operator["ports"]] == ["dashboard"]


def _own(name: str) -> Object:
    return {"app.kubernetes.io/name": name, "app.kubernetes.io/instance": "dev"}


def test_a_model_that_is_pinned_is_not_trained(program: Program, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("")
    given = {**config(), "cluster": {"kubeconfig": str(kubeconfig)}}
    given["models"]["digits"]["pin"] = f"sha256:{'a' * 64}"
    assert not [one for one in program(given).objects() if one.name == "digits-train"]


def test_a_stack_that_trains_nothing_makes_nothing_for_it(dev: Run) -> None:
    assert not [one for one in dev.made if "train" in one.name]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"where": "slurm"}, "models.digits.training.where: 'slurm'"),
        ({"where": "rayjob", "workers": 2}, "models.digits.training: workers: 2: Ray starts one build on one node"),
        ({"gpus": 2}, "models.digits.training.gpus: 2: "),
        ({"gpus": 0}, "models.digits.training: pool: 'h100' has GPUs, and gpus is 0"),
        ({"data": "https://data"}, "models.digits.training: data: 'https://data' is no prefix in a bucket"),
        ({"data": "s3://data"}, "models.digits.training: data: 's3://data' is no prefix in a bucket"),
        ({"secret": None}, ": models.digits.training.secret: is missing; name a Secret"),
        ({"worker": 2}, "models.digits.training.worker: is no known key, did you mean `workers`"),
    ],
)
def test_what_cannot_be_is_refused_by_key_value_and_limit(changes: Object, message: str) -> None:
    told = refused(**config(**changes)).removeprefix("modelstack")
    assert re.sub(r"^: ?", "", told).startswith(re.sub(r"^: ?", "", message))


@pytest.mark.parametrize(
    ("common", "message"),
    [
        ({"training": {}}, "training.image is missing; name the image of the build environment"),
        ({"training": {"image": IMAGE}}, "where: pytorchjob needs its operator; install it and set training.operators"),
        (
            {"registry": {"push": "registry.example"}},
            "what is pushed counts by its signature alone; set registry.signing",
        ),
        ({"cluster": {}, "base": "b"}, "training: pods of the embedded platform cannot push to its registry"),
    ],
)
def test_a_training_that_could_not_run_or_would_not_count_is_refused(common: Object, message: str) -> None:
    assert message in refused(**{**config(where="pytorchjob"), **common})


SOURCED = """
name: digits
data: data.py:load
sources: [{client: s3, package: digits, uri: s3://data/digits/a.tar.gz, sha256: abc}]
"""


@pytest.mark.parametrize("data", [None, "s3://data/digit", "s3://other/digits"])
def test_data_that_the_pods_may_not_read_is_named(tmp_path: Path, data: str | None) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(SOURCED)
    given = config(data=data)
    given["models"]["digits"]["recipe"] = str(recipe)
    assert "training.data: " in refused(**given)
    assert "does not hold s3://data/digits/a.tar.gz, which recipe.yaml reads; set its prefix" in refused(**given)


def test_a_model_may_not_be_named_as_a_training_that_there_is() -> None:
    models = {**config()["models"], "digits-train": MODELS["mnist"]}
    assert "'digits-train' is the name of another object of the stack" in refused(**{**config(), "models": models})
    plain = {"digits": MODELS["digits"], "digits-train": {"recipe": "models/mnist/recipe.yaml"}}
    assert "is not 'mnist', the name in" in refused(models=plain)


def test_a_prefix_is_taken_apart() -> None:
    assert TrainingSettings(where="job", data="s3://data/a/b/").bucket_and_prefix == ("data", "a/b")
    assert TrainingSettings(where="job").bucket_and_prefix is None
