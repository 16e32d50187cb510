"""CloudFront before the front door: what it keeps, for whom, and what it never does."""

from __future__ import annotations

import fnmatch

import pulumi
import pytest

from settings import FrontDoorSettings, GatewaySettings
from tests.components.conftest import Program
from tests.components.programs import Object, Run, stack_in
from tests.components.test_aws_front_door import DOOR, GATEWAY, HOST, ZONE, behind_a_door, of, urn

CDN: Object = {"host": "info.example.com", "seconds": 120}
DISTRIBUTION = "aws:cloudfront/distribution:Distribution"
# Of AWS: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-cache-policies.html
CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
EVERYWHERE = "us-east-1"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    given = behind_a_door({"public": True, "cdn": CDN})
    return stack_in(tmp_path_factory.mktemp("data"), given, stack="prod")


def behaviors(run: Run) -> dict[str, Object]:
    """Path → its behaviour, in the order in which CloudFront asks them; the default's path is *."""
    made = of(run, DISTRIBUTION)
    return {**{one["pathPattern"]: one for one in made["orderedCacheBehaviors"]}, "*": made["defaultCacheBehavior"]}


def test_a_door_has_none_unless_it_is_named(program: Program) -> None:
    run = program(behind_a_door({"public": True}), stack="prod")
    assert not [one for one in run.made if one.type.startswith("aws:cloudfront/")]


def test_nothing_that_is_posted_goes_through_it(run: Run) -> None:
    for one in behaviors(run).values():
        assert one["allowedMethods"] == ["GET", "HEAD"]
        assert one["cachedMethods"] == ["GET", "HEAD"]


# What a gateway of models may be asked by GET, and what it does not know.
ASKED = (
    *("/v2/models/digits", "/v2/models/mnist", "/v2/models/digits/ready", "/v2/models/digits/stats"),
    *("/v2/models/digits/versions/1", "/v2/models/other", "/v2/models", "/v2", "/v2/health/ready", "/v1/models/digits"),
)


def is_kept(run: Run, asked: str) -> bool:
    """Return whether CloudFront keeps the answer of a path: the first behaviour whose pattern fits it says so."""
    path = next(one for one in behaviors(run) if fnmatch.fnmatchcase(asked, one))
    return bool(behaviors(run)[path]["cachePolicyId"] != CACHING_DISABLED)


def test_what_models_are_is_kept_and_whether_they_are_ready_is_not(run: Run) -> None:
    assert {path for path in ASKED if is_kept(run, path)} == {"/v2/models/digits", "/v2/models/mnist"}


def test_an_answer_is_kept_for_the_same_key_alone(run: Run) -> None:
    policy = of(run, "aws:cloudfront/cachePolicy:CachePolicy")
    headers = policy["parametersInCacheKeyAndForwardedToOrigin"]["headersConfig"]
    assert (headers["headerBehavior"], headers["headers"]) == ("whitelist", {"items": ["authorization", "x-api-key"]})
    assert (policy["minTtl"], policy["defaultTtl"], policy["maxTtl"]) == (0, 120, 120)


def test_no_error_is_kept(run: Run) -> None:
    errors = of(run, DISTRIBUTION)["customErrorResponses"]
    assert {400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504} == {one["errorCode"] for one in errors}
    assert all(one["errorCachingMinTtl"] == 0 for one in errors)


def test_the_door_is_asked_by_tls_and_its_own_name(run: Run) -> None:
    (origin,) = of(run, DISTRIBUTION)["origins"]
    assert origin["domainName"] == HOST
    assert origin["customOriginConfig"]["originProtocolPolicy"] == "https-only"
    assert origin["customOriginConfig"]["originSslProtocols"] == ["TLSv1.2"]


def test_clients_come_by_tls_to_a_name_of_its_own(run: Run) -> None:
    made = of(run, DISTRIBUTION)
    assert {one["viewerProtocolPolicy"] for one in behaviors(run).values()} == {"https-only"}
    assert (made["aliases"], made["viewerCertificate"]["minimumProtocolVersion"]) == (
        ["info.example.com"],
        "TLSv1.2_2021",
    )
    names = {name: one for name, one in run.of("Record").items() if one["name"] == "info.example.com"}
    assert {(one["zoneId"], one["type"]) for one in names.values()} == {(ZONE, "A"), (ZONE, "AAAA")}
    assert all(one["aliases"][0]["name"] == "door.cloudfront.test" for one in names.values())


def test_firewall_and_certificate_lie_where_cloudfront_looks_for_them(run: Run) -> None:
    acl, certificate = run.of("WebAcl")["front-door-cdn"], run.of("Certificate")["front-door-cdn"]
    assert (acl["scope"], acl["region"], certificate["region"]) == ("CLOUDFRONT", EVERYWHERE, EVERYWHERE)
    assert of(run, DISTRIBUTION)["webAclId"].endswith("WebAcl/front-door-cdn")
    assert "region" not in run.of("WebAcl")["front-door"]
    logged, group = run.of("WebAclLoggingConfiguration")["front-door-cdn"], run.of("LogGroup")["front-door-cdn-waf"]
    assert (logged["region"], group["region"]) == (EVERYWHERE, EVERYWHERE)


def test_addresses_are_counted_where_clients_still_have_their_own(run: Run) -> None:
    rules = {name: {one["name"] for one in acl["rules"]} for name, acl in run.of("WebAcl").items()}
    assert "requests-of-one-address" in rules["front-door-cdn"]
    assert "requests-of-one-address" not in rules["front-door"]


def test_it_goes_before_the_door(run: Run) -> None:
    before = run.waits_for(urn(run, DISTRIBUTION, "front-door-cdn"))
    assert urn(run, "aws:route53/record:Record") in before
    assert urn(run, "aws:lb/loadBalancer:LoadBalancer") in before


@pytest.mark.parametrize(
    ("door", "message"),
    [
        ({"cdn": CDN}, "cdn: CloudFront asks from anywhere in the internet; set public: true without clients"),
        ({"public": True, "clients": ["203.0.113.0/24"], "cdn": CDN}, "set public: true without clients"),
        ({"public": True, "oldestTls": "1.3", "cdn": CDN}, "cdn: CloudFront asks by TLS 1.2, and oldestTls is 1.3"),
        ({"public": True, "cdn": {"host": HOST}}, f"cdn.host: {HOST} leads to the front door already"),
        (
            {"public": True, "cdn": {**CDN, "seconds": 301}},
            "cdn.seconds: 301: input should be less than or equal to 300",
        ),
        ({"public": True, "cdn": {"host": "info"}}, "'info' is no whole name of DNS"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(program: Program, door: Object, message: str) -> None:
    with pytest.raises(pulumi.RunError) as caught:
        program(behind_a_door(door), stack="prod")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_more_models_than_cloudfront_has_paths_for_are_refused() -> None:
    gateway = GatewaySettings.model_validate(GATEWAY)
    door = FrontDoorSettings.model_validate({**DOOR, "public": True, "cdn": CDN})
    door.require_fits(gateway, None, models=74)
    with pytest.raises(ValueError, match="cdn: keeps a path for each model, 74 at most, not 75; remove it"):
        door.require_fits(gateway, None, models=75)
