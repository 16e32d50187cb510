"""The firewall of the front door in AWS: what it refuses, what it only counts, and what is seen of it."""

from __future__ import annotations

import pytest

from tests.components.conftest import Program
from tests.components.programs import Object, Run, stack_in
from tests.components.test_aws import only
from tests.components.test_aws_front_door import behind_a_door, of

COMMON, KNOWN_BAD = "AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    given = behind_a_door({"public": True})
    return stack_in(tmp_path_factory.mktemp("data"), given, stack="prod")


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return stack_in(tmp_path_factory.mktemp("data"), behind_a_door(), stack="prod")


def rules(run: Run) -> dict[str, Object]:
    return {one["name"]: one for one in of(run, "aws:wafv2/webAcl:WebAcl")["rules"]}


def test_the_firewall_stands_before_the_door_with_rules_of_aws(run: Run) -> None:
    guard = of(run, "aws:wafv2/webAclAssociation:WebAclAssociation")
    assert guard["resourceArn"].endswith("LoadBalancer/front-door")
    assert guard["webAclArn"].endswith("WebAcl/front-door")
    managed = [
        one["statement"]["managedRuleGroupStatement"]["name"] for one in rules(run).values() if "action" not in one
    ]
    assert managed == ["AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"]
    assert all(one["overrideAction"] == {"none": {}} for one in rules(run).values() if "action" not in one)
    assert len({one["priority"] for one in rules(run).values()}) == 3


def counted(run: Run, group: str) -> set[str]:
    """Return the rules of a set that count in place of refusing."""
    overrides = rules(run)[group]["statement"]["managedRuleGroupStatement"].get("ruleActionOverrides", [])
    assert all(one["actionToUse"] == {"count": {}} for one in overrides)
    return {one["name"] for one in overrides}


def test_no_rule_on_text_refuses_a_tensor_and_rules_of_paths_and_headers_refuse(run: Run, program: Program) -> None:
    # As AWS documents the two sets.
    on_bodies = {
        COMMON: {"SizeRestrictions", "EC2MetaDataSSRF", "GenericLFI", "GenericRFI", "CrossSiteScripting"},
        KNOWN_BAD: {"JavaDeserializationRCE", "Log4JRCE", "ReactJSRCE"},
    }
    for group, names in on_bodies.items():
        assert {f"{one}_BODY" for one in names} <= counted(run, group)
        assert {one for one in counted(run, group) if not one.endswith("_BODY")} == {"NoUserAgent_HEADER"}
    own = program(behind_a_door({"firewall": {"counted": ["Log4JRCE_HEADER", "GenericRFI_URIPATH"]}}), stack="prod")
    assert {"Log4JRCE_HEADER"} <= counted(own, KNOWN_BAD)
    assert {"GenericRFI_URIPATH"} <= counted(own, COMMON)


def test_who_asks_too_often_is_told_to_come_back_later(run: Run, program: Program) -> None:
    limit = rules(run)["requests-of-one-address"]
    assert limit["statement"]["rateBasedStatement"]["limit"] == 100_000
    assert limit["statement"]["rateBasedStatement"]["aggregateKeyType"] == "IP"
    said = limit["action"]["block"]["customResponse"]
    assert (said["responseCode"], said["responseHeaders"]) == (429, [{"name": "retry-after", "value": "60"}])
    fewer = program(behind_a_door({"firewall": {"requests": 100}}), stack="prod")
    assert rules(fewer)["requests-of-one-address"]["statement"]["rateBasedStatement"]["limit"] == 100


def test_inside_nobody_is_told_to_come_back_later_unless_a_limit_is_named(inside: Run, program: Program) -> None:
    assert set(rules(inside)) == {COMMON, KNOWN_BAD}
    named = program(behind_a_door({"firewall": {"requests": 100}}), stack="prod")
    assert "requests-of-one-address" in rules(named)


def test_what_the_firewall_refuses_is_seen_and_no_key_is(run: Run) -> None:
    acl = of(run, "aws:wafv2/webAcl:WebAcl")
    seen = [acl["visibilityConfig"], *(one["visibilityConfig"] for one in acl["rules"])]
    assert all(one["sampledRequestsEnabled"] for one in seen)
    (hidden,) = acl["dataProtectionConfig"]["dataProtections"]
    assert hidden["field"] == {"fieldType": "SINGLE_HEADER", "fieldKeys": ["authorization", "x-api-key"]}
    logged = only(run.of("WebAclLoggingConfiguration"))
    assert logged["resourceArn"].endswith("WebAcl/front-door")
    assert logged["logDestinationConfigs"] == ["arn:aws:test:::LogGroup/front-door-waf"]
    redacted = [one["singleHeader"]["name"] for one in logged["redactedFields"]]
    assert redacted == ["authorization", "x-api-key"]


def test_the_firewalls_group_of_logs_has_a_name_that_aws_writes_to_and_days(run: Run) -> None:
    group = run.of("LogGroup")["front-door-waf"]
    assert (group["name"], group["retentionInDays"]) == ("aws-waf-logs-modelstack-prod-front-door", 90)


def test_two_stacks_of_a_region_share_no_metric(run: Run, program: Program) -> None:
    def metrics(of_one: Run) -> set[str]:
        acl = of(of_one, "aws:wafv2/webAcl:WebAcl")
        return {one["visibilityConfig"]["metricName"] for one in (acl, *acl["rules"])}

    assert not metrics(run) & metrics(program(behind_a_door({"public": True}), stack="staging"))
