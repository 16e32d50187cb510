"""Pulumi.<stack>.yaml, parsed once into frozen settings."""

from settings.aws import AwsSettings, NodesSettings
from settings.base import Resources, SettingsError, amount
from settings.budget import BudgetSettings
from settings.charts import ChartSettings
from settings.ecr import EcrSettings, UpstreamSettings
from settings.exposure import AllowSettings, ExposureSettings, ParentSettings
from settings.front_door import CdnSettings, FirewallSettings, FrontDoorSettings
from settings.gateway import GatewaySettings, JwtSettings, KeySettings, LimitSettings, TlsSettings
from settings.hosts import CalicoSettings, HostsSettings, TaintSettings, WorkersSettings
from settings.keeping import AuditSettings, BackupSettings, PodLogsSettings
from settings.loading import load, load_notifications
from settings.node_pools import GpuPoolSettings, ShareSettings
from settings.notifications import EmailSettings, NotificationSettings
from settings.places import ClusterSettings, CopySettings, ImageSettings, RegistrySettings
from settings.policies import (
    ENVIRONMENTS,
    CostSettings,
    ExceptionSettings,
    ObjectiveSettings,
    PolicySettings,
    environment_of,
)
from settings.recipes import OWN_SERVER, gpus_of, server_of
from settings.review import ReviewSettings
from settings.rollout import ControllerSettings, RolloutSettings, StepSettings
from settings.scale import KedaSettings, ScaleSettings
from settings.secrets import ExternalSecretsSettings, RemoteSettings, SecretSettings
from settings.serve import KServeSettings, ServeSettings
from settings.stack import PREFIX, CacheSettings, ModelSettings, MonitoringSettings, Settings

__all__ = [
    "ENVIRONMENTS",
    "OWN_SERVER",
    "PREFIX",
    "AllowSettings",
    "AuditSettings",
    "AwsSettings",
    "BackupSettings",
    "BudgetSettings",
    "CacheSettings",
    "CalicoSettings",
    "CdnSettings",
    "ChartSettings",
    "ClusterSettings",
    "ControllerSettings",
    "CopySettings",
    "CostSettings",
    "EcrSettings",
    "EmailSettings",
    "ExceptionSettings",
    "ExposureSettings",
    "ExternalSecretsSettings",
    "FirewallSettings",
    "FrontDoorSettings",
    "GatewaySettings",
    "GpuPoolSettings",
    "HostsSettings",
    "ImageSettings",
    "JwtSettings",
    "KServeSettings",
    "KedaSettings",
    "KeySettings",
    "LimitSettings",
    "ModelSettings",
    "MonitoringSettings",
    "NodesSettings",
    "NotificationSettings",
    "ObjectiveSettings",
    "ParentSettings",
    "PodLogsSettings",
    "PolicySettings",
    "RegistrySettings",
    "RemoteSettings",
    "Resources",
    "ReviewSettings",
    "RolloutSettings",
    "ScaleSettings",
    "SecretSettings",
    "ServeSettings",
    "Settings",
    "SettingsError",
    "ShareSettings",
    "StepSettings",
    "TaintSettings",
    "TlsSettings",
    "UpstreamSettings",
    "WorkersSettings",
    "amount",
    "environment_of",
    "gpus_of",
    "load",
    "load_notifications",
    "server_of",
]
