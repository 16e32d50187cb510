"""The front door of a stack in AWS: each promise of docs/front-door.md, by resource."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from tests.components.conftest import Program
from tests.components.programs import NODES_GROUP, Object, Run, stack_in
from tests.components.test_aws import config, only

HOST, ZONE = "models.example.com", "Z0123456789ABC"
DOOR: Object = {"host": HOST, "zone": ZONE}
TLS: Object = {"secret": "gateway-tls"}  # pragma: allowlist secret
GATEWAY: Object = {"enabled": True, "keys": {"shop": {"sha256": "0" * 64}}, "tls": TLS}
TARGETS = "aws:lb/targetGroup:TargetGroup"
DOOR_TYPE = "modelstack:aws:FrontDoor"


def behind_a_door(door: Object | None = None, **others: Any) -> Object:
    return config({"frontDoor": {**DOOR, **(door or {})}}, **{"gateway": GATEWAY, **others})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    given = behind_a_door({"public": True})
    return stack_in(tmp_path_factory.mktemp("data"), given, stack="prod")


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return stack_in(tmp_path_factory.mktemp("data"), behind_a_door(), stack="prod")


def of(run: Run, type_: str) -> Object:
    """Return the inputs of the one resource of a type."""
    return only({one.name: one.inputs for one in run.made if one.type == type_})


def balancer(run: Run) -> Object:
    return of(run, "aws:lb/loadBalancer:LoadBalancer")


def test_no_door_is_made_unless_one_is_named(program: Program) -> None:
    run = program(config(gateway=GATEWAY), stack="prod")
    made = {one.type for one in run.made}
    assert DOOR_TYPE not in made
    assert not [one for one in made if one.startswith(("aws:lb/", "aws:route53/", "aws:acm/", "aws:wafv2/", "aws:s3/"))]


def test_the_endpoint_is_the_name_by_https(run: Run) -> None:
    assert run.outputs["endpoint"] == {"digits": f"https://{HOST}", "mnist": f"https://{HOST}"}


def test_a_door_lies_inside_unless_it_is_said_to_be_public(run: Run, inside: Run) -> None:
    assert balancer(inside)["internal"] is True
    assert all("private" in one for one in balancer(inside)["subnets"])
    assert balancer(run)["internal"] is False
    assert len(balancer(run)["subnets"]) == 3
    assert all("public" in one for one in balancer(run)["subnets"])


def test_inside_only_the_network_may_connect_and_only_by_https(inside: Run) -> None:
    group = inside.of("SecurityGroup")["front-door"]
    assert [(one["fromPort"], one["toPort"], one["cidrBlocks"]) for one in group["ingress"]] == [
        (443, 443, ["10.0.0.0/16"])
    ]


def test_a_public_door_is_open_to_those_who_are_named_or_to_anyone(run: Run, program: Program) -> None:
    assert run.of("SecurityGroup")["front-door"]["ingress"][0]["cidrBlocks"] == ["0.0.0.0/0"]
    named = program(behind_a_door({"public": True, "clients": ["203.0.113.0/24"]}), stack="prod")
    assert named.of("SecurityGroup")["front-door"]["ingress"][0]["cidrBlocks"] == ["203.0.113.0/24"]


def test_the_door_reaches_one_port_of_the_nodes_and_nobody_else_does(run: Run) -> None:
    (out,) = run.of("SecurityGroup")["front-door"]["egress"]
    assert (out["fromPort"], out["toPort"], out["securityGroups"]) == (30443, 30443, [NODES_GROUP])
    let_in = only(run.of("SecurityGroupIngressRule"))
    assert let_in["securityGroupId"] == NODES_GROUP
    assert let_in["referencedSecurityGroupId"] == "SecurityGroup/front-door"
    assert (let_in["fromPort"], let_in["toPort"]) == (30443, 30443)
    assert "cidrIpv4" not in let_in


def test_nothing_listens_in_the_clear_nor_by_an_old_tls(run: Run, program: Program) -> None:
    listener = of(run, "aws:lb/listener:Listener")
    assert (listener["port"], listener["protocol"]) == (443, "HTTPS")
    assert listener["sslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"
    newer = program(behind_a_door({"oldestTls": "1.3"}), stack="prod")
    assert of(newer, "aws:lb/listener:Listener")["sslPolicy"] == "ELBSecurityPolicy-TLS13-1-3-PQ-2025-09"


def test_the_certificate_is_proved_in_the_zone_before_anything_listens(run: Run) -> None:
    certificate = of(run, "aws:acm/certificate:Certificate")
    assert (certificate["domainName"], certificate["validationMethod"]) == (HOST, "DNS")
    proof = run.of("Record")["front-door-proof"]
    assert (proof["zoneId"], proof["type"], proof["records"]) == (ZONE, "CNAME", ["_b.acm"])
    valid = urn(run, "aws:acm/certificateValidation:CertificateValidation")
    assert valid in run.waits_for(urn(run, "aws:lb/listener:Listener"))


def test_the_gateway_is_found_at_a_port_of_every_worker(run: Run) -> None:
    targets = of(run, "aws:lb/targetGroup:TargetGroup")
    assert (targets["targetType"], targets["port"], targets["protocol"]) == ("instance", 30443, "HTTPS")
    assert targets["healthCheck"]["path"] == "/v2/health/live"
    assert of(run, "aws:autoscaling/attachment:Attachment")["autoscalingGroupName"] == "eks-workers"
    service = run.of("Service")["front-door"]["spec"]
    assert (service["type"], service["ports"][0]["nodePort"]) == ("NodePort", 30443)
    pods = run.of("Deployment")["gateway"]["spec"]["template"]
    assert service["selector"].items() <= pods["metadata"]["labels"].items()
    (port,) = [
        one for one in pods["spec"]["containers"][0]["ports"] if one["name"] == service["ports"][0]["targetPort"]
    ]
    assert port["containerPort"] == service["ports"][0]["port"]


def test_the_gateway_lets_in_what_comes_from_nodes(run: Run) -> None:
    policy = run.of("NetworkPolicy")["front-door"]["spec"]
    assert policy["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "gateway"
    assert policy["ingress"] == [
        {"from": [{"ipBlock": {"cidr": "10.0.0.0/16"}}], "ports": [{"port": "http", "protocol": "TCP"}]}
    ]


def test_the_gateways_own_service_stays_inside_the_cluster(run: Run) -> None:
    assert run.of("Service")["gateway"]["spec"]["type"] == "ClusterIP"


def test_a_gateway_with_a_certificate_is_asked_by_tls(program: Program) -> None:
    found = {
        name: of(program(behind_a_door(gateway={**GATEWAY, "tls": tls}), stack="prod"), TARGETS)
        for name, tls in (("with", TLS), ("without", None))
    }
    assert (found["with"]["protocol"], found["with"]["healthCheck"]["protocol"]) == ("HTTPS", "HTTPS")
    assert (found["without"]["protocol"], found["without"]["healthCheck"]["protocol"]) == ("HTTP", "HTTP")


@pytest.mark.parametrize(
    ("gateway", "seconds", "drained"),
    [
        ({}, 130, 130),
        ({"answerSeconds": 300, "wakeSeconds": 5, "queueSeconds": 20}, 330, 330),
        ({"answerSeconds": 3600}, 3670, 3600),
        ({"answerSeconds": 3600, "queueSeconds": 600}, 4000, 3600),
    ],
)
def test_the_door_waits_as_the_gateway_may_take_and_the_gateway_keeps_its_connections_longer(
    program: Program, gateway: Object, seconds: int, drained: int
) -> None:
    run = program(behind_a_door(gateway={**GATEWAY, **gateway}), stack="prod")
    assert balancer(run)["idleTimeout"] == seconds
    assert of(run, TARGETS)["deregistrationDelay"] == drained
    assert f"timeout http-keep-alive {seconds + 5}s" in run.of("ConfigMap")["gateway"]["data"]["haproxy.cfg"]


def test_without_a_door_the_gateway_ends_idle_connections_as_ever(program: Program) -> None:
    run = program(config(gateway=GATEWAY), stack="prod")
    assert "timeout http-keep-alive 20s" in run.of("ConfigMap")["gateway"]["data"]["haproxy.cfg"]


def test_every_request_is_logged_in_a_closed_bucket(run: Run) -> None:
    logs = balancer(run)["accessLogs"]
    assert logs["enabled"] is True
    statements = json.loads(of(run, "aws:s3/bucketPolicy:BucketPolicy")["policy"])["Statement"]
    (allowed,) = [one for one in statements if one["Effect"] == "Allow"]
    assert allowed["Principal"] == {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"}
    assert allowed["Action"] == "s3:PutObject"
    assert allowed["Resource"].endswith("/AWSLogs/123456789012/*")


def test_a_name_of_several_regions_leads_to_the_nearest(run: Run, program: Program) -> None:
    assert "setIdentifier" not in run.of("Record")["front-door"]
    shared = program(behind_a_door({"latency": True}), stack="prod").of("Record")
    assert shared["front-door"]["setIdentifier"] == "eu-central-1"
    assert shared["front-door"]["latencyRoutingPolicies"] == [{"region": "eu-central-1"}]
    # ACM asks every region of an account for the same record.
    assert shared["front-door-proof"]["allowOverwrite"] is True
    assert "allowOverwrite" not in run.of("Record")["front-door-proof"]


def test_the_name_leads_to_the_door(run: Run) -> None:
    record = run.of("Record")["front-door"]
    assert (record["zoneId"], record["name"], record["type"]) == (ZONE, HOST, "A")
    assert record["aliases"] == [{"name": "door.elb.test", "zoneId": "ZELB", "evaluateTargetHealth": True}]


def urn(run: Run, type_: str, name: str = "front-door") -> str:
    (found,) = [one for one in run.after if one.endswith(f"{type_}::{name}")]
    return found


def test_no_client_is_led_to_the_door_before_the_firewall_stands_and_nodes_answer(run: Run) -> None:
    before = run.waits_for(urn(run, "aws:route53/record:Record"))
    assert urn(run, "aws:wafv2/webAclAssociation:WebAclAssociation") in before
    assert urn(run, "aws:lb/listener:Listener") in before
    assert urn(run, "aws:autoscaling/attachment:Attachment") in before
    assert urn(run, "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule") in before
    listening = run.waits_for(urn(run, "aws:lb/listener:Listener"))
    assert urn(run, "aws:wafv2/webAclAssociation:WebAclAssociation") in listening


BALANCERS = [
    ("aws:lb/loadBalancer:LoadBalancer", "front-door", behind_a_door()),
    ("kubernetes:core/v1:Service", "gateway", config(gateway=GATEWAY, exposure={"type": "LoadBalancer"})),
]


@pytest.mark.parametrize(("type_", "name", "given"), BALANCERS, ids=["front door", "Service"])
def test_load_balancers_go_before_the_nodes_and_the_cluster(
    program: Program, type_: str, name: str, given: Object
) -> None:
    run = program(given, stack="prod")
    after = run.waits_for(urn(run, type_, name))
    assert urn(run, "aws:eks/cluster:Cluster", "eks") in after
    assert {urn(run, "aws:eks/nodeGroup:NodeGroup", one) for one in ("system", "workers")} <= after


def test_clients_stay_away_before_the_gateway_goes(run: Run) -> None:
    assert urn(run, "kubernetes:apps/v1:Deployment", "gateway") in run.waits_for(
        urn(run, "aws:lb/loadBalancer:LoadBalancer")
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            behind_a_door(gateway={"enabled": False}),
            "aws.frontDoor: leads to the gateway, and gateway.enabled is false",
        ),
        (behind_a_door(exposure={"type": "LoadBalancer"}), "exposure.type: LoadBalancer leads past aws.frontDoor"),
        (
            behind_a_door(gateway={"enabled": True, "limit": {"requests": 5}}),
            "gateway.limit: counts addresses without keys",
        ),
        (
            behind_a_door({"public": True}, gateway={"enabled": True}),
            "aws.frontDoor.public: lets anyone ask the models, and the gateway asks for no key; add gateway.keys",
        ),
        (
            behind_a_door({"public": True}, gateway={**GATEWAY, "tls": None}),
            "aws.frontDoor.public: what comes from outside, keys too, would go on to the gateway in the clear; set",
        ),
        (
            behind_a_door(exposure={"allow": {"namespaces": ["shop"]}}),
            "exposure.allow: keeps nobody out beside aws.frontDoor",
        ),
        (behind_a_door({"public": True, "clients": ["0.0.0.0/0"]}), "'0.0.0.0/0' is wider than a /8"),
        (
            behind_a_door({"public": True, "clients": ["0.0.0.0/1", "128.0.0.0/1"]}, gateway={"enabled": True}),
            "'0.0.0.0/1' is wider than a /8",
        ),
        (behind_a_door({"host": "Models.example.com"}), "'Models.example.com' is no whole name of DNS"),
        (behind_a_door({"host": "models"}), "'models' is no whole name of DNS"),
        (behind_a_door({"zone": "example.com"}), "aws.frontDoor.zone: 'example.com': string should match"),
        (behind_a_door({"clients": ["203.0.113.7/24"]}), "aws.frontDoor.clients: '203.0.113.7/24' is no network"),
        (behind_a_door({"oldestTls": "1.1"}), "aws.frontDoor.oldestTls: '1.1': input should be '1.2' or '1.3'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(program: Program, given: Object, message: str) -> None:
    with pytest.raises(pulumi.RunError) as caught:
        program(given, stack="prod")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
