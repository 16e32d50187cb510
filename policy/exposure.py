"""What the internet reaches."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping

from policy.node import Node
from policy.rule import Facts, Finding, Resource, Rule, bad

# A network that is wider is nobody's own: two of /1 are everybody.
NARROW = 8
ANYONE = ("0.0.0.0/0", "::/0")
# Annotations that keep a load balancer inside, of the clouds' own controllers.
INTERNAL: Mapping[str, tuple[str, ...]] = {
    "service.beta.kubernetes.io/aws-load-balancer-scheme": ("internal",),
    "service.beta.kubernetes.io/aws-load-balancer-internal": ("true", "0.0.0.0/0"),
    "service.beta.kubernetes.io/azure-load-balancer-internal": ("true",),
    "networking.gke.io/load-balancer-type": ("Internal",),
    "cloud.google.com/load-balancer-type": ("Internal",),
}
# By what an Ingress or an HTTPRoute says that something before it ends TLS.
CERTIFICATE = "alb.ingress.kubernetes.io/certificate-arn"
HTTPS = "modelstack.dev/https"
SERVICE = (
    "set annotation service.beta.kubernetes.io/aws-load-balancer-scheme: internal, or another cloud's; or ClusterIP"
)
# Policies of load balancers that take TLS 1.2 and 1.3 alone.
MODERN = tuple(f"ELBSecurityPolicy-{one}" for one in ("TLS13-1-2", "TLS13-1-3", "TLS-1-2", "FS-1-2"))
Check = Callable[[Resource], Iterator[Finding]]


def no_public_endpoint(resource: Resource, facts: Facts) -> Iterator[Finding]:
    """Find what anyone reaches, or reaches in the clear; in prod also what goes on in the clear behind the way in."""
    checks = {**CHECKS, **BEHIND} if facts.prod else CHECKS
    check = checks.get(resource.type.removesuffix("Patch"))
    if check:
        yield from check(resource)


def _service(resource: Resource) -> Iterator[Finding]:
    kind = resource.at("spec", "type")
    if kind.value == "LoadBalancer" and not _is_inside(resource):
        yield bad(kind, SERVICE, "has an address for anyone")
    for one in resource.at("spec", "externalIPs").each():
        yield bad(one, "remove it", "takes packets of any address")


def _is_inside(resource: Resource) -> bool:
    ranges = resource.at("spec", "loadBalancerSourceRanges")
    named = ranges.known and ranges.value and not set(ranges.value) & set(ANYONE)
    return bool(named) or any(_says(resource, key, *allowed) for key, allowed in INTERNAL.items())


def _ingress(resource: Resource) -> Iterator[Finding]:
    tls = resource.at("spec", "tls")
    if (tls.absent or tls.value == []) and not _ends_before(resource):
        remedy = "set modelstack:exposure.tlsSecret, or https: true where something before it ends TLS"
        yield Finding(tls.path, "is missing, requests come in the clear", remedy)


def _route(resource: Resource) -> Iterator[Finding]:
    ended = resource.at("metadata", "annotations", HTTPS)
    if ended.is_other_than("true"):
        yield bad(ended, "set modelstack:exposure.https: true where the Gateway's listener ends TLS")


def _gateway(resource: Resource) -> Iterator[Finding]:
    for listener in resource.at("spec", "listeners").each():
        protocol = listener.at("protocol")
        if protocol.value in ("HTTP", "TCP", "UDP") and listener.at("tls").absent:
            yield bad(protocol, "use HTTPS with tls.certificateRefs", "comes in the clear")


def _ends_before(resource: Resource) -> bool:
    certificate = resource.at("metadata", "annotations", CERTIFICATE)
    return _says(resource, HTTPS, "true") or not certificate.absent


def _says(resource: Resource, key: str, *values: str) -> bool:
    found = resource.at("metadata", "annotations", key)
    return found.unknown or found.value in values


def _eks(resource: Resource) -> Iterator[Finding]:
    public = resource.at("vpcConfig", "endpointPublicAccess")
    # AWS opens it where nothing is said.
    if public.is_other_than(False):
        yield bad(public, "set false, and endpointPrivateAccess true")


def _group(resource: Resource) -> Iterator[Finding]:
    for rule in resource.at("ingress").each():
        yield from _open(rule, "cidrBlocks", "ipv6CidrBlocks")


def _group_rule(resource: Resource) -> Iterator[Finding]:
    if resource.at("type").value == "ingress":
        yield from _open(resource.properties, "cidrBlocks", "ipv6CidrBlocks")


def _ingress_rule(resource: Resource) -> Iterator[Finding]:
    yield from _open(resource.properties, "cidrIpv4", "cidrIpv6")


def _open(rule: Node, *keys: str) -> Iterator[Finding]:
    for found in (rule.at(key) for key in keys):
        for cidr in found.each() or [found]:
            if _is_everyone(cidr):
                yield bad(cidr, "name the networks or the security group that may connect", "is everyone")


def _is_everyone(cidr: Node) -> bool:
    """Return whether a network is everybody, or so wide that few like it are."""
    try:
        return ipaddress.ip_network(cidr.text, strict=False).prefixlen < NARROW
    except ValueError:
        return False


def _load_balancer(resource: Resource) -> Iterator[Finding]:
    internal = resource.at("internal")
    if internal.is_other_than(True):
        yield bad(internal, "set true")


def _targets(resource: Resource) -> Iterator[Finding]:
    protocol = resource.at("protocol")
    if protocol.value == "HTTP":
        remedy = "use HTTPS: set modelstack:gateway.tls, or write an exception with the reason"
        yield bad(protocol, remedy, "goes on in the clear")


def _listener(resource: Resource) -> Iterator[Finding]:
    protocol = resource.at("protocol")
    redirects = [one.at("type").value == "redirect" for one in resource.at("defaultActions").each()]
    if protocol.value == "HTTP" and not any(redirects):
        yield bad(protocol, "use HTTPS with a certificateArn, or redirect to it", "comes in the clear")
    policy = resource.at("sslPolicy")
    if protocol.value in ("HTTPS", "TLS") and (policy.absent or (policy.known and not policy.text.startswith(MODERN))):
        yield bad(policy, f"name one that begins with {MODERN[0]}", "takes TLS of before 1.2")


def _distribution(resource: Resource) -> Iterator[Finding]:
    if resource.at("enabled").value is True:
        yield bad(resource.at("enabled"), "write an exception with the reason", "answers everyone")
    if resource.at("webAclId").absent:
        yield bad(resource.at("webAclId"), "name a web ACL of scope CLOUDFRONT")
    behaviors = [resource.at("defaultCacheBehavior"), *resource.at("orderedCacheBehaviors").each()]
    for found in (one.at("viewerProtocolPolicy") for one in behaviors):
        if found.value == "allow-all":
            yield bad(found, "use https-only or redirect-to-https", "comes in the clear")


def _database(resource: Resource) -> Iterator[Finding]:
    public = resource.at("publiclyAccessible")
    if public.value is True:
        yield bad(public, "set false")


def _bucket(resource: Resource) -> Iterator[Finding]:
    acl = resource.at("acl")
    if acl.text.startswith("public-") or acl.text == "authenticated-read":
        yield bad(acl, "use private", "lets others in")


def _block(resource: Resource) -> Iterator[Finding]:
    for key in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"):
        if resource.at(key).is_other_than(True):
            yield bad(resource.at(key), "set true")


def _bucket_policy(resource: Resource) -> Iterator[Finding]:
    document = resource.at("policy")
    for statement in statements(document):
        everyone = statement.get("Principal") in ("*", {"AWS": "*"})
        if statement.get("Effect") == "Allow" and everyone and not statement.get("Condition"):
            yield Finding(document.path, "allows Principal '*'", "name the accounts or roles that may read it")


def statements(document: Node) -> list[dict[str, object]]:
    """Return the statements of a policy document, given as text or as a mapping; none where it is unknown."""
    found = document.value
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError:
            return []
    listed = found.get("Statement", []) if isinstance(found, Mapping) else []
    return [one for one in (listed if isinstance(listed, list) else [listed]) if isinstance(one, dict)]


CHECKS: Mapping[str, Check] = {
    "kubernetes:core/v1:Service": _service,
    "kubernetes:networking.k8s.io/v1:Ingress": _ingress,
    "kubernetes:gateway.networking.k8s.io/v1:HTTPRoute": _route,
    "kubernetes:gateway.networking.k8s.io/v1beta1:HTTPRoute": _route,
    "kubernetes:gateway.networking.k8s.io/v1:Gateway": _gateway,
    "kubernetes:gateway.networking.k8s.io/v1beta1:Gateway": _gateway,
    "aws:eks/cluster:Cluster": _eks,
    "aws:ec2/securityGroup:SecurityGroup": _group,
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": _group,
    "aws:ec2/securityGroupRule:SecurityGroupRule": _group_rule,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _ingress_rule,
    "aws:lb/loadBalancer:LoadBalancer": _load_balancer,
    "aws:alb/loadBalancer:LoadBalancer": _load_balancer,
    "aws:elb/loadBalancer:LoadBalancer": _load_balancer,
    "aws:lb/listener:Listener": _listener,
    "aws:alb/listener:Listener": _listener,
    "aws:cloudfront/distribution:Distribution": _distribution,
    "aws:rds/instance:Instance": _database,
    "aws:rds/clusterInstance:ClusterInstance": _database,
    "aws:redshift/cluster:Cluster": _database,
    "aws:s3/bucket:Bucket": _bucket,
    "aws:s3/bucketV2:BucketV2": _bucket,
    "aws:s3/bucketAcl:BucketAcl": _bucket,
    "aws:s3/bucketAclV2:BucketAclV2": _bucket,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _block,
    "aws:s3/bucketPolicy:BucketPolicy": _bucket_policy,
}
BEHIND: Mapping[str, Check] = {
    "aws:lb/targetGroup:TargetGroup": _targets,
    "aws:alb/targetGroup:TargetGroup": _targets,
}
RULES = (
    Rule(
        "no-public-endpoint",
        "Nothing is open to everyone, and nothing comes in the clear",
        "mandatory",
        no_public_endpoint,
    ),
)
