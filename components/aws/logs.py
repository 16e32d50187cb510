"""LogGroup: where logs are kept, how long, and under whose key."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True, kw_only=True)
class LogGroupArgs:
    """What makes a group of logs."""

    days: int
    """Days that a line is kept."""
    log_name: str | None = None
    """The name that AWS writes to, where it is not free to choose."""
    region: str | None = None
    """The provider's where not given."""


class LogGroup(pulumi.ComponentResource):
    """Logs in CloudWatch, which keeps them encrypted; under a name of their own they outlive the stack."""

    arn: pulumi.Output[str]
    log_name: pulumi.Output[str]
    streams: list[pulumi.Input[str]]
    """The arns to write to: the group and its streams."""

    def __init__(self, name: str, args: LogGroupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:LogGroup", name, None, opts)
        group = aws.cloudwatch.LogGroup(
            name,
            name=args.log_name,
            retention_in_days=args.days,
            region=args.region,
            # An audit asks for what happened in a stack that is gone; under a fixed name it would block the next one.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=args.log_name is None),
        )
        self.arn, self.log_name = group.arn, group.name
        self.streams = [group.arn, pulumi.Output.concat(group.arn, ":*")]
        self.register_outputs({"arn": self.arn})
