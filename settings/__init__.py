"""Pulumi.<stack>.yaml, parsed once into frozen settings."""

from settings.base import Resources, SettingsError
from settings.gateway import GatewaySettings, JwtSettings, KeySettings, LimitSettings, TlsSettings
from settings.loading import OWN_SERVER, load, server_of
from settings.places import ClusterSettings, ExposureSettings, ImageSettings, RegistrySettings
from settings.rollout import ControllerSettings, RolloutSettings, StepSettings
from settings.scale import KedaSettings, ScaleSettings
from settings.stack import PREFIX, CacheSettings, ModelSettings, MonitoringSettings, Settings

__all__ = [
    "OWN_SERVER",
    "PREFIX",
    "CacheSettings",
    "ClusterSettings",
    "ControllerSettings",
    "ExposureSettings",
    "GatewaySettings",
    "ImageSettings",
    "JwtSettings",
    "KedaSettings",
    "KeySettings",
    "LimitSettings",
    "ModelSettings",
    "MonitoringSettings",
    "RegistrySettings",
    "Resources",
    "RolloutSettings",
    "ScaleSettings",
    "Settings",
    "SettingsError",
    "StepSettings",
    "TlsSettings",
    "load",
    "server_of",
]
