"""Images: a configuration and layers, perhaps on top of a base, as the bytes a registry keeps."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from model_build.oci.descriptor import CONFIG, MANIFEST, Descriptor, digest_of
from model_build.oci.layer import Contents, Layer
from model_build.oci.reference import Reference


@dataclass(frozen=True)
class ImageConfig:
    """How a container of the image starts; what is None is the base's."""

    user: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    workdir: str | None = None
    stop_signal: str | None = None
    ports: tuple[int, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Base:
    """An image in a registry to build on: where it lies, its layers by descriptor, its configuration as parsed."""

    reference: Reference
    layers: tuple[Descriptor, ...]
    config: Mapping[str, Any]


@dataclass(frozen=True)
class Draft:
    """An image whose own layers need not have been read yet."""

    platform: str
    contents: tuple[Contents, ...]
    config: ImageConfig = ImageConfig()
    base: Base | None = None

    def image(self, layers: tuple[Layer, ...]) -> "Image":
        """Return the image that the contents make once they are known by digest."""
        return Image(self.platform, layers, self.config, self.base)

    def read(self) -> "Image":
        """Return the image, which reading every file tells the digests of."""
        return self.image(tuple(one.read() for one in self.contents))

    @property
    def carried(self) -> tuple[Descriptor, ...]:
        """The base's layers."""
        return self.base.layers if self.base else ()

    @property
    def size(self) -> int:
        """Bytes of all layers, the base's too."""
        return sum(one.size for one in self.carried) + sum(one.size for one in self.contents)


@dataclass(frozen=True)
class Image:
    """One image for one platform (`linux/amd64`); it holds no clock reading, so the same parts give the same digest."""

    platform: str
    layers: tuple[Layer, ...]
    config: ImageConfig = ImageConfig()
    base: Base | None = None

    @property
    def draft(self) -> Draft:
        """The image without its digests."""
        return Draft(self.platform, tuple(layer.contents for layer in self.layers), self.config, self.base)

    @property
    def config_bytes(self) -> bytes:
        """The configuration blob."""
        base = self.base.config if self.base else {}
        system, architecture, *variant = self.platform.split("/")
        told = {
            "os": system,
            "architecture": architecture,
            **({"variant": variant[0]} if variant else {}),
            "config": _merged(base.get("config") or {}, self.config),
            "rootfs": {
                "type": "layers",
                "diff_ids": [
                    *base.get("rootfs", {}).get("diff_ids", []),
                    *(layer.diff_id for layer in self.layers),
                ],
            },
        }
        return _json(told)

    @property
    def config_digest(self) -> str:
        """Digest of the configuration blob."""
        return digest_of(self.config_bytes)

    @property
    def manifest_bytes(self) -> bytes:
        """The manifest, as it is pushed."""
        carried = self.base.layers if self.base else ()
        described = (*carried, *(layer.descriptor for layer in self.layers))
        return _json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": Descriptor.of(self.config_bytes, CONFIG).json(),
                "layers": [one.json() for one in described],
            }
        )

    @property
    def descriptor(self) -> Descriptor:
        """Digest and size of the manifest."""
        return Descriptor.of(self.manifest_bytes, MANIFEST)

    @property
    def digest(self) -> str:
        """Digest of the manifest: what a pod names."""
        return self.descriptor.digest


def _merged(base: Mapping[str, Any], own: ImageConfig) -> dict[str, Any]:
    env = dict(one.partition("=")[::2] for one in base.get("Env") or ()) | dict(own.env)
    ports = {**(base.get("ExposedPorts") or {}), **{f"{port}/tcp": {} for port in own.ports}}
    # A base's command belongs to its entrypoint, not to another one.
    cmd = own.cmd if own.cmd is not None or own.entrypoint is not None else base.get("Cmd")
    told = {
        "User": own.user if own.user is not None else base.get("User"),
        "Env": [f"{name}={value}" for name, value in sorted(env.items())],
        "Entrypoint": list(own.entrypoint) if own.entrypoint is not None else base.get("Entrypoint"),
        "Cmd": list(cmd) if cmd is not None else None,
        "WorkingDir": own.workdir if own.workdir is not None else base.get("WorkingDir"),
        "StopSignal": own.stop_signal if own.stop_signal is not None else base.get("StopSignal"),
        "ExposedPorts": ports,
        "Labels": {**(base.get("Labels") or {}), **own.labels},
        "Volumes": base.get("Volumes"),
    }
    return {key: value for key, value in told.items() if value}


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
