"""Firewall: what AWS WAF refuses before a request reaches a stack.

Rules of AWS: https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-baseline.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.logs import LogGroup, LogGroupArgs

COMMON, KNOWN_BAD = "AWSManagedRulesCommonRuleSet", "AWSManagedRulesKnownBadInputsRuleSet"
# Where AWS keeps what CloudFront uses, for the whole world.
CLOUDFRONT_REGION = "us-east-1"
WINDOW_SECONDS = 300
TOO_MANY = 429
# A client's key is in one of these; neither a line of the log nor a sample shows it.
KEYS = ("authorization", "x-api-key")


@dataclass(frozen=True, kw_only=True)
class FirewallArgs:
    """What is refused, and where the firewall stands."""

    requests: int | None
    """The most of one address in five minutes; any number where None."""
    counted: Sequence[str]
    """Rules of AWS' sets that refuse nothing; a set without one of that name leaves it out."""
    log_days: int
    everywhere: bool = False
    """Whether it stands before CloudFront, in place of what lies in the region."""


class Firewall(pulumi.ComponentResource):
    """A web ACL: too many requests of one address, what AWS knows as attacks, and what it knows as bad inputs."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: FirewallArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:Firewall", name, None, opts)
        # Metrics are of the region: another stack there has its own.
        self._full = f"{pulumi.get_project()}-{pulumi.get_stack()}-{name}"
        self._name, self._own = name, pulumi.ResourceOptions(parent=self)
        self._region = CLOUDFRONT_REGION if args.everywhere else None
        limits = [self._limit(args.requests)] if args.requests else []
        acl = aws.wafv2.WebAcl(
            name,
            scope="CLOUDFRONT" if args.everywhere else "REGIONAL",
            region=self._region,
            default_action=aws.wafv2.WebAclDefaultActionArgs(allow=aws.wafv2.WebAclDefaultActionAllowArgs()),
            rules=[*limits, self._managed(1, COMMON, args.counted), self._managed(2, KNOWN_BAD, args.counted)],
            data_protection_config=_hidden(),
            visibility_config=aws.wafv2.WebAclVisibilityConfigArgs(
                cloudwatch_metrics_enabled=True, metric_name=self._full, sampled_requests_enabled=True
            ),
            opts=self._own,
        )
        self._log(acl, args.log_days)
        self.arn = acl.arn
        self.register_outputs({"arn": self.arn})

    def _log(self, acl: aws.wafv2.WebAcl, days: int) -> None:
        """Keep what was asked and which rule refused it; AWS writes to groups of such a name alone."""
        kept = LogGroupArgs(days=days, log_name=f"aws-waf-logs-{self._full}", region=self._region)
        group = LogGroup(f"{self._name}-waf", kept, self._own)
        headers = [aws.wafv2.WebAclLoggingConfigurationRedactedFieldSingleHeaderArgs(name=one) for one in KEYS]
        aws.wafv2.WebAclLoggingConfiguration(
            self._name,
            resource_arn=acl.arn,
            log_destination_configs=[group.arn],
            redacted_fields=[
                aws.wafv2.WebAclLoggingConfigurationRedactedFieldArgs(single_header=one) for one in headers
            ],
            region=self._region,
            opts=self._own,
        )

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

    def _managed(self, priority: int, group: str, counted: Sequence[str]) -> aws.wafv2.WebAclRuleArgs:
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
        return aws.wafv2.WebAclRuleVisibilityConfigArgs(
            cloudwatch_metrics_enabled=True, metric_name=f"{self._full}-{metric}", sampled_requests_enabled=True
        )


def _hidden() -> aws.wafv2.WebAclDataProtectionConfigArgs:
    """Return what takes clients' keys out of samples and logs before anyone sees them."""
    field = aws.wafv2.WebAclDataProtectionConfigDataProtectionFieldArgs(
        field_type="SINGLE_HEADER", field_keys=list(KEYS)
    )
    hidden = aws.wafv2.WebAclDataProtectionConfigDataProtectionArgs(action="SUBSTITUTION", field=field)
    return aws.wafv2.WebAclDataProtectionConfigArgs(data_protections=[hidden])
