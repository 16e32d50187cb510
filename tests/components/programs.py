"""The program on mocks: it runs to its end, every Output awaited, and what it registered lies there as plain values."""

from __future__ import annotations

import asyncio
import hashlib
import json
import runpy
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs
from pulumi.runtime.settings import get_engine, get_root_resource, set_root_resource

from model_build import recipe as recipes
from model_build import runtimes

PROJECT = Path(__file__).resolve().parents[2]
NODE_PORT = 7555
IMAGES = {
    "base": f"127.0.0.1:7401/modelstack/base@sha256:{'b' * 64}",
    "prometheus": f"127.0.0.1:7401/modelstack/prometheus@sha256:{'c' * 64}",
    "haproxy": f"127.0.0.1:7401/modelstack/haproxy@sha256:{'d' * 64}",
    "redis": f"127.0.0.1:7401/modelstack/redis@sha256:{'f' * 64}",
    "rollouts": f"127.0.0.1:7401/modelstack/rollouts@sha256:{'e' * 64}",
    "metrics-server": f"127.0.0.1:7401/modelstack/metrics-server@sha256:{'a' * 64}",
    "keda": f"127.0.0.1:7401/modelstack/keda@sha256:{'b' * 64}",
}
MANIFESTS = {"rollouts": "/data/test/manifests/rollouts.yaml"}
CONNECTION = {
    "version": 1,
    "instance": "test",
    "kubeconfig": "/data/test/kubeconfig",
    "registry": {"push": "127.0.0.1:7401", "pull": "127.0.0.1:7401"},
    "node_ports": {"first": 7500, "last": 7599, "host": "127.0.0.1"},
    "images": IMAGES,
    "manifests": MANIFESTS,
}
Object = dict[str, Any]
NODES_GROUP = "sg-0c1a57e2"
PROOF = {"resourceRecordType": "CNAME", "resourceRecordValue": "_b.acm"}
# Type → what AWS tells of a resource beside its id, arn and name.
ANSWERS: dict[str, Object] = {
    "aws:cloudfront/distribution:Distribution": {"domainName": "door.cloudfront.test", "hostedZoneId": "ZCDN"},
    "aws:ec2/launchTemplate:LaunchTemplate": {"latestVersion": 1},
    "aws:lb/loadBalancer:LoadBalancer": {"dnsName": "door.elb.test", "zoneId": "ZELB"},
    "aws:route53/record:Record": {"fqdn": "_a.models.example.com"},
}


@dataclass(frozen=True)
class Made:
    """One resource as the engine was asked for it."""

    type: str
    name: str
    inputs: Object
    provider: str
    custom: bool


@dataclass
class Run:
    """What one run of the program registered and exported."""

    made: list[Made] = field(default_factory=list)
    outputs: Object = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)
    after: dict[str, set[str]] = field(default_factory=dict)
    """URN → the URNs of what has to be there before it; on the way down it goes before them."""
    protected: set[str] = field(default_factory=set)
    """URNs of what refuses to be destroyed."""
    providers: dict[str, dict[str, str]] = field(default_factory=dict)
    """URN of what another program makes objects for → the providers that these are of, by package."""
    patience: dict[str, str] = field(default_factory=dict)
    """URN → how long it may take to go, where that is said."""

    def is_protected(self, made: Made) -> bool:
        """Return whether a resource refuses to be destroyed."""
        return any(urn.endswith(f"{made.type}::{made.name}") for urn in self.protected)

    def waits_for(self, urn: str) -> set[str]:
        """Return all that a resource comes after, at any remove."""
        found: set[str] = set()
        left = [urn]
        while left:
            new = self.after.get(left.pop(), set()) - found
            found |= new
            left += new
        return found

    def of(self, kind: str) -> dict[str, Object]:
        """Return the inputs of every resource whose type ends with `kind`, by the resource's name."""
        return {one.name: one.inputs for one in self.made if one.type.rpartition(":")[2] == kind}

    def objects(self) -> list[Made]:
        """Return the objects of the cluster."""
        return [one for one in self.made if one.type.startswith("kubernetes:")]


