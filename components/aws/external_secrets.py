"""ExternalSecrets: what the operator of External Secrets brings from AWS Secrets Manager into a stack's namespace.

Fields: https://external-secrets.io/latest/api/spec/ (SecretStore and ExternalSecret of external-secrets.io/v1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.aws.roles import Role, RoleArgs, role_trust
from components.labels import Labels
from components.site import Site
from settings import ExternalSecretsSettings, SecretSettings

NAME = "external-secrets"
VERSION = "external-secrets.io/v1"
# `up` fails where a secret is not there, or may not be read.
READY = {"pulumi.com/waitFor": "condition=Ready"}


@dataclass(frozen=True, kw_only=True)
class ExternalSecretsArgs:
    """Which secrets, and whose they are."""

    settings: ExternalSecretsSettings
    site: Site
    region: str
    account: str


class ExternalSecrets(pulumi.ComponentResource):
    """A store that reads as a role of the stack, which may read what is named here and nothing else."""

    made: dict[str, pulumi.Resource]
    """Name of a Secret → what is there when the Secret is."""

    def __init__(self, name: str, args: ExternalSecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("modelstack:aws:ExternalSecrets", name, None, opts)
        self._args, self._own = args, pulumi.ResourceOptions(parent=self)
        store = self._create_store(self._create_role(name))
        after = pulumi.ResourceOptions(parent=self, depends_on=[store])
        self.made = {
            secret: self._create("ExternalSecret", secret, external_secret(secret, of, args.settings.refresh), after)
            for secret, of in args.settings.secrets.items()
        }
        self.register_outputs({})

    def _create_role(self, name: str) -> Role:
        named = {one.name for secret in self._args.settings.secrets.values() for one in secret.keys.values()}
        place = f"arn:aws:secretsmanager:{self._args.region}:{self._args.account}:secret"
        # AWS ends each arn with six characters of its own.
        arns = [f"{place}:{one}-??????" for one in sorted(named)]
        reads = ("secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret")
        trust = role_trust(self._args.settings.operator)
        return Role(name, RoleArgs(trust=trust, allowed={"read": (reads, arns)}), self._own)

    def _create_store(self, role: Role) -> k8s.apiextensions.CustomResource:
        aws = {"service": "SecretsManager", "region": self._args.region, "role": role.arn}
        return self._create("SecretStore", NAME, {"provider": {"aws": aws}}, self._own)

    def _create(
        self, kind: str, name: str, spec: dict[str, Any], opts: pulumi.ResourceOptions
    ) -> k8s.apiextensions.CustomResource:
        site = self._args.site
        labels = Labels(NAME, site.stack).metadata
        metadata = {"name": name, "namespace": site.namespace, "labels": labels, "annotations": READY}
        return k8s.apiextensions.CustomResource(
            name, api_version=VERSION, kind=kind, metadata=metadata, spec=spec, opts=opts
        )


def external_secret(name: str, settings: SecretSettings, refresh: str) -> dict[str, Any]:
    """Return the spec of the ExternalSecret that makes the Secret of this name, and removes it with itself."""
    return {
        "refreshInterval": refresh,
        "secretStoreRef": {"kind": "SecretStore", "name": NAME},
        "target": {"name": name, "creationPolicy": "Owner", "template": {"type": settings.type}},
        "data": [
            {
                "secretKey": key,
                "remoteRef": {"key": one.name, **({"property": one.property} if one.property else {})},
            }
            for key, one in sorted(settings.keys.items())
        ],
    }
