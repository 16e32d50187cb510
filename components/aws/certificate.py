"""Certificate: of a name that lies in a zone of Route 53, which proves it."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True, kw_only=True)
class CertificateArgs:
    """Of which name it is, and where that is proved."""

    host: str
    zone: str
    """Id of the hosted zone."""
    shared: bool
    """Whether other stacks have the same name, in other regions."""
    region: str | None = None
    """Where it is used; the provider's where not given."""


class Certificate(pulumi.ComponentResource):
    """A certificate of ACM, which renews itself as long as its record stands."""

    arn: pulumi.Output[str]
    """Known when the certificate is valid."""

    def __init__(self, name: str, args: CertificateArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:Certificate", name, None, opts)
        own = pulumi.ResourceOptions(parent=self)
        certificate = aws.acm.Certificate(
            name, domain_name=args.host, validation_method="DNS", region=args.region, opts=own
        )
        asked = certificate.domain_validation_options.apply(lambda options: options[0])
        record = aws.route53.Record(
            f"{name}-proof",
            zone_id=args.zone,
            name=asked.apply(lambda one: str(one.resource_record_name)),
            type=asked.apply(lambda one: str(one.resource_record_type)),
            records=[asked.apply(lambda one: str(one.resource_record_value))],
            ttl=60,
            # The record is the same for a name in every region: who comes second finds it, who goes leaves it.
            allow_overwrite=args.shared or None,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=args.shared),
        )
        valid = aws.acm.CertificateValidation(
            name, certificate_arn=certificate.arn, validation_record_fqdns=[record.fqdn], region=args.region, opts=own
        )
        self.arn = valid.certificate_arn
        self.register_outputs({"arn": self.arn})