class Engine(pulumi.runtime.Mocks):
    """Answers as the engine and its providers do, and keeps what was asked."""

    def __init__(self, inputs: Mapping[str, str], ingress: list[Object] | None = None) -> None:
        self.run = Run()
        self._inputs = inputs
        self._ingress = [{"ip": "192.0.2.7"}] if ingress is None else ingress

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[Any, Any]]:
        """Return a resource's id and outputs."""
        custom = bool(args.custom)
        self.run.made.append(Made(args.typ, args.name, deepcopy(args.inputs), args.provider or "", custom))
        return _id(args) if custom else "", {**args.inputs, **self._outputs(args)}

    def call(self, args: MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        """Refuse: the program calls no function of a provider."""
        raise AssertionError(args.token)

    def _outputs(self, args: MockResourceArgs) -> Object:
        if args.typ == "modelstack:index:ModelImage":
            return self._image(args.name, args.inputs)
        if args.typ == "modelstack:index:PinnedImage":
            digest = hexadecimal(args.inputs["image"])
            told = {"digest": f"sha256:{digest}", "current": f"sha256:{digest}"}
            return {**told, "reference": f"{args.inputs['image']}@sha256:{digest}"}
        if args.typ == "modelstack:index:Password":
            return {"value": hexadecimal(args.name)}
        if args.typ == "kubernetes:core/v1:Service":
            spec = deepcopy(args.inputs["spec"])
            for number, port in enumerate(spec["ports"], NODE_PORT):
                port["nodePort"] = NODE_PORT if port["name"] == "http" else number + 1
            return {"spec": spec, "status": {"loadBalancer": {"ingress": self._ingress}}}
        return _of_aws(args) if args.typ.startswith("aws:") else {}

    def _image(self, name: str, inputs: Object) -> Object:
        hashed = self._inputs.get(name) or hexadecimal(name)
        digest = f"sha256:{hexadecimal(hashed)}"
        image = f"{inputs.get('pull') or inputs['push']}/{inputs['repository']}@{digest}"
        told = {"metrics": {"accuracy": 0.98}, "report": "r"}
        return {"image": image, "digest": digest, "inputsHash": hashed, **self._runtime(image, inputs), **told}

    def _runtime(self, image: str, inputs: Object) -> Object:
        """Return what the provider tells of the recipe's server, and the image that weights alone are mounted into."""
        parsed = recipes.load(PROJECT / inputs["recipe"])
        made = runtimes.of(parsed)
        beside = inputs["base"] if not made.wheels else f"{image.partition('@')[0]}@sha256:{hexadecimal('runtime')}"
        volume = parsed.packaging == "volume"
        return {"runtime": made.told(parsed.packaging), "runtimeImage": beside if volume else ""}


def _id(args: MockResourceArgs) -> str:
    # In AWS many resources of a stack have one name, and name each other by id.
    return f"{args.typ.rpartition(':')[2]}/{args.name}" if args.typ.startswith("aws:") else f"{args.name}-id"


def _of_aws(args: MockResourceArgs) -> Object:
    told = {"arn": f"arn:aws:test:::{_id(args)}", "name": args.inputs.get("name") or args.name}
    if args.typ == "aws:eks/cluster:Cluster":
        vpc = {**args.inputs["vpcConfig"], "clusterSecurityGroupId": NODES_GROUP}
        told |= {"endpoint": "https://api.eks.test", "certificateAuthority": {"data": "Y2E="}, "vpcConfig": vpc}
    if args.typ == "aws:eks/nodeGroup:NodeGroup":
        told["resources"] = [{"autoscalingGroups": [{"name": f"eks-{args.name}"}]}]
    if args.typ == "aws:acm/certificate:Certificate":
        told |= {"domainValidationOptions": [{"resourceRecordName": f"_a.{args.inputs['domainName']}.", **PROOF}]}
    if args.typ == "aws:s3/bucket:Bucket":
        told |= {"bucket": _id(args)}
    return told | ANSWERS.get(args.typ, {})


class Monitor(MockMonitor):
    """Keeps what each resource comes after, which the SDK's own does not."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._run = engine.run

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 (the name gRPC calls)
        """Register a resource."""
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.remote:
            self._run.providers[urn] = dict(request.providers)
        # A provider goes after its resources; of it the reference says the URN and the id.
        above = [one for one in (request.parent, request.provider.rpartition("::")[0]) if one]
        self._run.after[urn] = {*request.dependencies, *above}
        if request.protect:
            self._run.protected.add(urn)
        if request.customTimeouts.delete:
            self._run.patience[urn] = request.customTimeouts.delete
        return super().RegisterResource(request)  # type: ignore[no-untyped-call]


def hexadecimal(text: str) -> str:
    """Return 64 hex digits that stand for `text`."""
    return hashlib.sha256(text.encode()).hexdigest()


def awaited(engine: Engine, program: Any, *, stack: str = "dev", preview: bool = False) -> Run:
    """Run `program` to its end, wait for every resource and stack output, and return what came of it."""

    def run() -> pulumi.Output[None]:
        program()
        exported = getattr(get_root_resource(), "outputs", {})
        return pulumi.Output.all(**exported).apply(engine.run.outputs.update)

    with _own_loop():
        set_root_resource(None)  # type: ignore[arg-type]  # a run before may have left its own
        pulumi.runtime.set_mocks(engine, project="modelstack", stack=stack, preview=preview, monitor=Monitor(engine))
        # The SDK's own stand-in for the engine lacks this call.
        known: Any = get_engine()
        known.RequirePulumiVersion = lambda asked: engine.run.versions.append(asked.pulumi_version_range)
        pulumi.runtime.test(run)()  # type: ignore[no-untyped-call]  # the SDK left it unannotated
    return engine.run


def stack_of(
    monkeypatch: pytest.MonkeyPatch,
    data: Path,
    config: Mapping[str, Any],
    *,
    stack: str = "dev",
    inputs: Mapping[str, str] | None = None,
    ingress: list[Object] | None = None,
    preview: bool = False,
    baked: Iterable[str] = ("prometheus", "haproxy", "redis", "rollouts"),
) -> Run:
    """Run __main__.py with `config` (short keys, plain values) on an embedded platform that `data` describes."""
    folder = data / "test"
    folder.mkdir(parents=True, exist_ok=True)
    images = {name: one for name, one in IMAGES.items() if name in ("base", *baked)}
    (folder / "connection.json").write_text(json.dumps({**CONNECTION, "images": images}))
    texts = {f"modelstack:{key}": one if isinstance(one, str) else json.dumps(one) for key, one in config.items()}
    monkeypatch.setenv("MODELSTACK_DATA", str(data))
    monkeypatch.setenv("MODELSTACK_INSTANCE", "test")
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(texts))
    main = str(PROJECT / "__main__.py")
    engine = Engine(inputs or {}, ingress)
    return awaited(engine, lambda: runpy.run_path(main, run_name="__main__"), stack=stack, preview=preview)


@contextmanager
def _own_loop() -> Iterator[None]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    # One thread answers as the engine; the SDK gives it a loop of its own, which nobody else closes.
    with ThreadPoolExecutor(1) as answering:
        loop.set_default_executor(answering)
        try:
            yield
        finally:
            answering.submit(_close_loop).result()
            asyncio.set_event_loop(None)
            loop.close()


def _close_loop() -> None:
    with suppress(RuntimeError):  # there is none where the program asked for nothing
        asyncio.get_event_loop().close()


def stack_in(folder: Path, config: Mapping[str, Any], **options: Any) -> Run:
    """Run __main__.py as `stack_of` does, for a fixture of several tests."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        return stack_of(monkeypatch, folder, config, **options)
