"""Firewall: what AWS WAF refuses before a request reaches a stack.

Rules of AWS: https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-baseline.html
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from settings import FirewallSettings

COMMON, KNOWN_BAD = "AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"
# Where AWS keeps what CloudFront uses, for the whole world.
CLOUDFRONT_REGION = "us-east-1"
WINDOW_SECONDS = 300
TOO_MANY = 429


@dataclass(frozen=True, kw_only=True)
class FirewallArgs:
    """What is refused, and where the firewall stands."""

    settings: FirewallSettings
    everywhere: bool = False
    """Whether it stands before CloudFront, in place of what lies in the region."""


class Firewall(pulumi.ComponentResource):
    """A web ACL: too many requests of one address, what AWS knows as attacks, and what it knows as bad inputs."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: FirewallArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:Firewall", name, None, opts)
        self._name = name
        rules = [
            self._limit(args.settings.requests),
            self._managed(1, COMMON, args.settings.counted),
            self._managed(2, KNOWN_BAD),
        ]
        acl = aws.wafv2.WebAcl(
            name,
            scope="CLOUDFRONT" if args.everywhere else "REGIONAL",
            region=CLOUDFRONT_REGION if args.everywhere else None,
            default_action=aws.wafv2.WebAclDefaultActionArgs(allow=aws.wafv2.WebAclDefaultActionAllowArgs()),
            rules=rules,
            visibility_config=aws.wafv2.WebAclVisibilityConfigArgs(
                cloudwatch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=False
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.arn = acl.arn
        self.register_outputs({"arn": self.arn})

    def _limit(self, requests: int) -> aws.wafv2.WebAclRuleArgs:
        rated = aws.wafv2.WebAclRuleStatementRateBasedStatementArgs(
            aggregate_key_type="IP", limit=requests, evaluation_window_sec=WINDOW_SECONDS
        )
        # As the gateway says it: the client's retries know what to do.
        later = aws.wafv2.WebAclRuleActionBlockCustomResponseResponseHeaderArgs(name="retry-after", value="60")
        said = aws.wafv2.WebAclRuleActionBlockCustomResponseArgs(response_code=TOO_MANY, response_headers=[later])
        return aws.wafv2.WebAclRuleArgs(
            name="requests-of-one-address",
            priority=0,
            action=aws.wafv2.WebAclRuleActionArgs(block=aws.wafv2.WebAclRuleActionBlockArgs(custom_response=said)),
            statement=aws.wafv2.WebAclRuleStatementArgs(rate_based_statement=rated),
            visibility_config=self._seen("requests"),
        )

    def _managed(self, priority: int, group: str, counted: tuple[str, ...] = ()) -> aws.wafv2.WebAclRuleArgs:
        count = aws.wafv2.WebAclRuleStatementManagedRuleGroupStatementRuleActionOverrideActionToUseArgs(
            count=aws.wafv2.WebAclRuleStatementManagedRuleGroupStatementRuleActionOverrideActionToUseCountArgs()
        )
        overrides = [
            aws.wafv2.WebAclRuleStatementManagedRuleGroupStatementRuleActionOverrideArgs(name=one, action_to_use=count)
            for one in counted
        ]
        managed = aws.wafv2.WebAclRuleStatementManagedRuleGroupStatementArgs(
            vendor_name="AWS", name=group, rule_action_overrides=overrides or None
        )
        return aws.wafv2.WebAclRuleArgs(
            name=group,
            priority=priority,
            override_action=aws.wafv2.WebAclRuleOverrideActionArgs(none=aws.wafv2.WebAclRuleOverrideActionNoneArgs()),
            statement=aws.wafv2.WebAclRuleStatementArgs(managed_rule_group_statement=managed),
            visibility_config=self._seen(group),
        )

    def _seen(self, metric: str) -> aws.wafv2.WebAclRuleVisibilityConfigArgs:
        # A sample of a request holds its headers, and with them the client's key.
        return aws.wafv2.WebAclRuleVisibilityConfigArgs(
            cloudwatch_metrics_enabled=True, metric_name=f"{self._name}-{metric}", sampled_requests_enabled=False
        )
