"""Pulumi.<stack>.yaml, parsed once into frozen settings."""

from settings.base import Resources, SettingsError, amount
from settings.exposure import AllowSettings, ExposureSettings, ParentSettings
from settings.gateway import GatewaySettings, JwtSettings, KeySettings, LimitSettings, TlsSettings
from settings.loading import OWN_SERVER, load, server_of
from settings.places import ClusterSettings, CopySettings, ImageSettings, RegistrySettings
from settings.review import ReviewSettings
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
    "CopySettings",
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
    "ParentSettings",
    "RegistrySettings",
    "Resources",
    "ReviewSettings",
    "RolloutSettings",
    "ScaleSettings",
    "ServeSettings",
    "Settings",
    "SettingsError",
    "StepSettings",
    "TlsSettings",
    "amount",
    "load",
    "server_of",
]
