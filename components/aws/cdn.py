"""Cdn: CloudFront before what a GET answers, in places near to whoever asks.

Policies of AWS: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-cache-policies.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.certificate import Certificate, CertificateArgs
from components.aws.firewall import CLOUDFRONT_REGION, Firewall, FirewallArgs
from settings import CdnSettings, FrontDoorSettings

ORIGIN = "front-door"
# CloudFront refuses every other method itself: whoever posts asks the front door.
READING = ["GET", "HEAD"]
# What a model is and takes may be a little old; all else below its path, as whether it is ready, is asked each time.
KEPT = "/v2/models/{}"
# Of AWS: nothing is kept; all is passed on but for the name that was asked.
CACHING_DISABLED = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
ALL_BUT_HOST = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
# By these the gateway knows a client: an answer is kept for who sends the same, never for another.
KEYS = ["authorization", "x-api-key"]
# All whose answers CloudFront lets one keep for no time.
ERRORS = (400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504)


@dataclass(frozen=True, kw_only=True)
class CdnArgs:
    """Under which name, and before what."""

    settings: CdnSettings
    door: FrontDoorSettings
    models: Sequence[str]
    log_days: int
    after: Sequence[pulumi.Resource]
    """What makes the front door answer by its name."""


class Cdn(pulumi.ComponentResource):
    """A distribution that keeps answers to GET, a key's answers for that key alone."""

    def __init__(self, name: str, args: CdnArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:Cdn", name, None, opts)
        self._name, self._args, self._own = name, args, pulumi.ResourceOptions(parent=self)
        distribution = self._create_distribution(self._create_policy())
        for kind in ("A", "AAAA"):
            alias = aws.route53.RecordAliasArgs(
                name=distribution.domain_name, zone_id=distribution.hosted_zone_id, evaluate_target_health=False
            )
            aws.route53.Record(
                f"{name}-{kind.lower()}",
                zone_id=args.door.zone,
                name=args.settings.host,
                type=kind,
                aliases=[alias],
                opts=self._own,
            )
        self.register_outputs({"url": f"https://{args.settings.host}"})

    def _create_policy(self) -> aws.cloudfront.CachePolicy:
        seconds = self._args.settings.seconds
        headers = aws.cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginHeadersConfigHeadersArgs(items=KEYS)
        known = aws.cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginArgs(
            headers_config=aws.cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginHeadersConfigArgs(
                header_behavior="whitelist", headers=headers
            ),
            cookies_config=aws.cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginCookiesConfigArgs(
                cookie_behavior="none"
            ),
            query_strings_config=aws.cloudfront.CachePolicyParametersInCacheKeyAndForwardedToOriginQueryStringsConfigArgs(
                query_string_behavior="all"
            ),
        )
        return aws.cloudfront.CachePolicy(
            self._name,
            name=f"{pulumi.get_project()}-{pulumi.get_stack()}",
            # What a server says of its answer (Cache-Control) goes first, within these.
            min_ttl=0,
            default_ttl=seconds,
            max_ttl=seconds,
            parameters_in_cache_key_and_forwarded_to_origin=known,
            opts=self._own,
        )

    def _create_firewall(self) -> Firewall:
        door = self._args.door
        wanted = FirewallArgs(
            requests=door.requests, counted=door.firewall.counted, log_days=self._args.log_days, everywhere=True
        )
        return Firewall(self._name, wanted, self._own)

    def _create_distribution(self, policy: aws.cloudfront.CachePolicy) -> aws.cloudfront.Distribution:
        door, host = self._args.door, self._args.settings.host
        asked = CertificateArgs(host=host, zone=door.zone, shared=False, region=CLOUDFRONT_REGION)
        return aws.cloudfront.Distribution(
            self._name,
            enabled=True,
            aliases=[host],
            is_ipv6_enabled=True,
            http_version="http2and3",
            origins=[_origin(door.host)],
            default_cache_behavior=_passed_on(),
            ordered_cache_behaviors=[_kept(KEPT.format(one), policy.id) for one in sorted(self._args.models)],
            custom_error_responses=_errors(),
            viewer_certificate=aws.cloudfront.DistributionViewerCertificateArgs(
                acm_certificate_arn=Certificate(self._name, asked, self._own).arn,
                ssl_support_method="sni-only",
                minimum_protocol_version="TLSv1.2_2021",
            ),
            restrictions=aws.cloudfront.DistributionRestrictionsArgs(
                geo_restriction=aws.cloudfront.DistributionRestrictionsGeoRestrictionArgs(restriction_type="none")
            ),
            web_acl_id=self._create_firewall().arn,
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(self._args.after)),
        )


def _origin(host: str) -> aws.cloudfront.DistributionOriginArgs:
    """Return the front door, by TLS alone and with the certificate of its name."""
    by_tls = aws.cloudfront.DistributionOriginCustomOriginConfigArgs(
        http_port=80, https_port=443, origin_protocol_policy="https-only", origin_ssl_protocols=["TLSv1.2"]
    )
    return aws.cloudfront.DistributionOriginArgs(domain_name=host, origin_id=ORIGIN, custom_origin_config=by_tls)


def _kept(path: str, policy: pulumi.Input[str]) -> aws.cloudfront.DistributionOrderedCacheBehaviorArgs:
    return aws.cloudfront.DistributionOrderedCacheBehaviorArgs(
        path_pattern=path,
        target_origin_id=ORIGIN,
        viewer_protocol_policy="https-only",
        allowed_methods=READING,
        cached_methods=READING,
        cache_policy_id=policy,
    )


def _passed_on() -> aws.cloudfront.DistributionDefaultCacheBehaviorArgs:
    return aws.cloudfront.DistributionDefaultCacheBehaviorArgs(
        target_origin_id=ORIGIN,
        viewer_protocol_policy="https-only",
        allowed_methods=READING,
        cached_methods=READING,
        cache_policy_id=CACHING_DISABLED,
        origin_request_policy_id=ALL_BUT_HOST,
    )


def _errors() -> list[aws.cloudfront.DistributionCustomErrorResponseArgs]:
    """Return what keeps no error, which CloudFront would keep for ten seconds."""
    return [
        aws.cloudfront.DistributionCustomErrorResponseArgs(error_code=code, error_caching_min_ttl=0) for code in ERRORS
    ]
