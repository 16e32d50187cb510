"""What a stack in AWS keeps for audits and against loss."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from settings.base import Frozen, Image

Days = Literal[30, 60, 90, 180, 365, 400, 731, 1096, 1827, 2557]


class AuditSettings(Frozen):
    """A trail of what is managed by AWS' API in the account; what is read and written of objects is not in it."""

    days: Days = Field(default=365, description="that a line of the trail is kept")


class BackupSettings(Frozen):
    """Copies of volumes and buckets, in a vault."""

    schedule: str = Field(default="cron(0 3 * * ? *)", pattern=r"^cron\([A-Za-z0-9 */?,#-]+\)$", description="UTC")
    days: int = Field(default=35, ge=1, le=3650, description="that a copy is kept")
    lock: Literal["none", "governance", "compliance"] = Field(
        default="none", description="whether nobody shortens that: those with leave alone, or not even they"
    )


class PodLogsSettings(Frozen):
    """The lines that pods write, beyond the pods' end."""

    image: Image = Field(default="docker.io/fluent/fluent-bit:5.1.2", description="Fluent Bit, 5.1.1 or later")
    archive_days: Literal[0] | Days = Field(default=0, description="that they lie in a bucket too; 0 makes none")
