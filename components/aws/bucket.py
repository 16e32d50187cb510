"""Bucket: where a service of AWS writes what is kept for an audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws

from components.aws.roles import VERSION


@dataclass(frozen=True)
class Writer:
    """A service of AWS that may write to a bucket."""

    service: str
    path: str
    """What its objects' keys begin with, with * at the end."""
    condition: Mapping[str, Any] = field(default_factory=dict)
    """Which of the service's resources it writes for; whichever write to the path where not given."""
    reads_acl: bool = False
    """Whether it looks who owns the bucket before it writes."""


@dataclass(frozen=True, kw_only=True)
class BucketArgs:
    """What makes a bucket."""

    days: int
    """Days that an object is kept, and as many that one is kept which was replaced or removed."""
    protect: bool
    writers: Sequence[Writer] = field(default=())
    tags: Mapping[str, str] = field(default_factory=dict)
    key: pulumi.Input[str] | None = None
    """Arn of a key of KMS; where not given S3's own, which some services alone write under."""


class Bucket(pulumi.ComponentResource):
    """A bucket for logs: encrypted, versioned, closed to the public, reached by TLS alone; it outlives the stack."""

    bucket: aws.s3.Bucket
    ready: list[pulumi.Resource]
    """What a writer needs before it is told of the bucket."""

    def __init__(self, name: str, args: BucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:Bucket", name, None, opts)
        # AWS removes no bucket that holds something; what stays keeps all that guards it.
        self._name, self._own = name, pulumi.ResourceOptions(parent=self, retain_on_delete=True)
        held = pulumi.ResourceOptions.merge(self._own, pulumi.ResourceOptions(protect=args.protect))
        self.bucket = aws.s3.Bucket(name, tags=args.tags or None, opts=held)
        self._keep_versions(args.days)
        self._encrypt(args.key)
        self.ready = [self._close(args.writers)]
        self.register_outputs({"bucket": self.bucket.bucket})

    def _keep_versions(self, days: int) -> None:
        versioning = aws.s3.BucketVersioning(
            self._name,
            bucket=self.bucket.id,
            versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
            opts=self._own,
        )
        rule = aws.s3.BucketLifecycleConfigurationRuleArgs(
            id="expire",
            status="Enabled",
            filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
            expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(days=days),
            noncurrent_version_expiration=aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
                noncurrent_days=days
            ),
            abort_incomplete_multipart_upload=aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
                days_after_initiation=7
            ),
        )
        after = pulumi.ResourceOptions.merge(self._own, pulumi.ResourceOptions(depends_on=[versioning]))
        aws.s3.BucketLifecycleConfiguration(self._name, bucket=self.bucket.id, rules=[rule], opts=after)

    def _encrypt(self, key: pulumi.Input[str] | None) -> None:
        default = aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
            sse_algorithm="aws:kms" if key else "AES256", kms_master_key_id=key
        )
        rule = aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
            apply_server_side_encryption_by_default=default, bucket_key_enabled=True if key else None
        )
        aws.s3.BucketServerSideEncryptionConfiguration(self._name, bucket=self.bucket.id, rules=[rule], opts=self._own)

    def _close(self, writers: Sequence[Writer]) -> aws.s3.BucketPolicy:
        aws.s3.BucketOwnershipControls(
            self._name,
            bucket=self.bucket.id,
            # Without lists of access of its own an object is the bucket's, whoever wrote it.
            rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
            opts=self._own,
        )
        block = aws.s3.BucketPublicAccessBlock(
            self._name,
            bucket=self.bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self._own,
        )
        after = pulumi.ResourceOptions.merge(self._own, pulumi.ResourceOptions(depends_on=[block]))
        document = {"Version": VERSION, "Statement": _statements(self.bucket.arn, writers)}
        return aws.s3.BucketPolicy(
            self._name, bucket=self.bucket.id, policy=pulumi.Output.json_dumps(document), opts=after
        )


def _statements(arn: pulumi.Output[str], writers: Sequence[Writer]) -> list[dict[str, Any]]:
    found = [_tls_alone(arn)]
    for one in writers:
        shared = {"Effect": "Allow", "Principal": {"Service": one.service}}
        shared |= {"Condition": one.condition} if one.condition else {}
        if one.reads_acl:
            found.append({**shared, "Action": "s3:GetBucketAcl", "Resource": arn})
        found.append({**shared, "Action": "s3:PutObject", "Resource": pulumi.Output.concat(arn, "/", one.path)})
    return found


def _tls_alone(arn: pulumi.Output[str]) -> dict[str, Any]:
    return {
        "Effect": "Deny",
        # Everybody and everything: what is denied so is whatever comes in the clear.
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, pulumi.Output.concat(arn, "/*")],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
