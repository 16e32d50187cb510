"""Pulumi.<stack>.yaml, parsed once into frozen settings."""

from settings.base import Resources, SettingsError, amount
from settings.exposure import AllowSettings, ExposureSettings, ParentSettings
from settings.gateway import GatewaySettings, JwtSettings, KeySettings, LimitSettings, TlsSettings
from settings.loading import OWN_SERVER, load, load_notifications, server_of
from settings.notifications import EmailSettings, NotificationSettings
from settings.places import ClusterSettings, ImageSettings, RegistrySettings
from settings.rollout import ControllerSettings, RolloutSettings, StepSettings
from settings.scale import KedaSettings, ScaleSettings
from settings.serve import KServeSettings, ServeSettings
from settings.stack import PREFIX, CacheSettings, ModelSettings, MonitoringSettings, Settings

__all__ = [
    "OWN_SERVER",
    "PREFIX",
    "AllowSettings",
    "CacheSettings",
    "ClusterSettings",
    "ControllerSettings",
    "EmailSettings",
    "ExposureSettings",
    "GatewaySettings",
    "ImageSettings",
    "JwtSettings",
    "KServeSettings",
    "KedaSettings",
    "KeySettings",
    "LimitSettings",
    "ModelSettings",
    "MonitoringSettings",
    "NotificationSettings",
    "ParentSettings",
    "RegistrySettings",
    "Resources",
    "RolloutSettings",
    "ScaleSettings",
    "ServeSettings",
    "Settings",
    "SettingsError",
    "StepSettings",
    "TlsSettings",
    "amount",
    "load",
    "load_notifications",
    "server_of",
]
