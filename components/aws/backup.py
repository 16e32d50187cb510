"""Backup: copies of what is marked by a tag, volumes and buckets, in a vault."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.roles import Role, RoleArgs, service_trust
from settings import BackupSettings

TAG = "modelstack.dev/backup"
# AWS lets a lock of this kind be taken back for three days at least.
COMPLIANCE_GRACE_DAYS = 3
START_MINUTES, COMPLETE_MINUTES = 60, 720
MANAGED = ("service-role/AWSBackupServiceRolePolicyForBackup", "AWSBackupServiceRolePolicyForS3Backup")


@dataclass(frozen=True, kw_only=True)
class BackupArgs:
    """When, and how long a copy is kept."""

    settings: BackupSettings
    account: str
    protect: bool


class Backup(pulumi.ComponentResource):
    """A vault under a key of its own, a plan, and what it copies; the vault and its copies outlive the stack."""

    def __init__(self, name: str, args: BackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:Backup", name, None, opts)
        self._name, self._settings, self._account = name, args.settings, args.account
        self._own = pulumi.ResourceOptions(parent=self)
        # AWS removes no vault that holds a copy, and whoever looks for one does so when the stack is gone.
        self._held = pulumi.ResourceOptions(parent=self, protect=args.protect, retain_on_delete=True)
        vault = self._create_vault()
        self._select(self._create_plan(vault))
        self.register_outputs({"vault": vault.name})

    def _create_vault(self) -> aws.backup.Vault:
        key = aws.kms.Key(
            self._name,
            description="Copies of volumes and buckets",
            enable_key_rotation=True,
            deletion_window_in_days=30,
            opts=self._held,
        )
        # It gets a name of its own: under a fixed one what stays would be in the way of the next `up`.
        vault = aws.backup.Vault(self._name, kms_key_arn=key.arn, opts=self._held)
        if self._settings.lock != "none":
            self._lock(vault, final=self._settings.lock == "compliance")
        return vault

    def _lock(self, vault: aws.backup.Vault, *, final: bool) -> None:
        """Let no copy go early; a final lock stays with the vault, since AWS lets nobody remove it."""
        aws.backup.VaultLockConfiguration(
            self._name,
            backup_vault_name=vault.name,
            min_retention_days=self._settings.days,
            changeable_for_days=COMPLIANCE_GRACE_DAYS if final else None,
            # Other days are another lock of the same vault: to remove the old one last would remove the new one.
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=final, delete_before_replace=True),
        )

    def _create_plan(self, vault: aws.backup.Vault) -> aws.backup.Plan:
        rule = aws.backup.PlanRuleArgs(
            rule_name="copy",
            target_vault_name=vault.name,
            schedule=self._settings.schedule,
            start_window=START_MINUTES,
            completion_window=COMPLETE_MINUTES,
            lifecycle=aws.backup.PlanRuleLifecycleArgs(delete_after=self._settings.days),
        )
        return aws.backup.Plan(self._name, name=_stack(), rules=[rule], opts=self._own)

    def _select(self, plan: aws.backup.Plan) -> None:
        trust = service_trust("backup.amazonaws.com", account=self._account)
        role = Role(self._name, RoleArgs(trust=trust, managed=MANAGED), self._own)
        ((key, value),) = mark().items()
        aws.backup.Selection(
            self._name,
            name=_stack(),
            plan_id=plan.id,
            iam_role_arn=role.arn,
            selection_tags=[aws.backup.SelectionSelectionTagArgs(type="STRINGEQUALS", key=key, value=value)],
            opts=self._own,
        )


def mark() -> dict[str, str]:
    """Return the tag by which this stack's backup finds what to copy."""
    return {TAG: _stack()}


def _stack() -> str:
    return f"{pulumi.get_project()}-{pulumi.get_stack()}"
