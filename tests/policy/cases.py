"""An offending and a passing case of every policy: what is wrong, where, and the same without it."""

from __future__ import annotations

from typing import Any

from tests.policy.case import Case
from tests.policy.cases_aws import ENCRYPTION, PERMISSIONS
from tests.policy.judging import CONTAINER, DIGEST, POD, Given, Object, deployment

CONTAINERS = "spec.template.spec.containers.0"
SERVER = "spec.template.spec.containers[0]"


def _of_pods(type_: str, path: str, properties: Object | None = None) -> Case:
    """A kind that makes pods, with the way to their spec."""
    keys = path.split(".")
    below: Any = POD
    for key in reversed(keys):
        below = {key: below}
    given = Given(type_, {"metadata": {"namespace": "models"}, **below, **(properties or {})})
    return Case("image-by-digest", given, f"{path}.containers.0.image", "nginx:1.29", "'nginx:1.29' is no digest")


PREDICTOR: Object = {
    **{key: value for key, value in POD.items() if key != "containers"},
    "model": {
        "modelFormat": {"name": "onnx"},
        "storageUri": f"oci+native://{DIGEST}",
        **{key: value for key, value in CONTAINER.items() if key != "name"},
    },
}
SERVICE = Given("kubernetes:serving.kserve.io/v1beta1:InferenceService", {"spec": {"predictor": PREDICTOR}})
RUNTIME = Given("kubernetes:serving.kserve.io/v1alpha1:ServingRuntime", {"spec": {"containers": [CONTAINER]}})
IMAGES = [
    *(_of_pods(f"kubernetes:apps/v1:{kind}", "spec.template.spec") for kind in ("Deployment", "StatefulSet")),
    _of_pods("kubernetes:apps/v1:DaemonSet", "spec.template.spec"),
    _of_pods("kubernetes:apps/v1:DeploymentPatch", "spec.template.spec"),
    _of_pods("kubernetes:batch/v1:Job", "spec.template.spec"),
    _of_pods("kubernetes:batch/v1:CronJob", "spec.jobTemplate.spec.template.spec"),
    _of_pods("kubernetes:core/v1:Pod", "spec"),
    _of_pods("kubernetes:argoproj.io/v1alpha1:Rollout", "spec.template.spec"),
    _of_pods("modelstack:index:SmokeTest", "pod", {"namespace": "models"}),
    Case("image-by-digest", SERVICE, "spec.predictor.model.image", "x:1", "spec.predictor.model.image: 'x:1'"),
    Case("image-by-digest", SERVICE, "spec.predictor.model.storageUri", "oci://x:1", "storageUri: 'oci://x:1'"),
    Case("image-by-digest", RUNTIME, "spec.containers.0.image", "x", "spec.containers[0].image: 'x' is no digest"),
    Case(
        "image-by-digest",
        deployment(pod={**POD, "volumes": [{"name": "model", "image": {"reference": DIGEST}}]}),
        "spec.template.spec.volumes.0.image.reference",
        "weights:1",
        "volumes[0].image.reference: 'weights:1'",
    ),
    Case(
        "image-by-digest",
        deployment(pod={**POD, "initContainers": [dict(CONTAINER)]}),
        "spec.template.spec.initContainers.0.image",
        f"{DIGEST}0",
        "spec.template.spec.initContainers[0].image",
    ),
]
MODEL = Given(
    "modelstack:index:ModelImage",
    {
        "recipe": "models/digits/recipe.yaml",
        "publicKeys": ["keys/release.pub"],
        "parsed": {"gates": {"min_accuracy": 0.97, "max_latency_ms": 50}},
    },
    "digits",
)
CLAIMS = {"spec": {"volumeClaimTemplates": [{"metadata": {"name": "data"}}], "template": {"spec": POD}}}
HELD: tuple[tuple[str, Object], ...] = (
    ("kubernetes:core/v1:PersistentVolumeClaim", {"spec": {}}),
    ("kubernetes:apps/v1:StatefulSet", CLAIMS),
    *((type_, {}) for type_ in ("aws:s3/bucket:Bucket", "aws:rds/cluster:Cluster", "aws:ecr/repository:Repository")),
    *((type_, {}) for type_ in ("aws:kms/key:Key", "aws:eks/cluster:Cluster", "aws:dynamodb/table:Table")),
)
OF_PROD = [
    Case("signed-image", MODEL, "publicKeys", None, "publicKeys: names no key", stack="prod"),
    Case("signed-image", MODEL, "publicKeys", [], "publicKeys: names no key", stack="prod"),
    Case(
        *("gates-in-prod", MODEL, "parsed.gates", {"max_latency_ms": 50}),
        "models/digits/recipe.yaml names no gate on answers",
        stack="prod",
    ),
    *(
        Case("protect-stateful", Given(type_, props, protect=True), "protect", None, "options.protect", stack="prod")
        for type_, props in HELD
    ),
    Case(
        "canary-in-prod",
        Given(
            "kubernetes:argoproj.io/v1alpha1:Rollout",
            {
                "metadata": {"labels": {"modelstack.dev/model": "digits"}},
                "spec": {"strategy": {"canary": {"steps": [{"setWeight": 20}]}}},
            },
        ),
        *("spec.strategy.canary.steps", None, "spec.strategy"),
        stack="prod",
    ),
    Case(
        "canary-in-prod",
        deployment(labels={"app.kubernetes.io/name": "prometheus"}),
        *("metadata.labels", {"modelstack.dev/model": "digits"}, "Deployment rolls a new version out"),
        stack="prod",
    ),
]
WORKLOADS = [
    Case("requests-and-limits", deployment(), f"{CONTAINERS}.resources.limits.memory", None, "no limits.memory"),
    Case(
        "requests-and-limits", deployment(), f"{CONTAINERS}.resources", None, f"{SERVER}.resources: has no requests.cpu"
    ),
    Case("probes", deployment(), f"{CONTAINERS}.readinessProbe", None, f"{SERVER}.readinessProbe: is missing"),
    Case("probes", SERVICE, "spec.predictor.model.livenessProbe", None, "predictor.model.livenessProbe: is missing"),
]
TLS = {"spec": {"tls": [{"secretName": "x"}], "rules": []}}
ROUTE = {"metadata": {"annotations": {"modelstack.dev/https": "true"}}, "spec": {}}
INSIDE = {"service.beta.kubernetes.io/aws-load-balancer-scheme": "internal"}
LISTENERS = {"spec": {"listeners": [{"protocol": "HTTPS", "tls": {"certificateRefs": []}}]}}
LISTENER = {"protocol": "HTTPS", "sslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06", "defaultActions": []}
CDN = {
    "enabled": False,
    "webAclId": "arn",
    "defaultCacheBehavior": {"viewerProtocolPolicy": "redirect-to-https"},
    "orderedCacheBehaviors": [{"viewerProtocolPolicy": "https-only"}],
}
BLOCK = dict.fromkeys(("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True)
READ = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::1:role/r"}, "Action": "s3:GetObject", "Resource": "*"}


def _public(type_: str, properties: Object, *change: Any) -> Case:
    return Case("no-public-endpoint", Given(type_, properties), *change)


EXPOSURE = [
    _public("kubernetes:core/v1:Service", {"spec": {"type": "ClusterIP"}}, "spec.type", "LoadBalancer", "for anyone"),
    _public(
        "kubernetes:core/v1:Service",
        {"metadata": {"annotations": INSIDE}, "spec": {"type": "LoadBalancer"}},
        *("metadata.annotations", {"a": "b"}, "spec.type: 'LoadBalancer'"),
    ),
    _public(
        "kubernetes:core/v1:Service",
        {"spec": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"]}},
        *("spec.loadBalancerSourceRanges.0", "0.0.0.0/0", "spec.type: 'LoadBalancer' has an address for anyone"),
    ),
    _public("kubernetes:networking.k8s.io/v1:Ingress", TLS, "spec.tls", None, "spec.tls: is missing"),
    _public(
        "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute", ROUTE, "metadata.annotations", {}, "modelstack.dev/https"
    ),
    _public(
        *("kubernetes:gateway.networking.k8s.io/v1:Gateway", LISTENERS, "spec.listeners.0", {"protocol": "HTTP"}),
        "spec.listeners[0].protocol: 'HTTP' comes in the clear",
    ),
    _public(
        *("aws:eks/cluster:Cluster", {"vpcConfig": {"endpointPublicAccess": False}}),
        *("vpcConfig.endpointPublicAccess", None, "vpcConfig.endpointPublicAccess: is missing; set false"),
    ),
    _public(
        *("aws:ec2/securityGroup:SecurityGroup", {"ingress": [{"cidrBlocks": ["10.0.0.0/8"]}]}),
        *("ingress.0.cidrBlocks.0", "0.0.0.0/0", "ingress[0].cidrBlocks[0]: '0.0.0.0/0' is everyone"),
    ),
    _public(
        *("aws:ec2/securityGroupRule:SecurityGroupRule", {"type": "ingress", "ipv6CidrBlocks": ["fd00::/8"]}),
        *("ipv6CidrBlocks", ["::/0"], "ipv6CidrBlocks[0]: '::/0' is everyone"),
    ),
    _public(
        *("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", {"cidrIpv4": "10.0.0.0/8"}),
        *("cidrIpv4", "0.0.0.0/0", "cidrIpv4: '0.0.0.0/0' is everyone"),
    ),
    _public(
        *("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", {"cidrIpv4": "10.0.0.0/8"}),
        *("cidrIpv4", "128.0.0.0/1", "cidrIpv4: '128.0.0.0/1' is everyone"),
    ),
    _public(
        *("aws:ec2/securityGroup:SecurityGroup", {"ingress": [{"ipv6CidrBlocks": ["fd00::/8"]}]}),
        *("ingress.0.ipv6CidrBlocks.0", "8000::/1", "ingress[0].ipv6CidrBlocks[0]: '8000::/1' is everyone"),
    ),
    Case(
        *("no-public-endpoint", Given("aws:lb/targetGroup:TargetGroup", {"protocol": "HTTPS"})),
        *("protocol", "HTTP", "protocol: 'HTTP' goes on in the clear; use HTTPS: set modelstack:gateway.tls", "prod"),
    ),
    _public("aws:lb/loadBalancer:LoadBalancer", {"internal": True}, "internal", False, "internal: False; set true"),
    _public(
        *("aws:lb/listener:Listener", LISTENER),
        *("protocol", "HTTP", "protocol: 'HTTP' comes in the clear"),
    ),
    _public(
        *("aws:lb/listener:Listener", LISTENER),
        *("sslPolicy", "ELBSecurityPolicy-2016-08", "sslPolicy: 'ELBSecurityPolicy-2016-08' takes TLS of before 1.2"),
    ),
    _public("aws:lb/listener:Listener", LISTENER, "sslPolicy", None, "sslPolicy: is missing"),
    _public(
        *("aws:lb/listener:Listener", {"protocol": "HTTP", "defaultActions": [{"type": "redirect"}]}),
        *("defaultActions.0.type", "forward", "protocol: 'HTTP' comes in the clear"),
    ),
    _public("aws:cloudfront/distribution:Distribution", CDN, "enabled", True, "enabled: True answers everyone; write"),
    _public("aws:cloudfront/distribution:Distribution", CDN, "webAclId", None, "webAclId: is missing; name a web ACL"),
    _public(
        *("aws:cloudfront/distribution:Distribution", CDN),
        *("orderedCacheBehaviors.0.viewerProtocolPolicy", "allow-all", "viewerProtocolPolicy: 'allow-all' comes in"),
    ),
    _public("aws:rds/instance:Instance", {}, "publiclyAccessible", True, "publiclyAccessible: True; set false"),
    _public(
        "aws:s3/bucketAcl:BucketAcl", {"acl": "private"}, "acl", "public-read", "acl: 'public-read' lets others in"
    ),
    _public(
        *("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", BLOCK),
        *("ignorePublicAcls", None, "ignorePublicAcls: is missing; set true"),
    ),
    _public(
        *("aws:s3/bucketPolicy:BucketPolicy", {"policy": {"Statement": [READ]}}),
        *("policy.Statement.0.Principal", "*", "policy: allows Principal '*'"),
    ),
]
POOL = {"spec": {"template": {"spec": {"requirements": [{"key": "karpenter.sh/capacity-type", "values": ["spot"]}]}}}}
ADVISORY = [
    Case(
        "spot-outside-prod",
        Given("aws:eks/nodeGroup:NodeGroup", {"capacityType": "SPOT"}),
        *("capacityType", None, "capacityType: is missing; set SPOT"),
    ),
    Case(
        "spot-outside-prod",
        Given("kubernetes:karpenter.sh/v1:NodePool", POOL),
        *("spec.template.spec.requirements.0.values", ["on-demand"], "values: ['on-demand']; add spot"),
    ),
]
CASES = [*IMAGES, *OF_PROD, *WORKLOADS, *EXPOSURE, *PERMISSIONS, *ENCRYPTION, *ADVISORY]
