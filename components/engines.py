"""The engines that run a training: a Job of Kubernetes, a PyTorchJob of Kubeflow, a RayJob of KubeRay."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.labels import OWN
from components.training_pods import TrainingPods
from components.wire import wire
from settings import Resources

Spec = dict[str, Any]
MASTER_PORT = 23456
INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
# Of a pod whose node ends, or that needs more than it has. What a build says itself (model_build's exit codes) it says
# again.
RETRIES, FINAL = 2, (1, 2, 3, 4, 5, 6, 7, 8)
FAILURES: k8s.batch.v1.PodFailurePolicyArgsDict = {
    "rules": [
        {"action": "FailJob", "on_exit_codes": {"operator": "In", "values": list(FINAL)}},
        {"action": "Ignore", "on_pod_conditions": [{"type": "DisruptionTarget", "status": "True"}]},
    ]
}
WAIT_FOR = "pulumi.com/waitFor"
RAY_DASHBOARD = "dashboard"
RAY_PORTS = {"gcs": 6379, RAY_DASHBOARD: 8265, "client": 10001}
# The head of a Ray cluster, and who hands the build to it, do none of the work.
OF_THE_HEAD = Resources(cpu_request="500m", cpu_limit="2", memory_request="2Gi", memory_limit="4Gi")
OF_THE_SUBMITTER = Resources(cpu_request="100m", cpu_limit="1", memory_request="256Mi", memory_limit="1Gi")


@dataclass(frozen=True, kw_only=True)
class Work:
    """One training: `name` of the resource, `marked` that of the object, which another training does not share."""

    name: str
    marked: pulumi.Output[str]
    pods: TrainingPods
    namespace: pulumi.Input[str]
    inputs_hash: pulumi.Input[str]

    def metadata(self, **annotations: str) -> k8s.meta.v1.ObjectMetaArgsDict:
        """Return the object's metadata."""
        found: k8s.meta.v1.ObjectMetaArgsDict = {
            "name": self.marked,
            "namespace": self.namespace,
            "labels": self.pods.labels.metadata,
        }
        return {**found, "annotations": annotations} if annotations else found

    @property
    def template_metadata(self) -> k8s.meta.v1.ObjectMetaArgsDict:
        """Return the metadata of its pods."""
        inputs = pulumi.Output.from_input(self.inputs_hash).apply(lambda text: text[:16])
        return {"labels": {**self.pods.labels.metadata, f"{OWN}/inputs": inputs}}


def job(work: Work, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    """Make a Job; of several workers each knows its number, and the first by its name."""
    chosen = work.pods.settings
    told = _rendezvous(work) if chosen.workers > 1 else []
    pod = replace(work.pods, told=told).building("train", work.pods.command)
    pod["restart_policy"] = "Never"
    spec: k8s.batch.v1.JobSpecArgsDict = {
        "active_deadline_seconds": chosen.seconds,
        "backoff_limit": RETRIES,
        "template": {"metadata": work.template_metadata, "spec": pod},
    }
    if chosen.workers == 1:
        spec["pod_failure_policy"] = FAILURES
    else:
        pod["subdomain"] = work.name
        # None of them goes on without the others.
        spec |= {"completion_mode": "Indexed", "backoff_limit": 0}
        spec["completions"] = spec["parallelism"] = chosen.workers
    return k8s.batch.v1.Job(work.name, metadata=work.metadata(), spec=spec, opts=opts)


def _rendezvous(work: Work) -> list[k8s.core.v1.EnvVarArgsDict]:
    first = pulumi.Output.concat(work.marked, "-0.", work.name)
    return [
        {"name": "RANK", "value_from": {"field_ref": {"field_path": INDEX}}},
        {"name": "WORLD_SIZE", "value": str(work.pods.settings.workers)},
        {"name": "MASTER_ADDR", "value": first},
        {"name": "MASTER_PORT", "value": str(MASTER_PORT)},
    ]


def pytorchjob(work: Work, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    """Make a PyTorchJob, whose operator tells each worker its number and where the first is."""
    chosen = work.pods.settings
    # The operator finds the container by this name.
    template = {"metadata": work.template_metadata, "spec": work.pods.building("pytorch", work.pods.command)}
    replicas = {"Master": {"replicas": 1, "restart_policy": "Never", "template": template}}
    if chosen.workers > 1:
        replicas["Worker"] = {"replicas": chosen.workers - 1, "restart_policy": "Never", "template": template}
    policy = {"clean_pod_policy": "Running", "backoff_limit": 0, "active_deadline_seconds": chosen.seconds}
    spec = {"run_policy": policy, "pytorch_replica_specs": replicas}
    return _custom(work, ("kubeflow.org/v1", "PyTorchJob"), spec, opts, ends="condition=Succeeded")


def rayjob(work: Work, opts: pulumi.ResourceOptions) -> pulumi.Resource:
    """Make a RayJob: Ray starts the build on the node of its cluster that has what it asks for."""
    chosen = work.pods.settings
    cluster = {
        "head_group_spec": {
            # None of it is for the build.
            "ray_start_params": {"dashboard-host": "0.0.0.0", "num-cpus": "0", "num-gpus": "0"},  # noqa: S104
            "template": {
                "metadata": work.template_metadata,
                "spec": work.pods.beside("ray-head", OF_THE_HEAD, RAY_PORTS),
            },
        },
        "worker_group_specs": [
            {
                "group_name": "workers",
                "replicas": 1,
                "min_replicas": 1,
                "max_replicas": 1,
                "ray_start_params": {"num-cpus": "1", "num-gpus": str(chosen.gpus)},
                "template": {"metadata": work.template_metadata, "spec": work.pods.building("ray-worker", None)},
            }
        ],
    }
    submitter = work.pods.beside("ray-job-submitter", OF_THE_SUBMITTER, {})
    submitter["restart_policy"] = "Never"
    spec = {
        "entrypoint": pulumi.Output.all(*work.pods.command).apply(
            lambda words: f"cd {shlex.quote(work.pods.folder)} && exec {shlex.join(words)}"
        ),
        "entrypoint_num_cpus": 1,
        "entrypoint_num_gpus": chosen.gpus,
        "active_deadline_seconds": chosen.seconds,
        "shutdown_after_job_finishes": True,
        "submission_mode": "K8sJobMode",
        "backoff_limit": 0,
        "ray_cluster_spec": cluster,
        "submitter_pod_template": {"metadata": work.template_metadata, "spec": submitter},
    }
    return _custom(work, ("ray.io/v1", "RayJob"), spec, opts, ends="jsonpath={.status.jobStatus}=SUCCEEDED")


def _custom(
    work: Work, kind: tuple[str, str], spec: Spec, opts: pulumi.ResourceOptions, *, ends: str
) -> k8s.apiextensions.CustomResource:
    # What waits for the build waits until the engine says that it ended well.
    return k8s.apiextensions.CustomResource(
        work.name,
        api_version=kind[0],
        kind=kind[1],
        metadata=work.metadata(**{WAIT_FOR: ends}),
        spec=wire(spec),
        opts=opts,
    )


ENGINES: Mapping[str, Callable[[Work, pulumi.ResourceOptions], pulumi.Resource]] = {
    "job": job,
    "pytorchjob": pytorchjob,
    "rayjob": rayjob,
}
