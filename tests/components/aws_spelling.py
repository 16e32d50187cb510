"""Inputs of the provider as AWS' API writes them."""

from __future__ import annotations

from typing import Any

from tests.components.programs import Object

# Keys that the API spells otherwise.
SPELT = {"cloudwatchMetricsEnabled": "CloudWatchMetricsEnabled"}


def distribution_of(given: Object) -> Object:
    """Return a distribution as the API takes it, which has lists with their lengths."""
    (origin,) = given["origins"]
    secured = origin["customOriginConfig"]
    certificate = given["viewerCertificate"]
    errors = [
        {"ErrorCode": one["errorCode"], "ErrorCachingMinTTL": one["errorCachingMinTtl"]}
        for one in given["customErrorResponses"]
    ]
    return {
        "CallerReference": "a",
        "Comment": "",
        "Enabled": given["enabled"],
        "Aliases": counted(given["aliases"]),
        "HttpVersion": given["httpVersion"],
        "IsIPV6Enabled": given["isIpv6Enabled"],
        "WebACLId": given["webAclId"],
        "Origins": counted(
            [
                {
                    "Id": origin["originId"],
                    "DomainName": origin["domainName"],
                    "CustomOriginConfig": {
                        "HTTPPort": secured["httpPort"],
                        "HTTPSPort": secured["httpsPort"],
                        "OriginProtocolPolicy": secured["originProtocolPolicy"],
                        "OriginSslProtocols": counted(secured["originSslProtocols"]),
                    },
                }
            ]
        ),
        "DefaultCacheBehavior": behavior(given["defaultCacheBehavior"]),
        "CacheBehaviors": counted([behavior(one) for one in given["orderedCacheBehaviors"]]),
        "CustomErrorResponses": counted(errors),
        "ViewerCertificate": {
            "ACMCertificateArn": certificate["acmCertificateArn"],
            "SSLSupportMethod": certificate["sslSupportMethod"],
            "MinimumProtocolVersion": certificate["minimumProtocolVersion"],
        },
        "Restrictions": {"GeoRestriction": {"RestrictionType": "none", "Quantity": 0}},
    }


def behavior(given: Object) -> Object:
    """Return a behaviour as the API takes it."""
    lists = {"allowedMethods", "cachedMethods"}
    methods = {**counted(given["allowedMethods"]), "CachedMethods": counted(given["cachedMethods"])}
    return {**pascal({key: one for key, one in given.items() if key not in lists}), "AllowedMethods": methods}


def counted(items: list[Any]) -> Object:
    """Return a list as CloudFront has it."""
    return {"Quantity": len(items), "Items": items}


def pascal(given: Any) -> Any:
    """Return inputs with their keys as the API writes them; what awaits no value stays."""
    if isinstance(given, dict):
        return {SPELT.get(key, key[0].upper() + key[1:]): pascal(one) for key, one in given.items()}
    return [pascal(one) for one in given] if isinstance(given, list) else given


def attributes_of(given: Object) -> list[Object]:
    """Return attributes as load balancers take them: everything is text."""
    return [
        {"Key": key, "Value": str(one).lower() if isinstance(one, bool) else str(one)} for key, one in given.items()
    ]
