"""Audit: a trail of what is managed in the account, which nobody changes unseen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components.aws.bucket import Bucket, BucketArgs, Writer
from components.aws.roles import VERSION

SERVICE = "cloudtrail.amazonaws.com"


@dataclass(frozen=True, kw_only=True)
class AuditArgs:
    """Of which account, and how long it is kept."""

    account: str
    region: str
    days: int
    protect: bool
    tags: Mapping[str, str]
    """Of the bucket."""


class Audit(pulumi.ComponentResource):
    """CloudTrail of all regions, signed hour by hour, under a key of its own."""

    def __init__(self, name: str, args: AuditArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:Audit", name, None, opts)
        full = f"{pulumi.get_project()}-{pulumi.get_stack()}"
        trail = f"arn:aws:cloudtrail:{args.region}:{args.account}:trail/{full}"
        key = aws.kms.Key(
            name,
            description="The trail of what is called in the account",
            enable_key_rotation=True,
            deletion_window_in_days=30,
            policy=pulumi.Output.json_dumps(_key_policy(args.account, trail)),
            # What outlives the stack is read by this key.
            opts=pulumi.ResourceOptions(parent=self, protect=args.protect, retain_on_delete=True),
        )
        writer = Writer(
            SERVICE, f"AWSLogs/{args.account}/*", {"StringEquals": {"aws:SourceArn": trail}}, reads_acl=True
        )
        kept = BucketArgs(days=args.days, protect=args.protect, writers=[writer], key=key.arn, tags=args.tags)
        bucket = Bucket(name, kept, pulumi.ResourceOptions(parent=self))
        aws.cloudtrail.Trail(
            name,
            name=full,
            s3_bucket_name=bucket.bucket.bucket,
            kms_key_id=key.arn,
            is_multi_region_trail=True,
            include_global_service_events=True,
            enable_log_file_validation=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=bucket.ready),
        )
        self.register_outputs({"bucket": bucket.bucket.bucket})


def _key_policy(account: str, trail: str) -> dict[str, Any]:
    """Return who uses the key: CloudTrail for this trail alone; whom else, the account's own policies say."""
    of_trail = {"StringEquals": {"aws:SourceArn": trail}}
    encrypts = {"StringLike": {"kms:EncryptionContext:aws:cloudtrail:arn": f"arn:aws:cloudtrail:*:{account}:trail/*"}}
    shared = {"Effect": "Allow", "Principal": {"Service": SERVICE}, "Resource": "*"}
    owner = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        # Without it nobody could change this policy any more; of a key's policy "*" is the key itself.
        "Action": "kms:*",
        "Resource": "*",
    }
    return {
        "Version": VERSION,
        "Statement": [
            owner,
            # GenerateDataKey and its kin without plaintext, as CloudTrail's own documentation asks.
            {**shared, "Action": "kms:GenerateDataKey*", "Condition": {**of_trail, **encrypts}},
            {**shared, "Action": "kms:DescribeKey", "Condition": of_trail},
        ],
    }
