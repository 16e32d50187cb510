"""What the images are made of that the embedded platform makes: Debian packages, or the programs of a Go module."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from local.addons import Addon
from local.build import COREDNS, KEDA, METRICS_SERVER, PAUSE, ROLLOUTS, Module
from local.errors import RefusedError
from local.roots import RootSpec
from model_build.oci.image import ImageConfig
from model_build.oci.tar import NOBODY

USER = f"{NOBODY}:{NOBODY}"
PATH = "/usr/local/bin:/usr/bin:/usr/sbin"


@dataclass(frozen=True)
class ImageSpec:
    """One image: a Debian root, a Go module's programs or both, folders that its user writes to, and how it starts."""

    name: str
    config: ImageConfig
    root: RootSpec | None = None
    program: Module | None = None
    folders: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    manifest: str = ""
    """File of the Go module that a stack applies beside the image: the kinds of a controller."""
    addon: Addon | None = field(default=None, repr=False)
    """How the cluster itself runs the image, for all stacks."""


# What serving needs of Python and no more: no shell, no package manager, nothing that only a terminal uses.
BASE = ImageSpec(
    "base",
    ImageConfig(user=USER, env={"PATH": "/usr/local/bin:/usr/bin", "LANG": "C.UTF-8"}),
    root=RootSpec(
        "base",
        packages=("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "libgomp1", "ca-certificates"),
        only=(
            *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "media-types", "ca-certificates"),
            *("libc6", "libgcc-s1", "gcc-12-base", "libstdc++6", "libgomp1", "libcrypt1", "libssl3", "libuuid1"),
            *("libbz2-1.0", "libexpat1", "libffi8", "liblzma5", "libsqlite3-0", "zlib1g"),
        ),
        compiled="usr/lib/python3.11",
    ),
    links={"usr/bin/python3": "python3.11"},
)
PAUSE_IMAGE = ImageSpec("pause", ImageConfig(user=USER, entrypoint=("/pause",)), program=PAUSE)
COREDNS_IMAGE = ImageSpec("coredns", ImageConfig(user=USER, entrypoint=("/coredns",), ports=(53,)), program=COREDNS)
# The server and promtool; Debian's pages for a browser need hundreds of megabytes of JavaScript packages.
PROMETHEUS = ImageSpec(
    "prometheus",
    ImageConfig(
        user=USER,
        entrypoint=("/usr/bin/prometheus",),
        cmd=("--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"),
        workdir="/prometheus",
        ports=(9090,),
    ),
    root=RootSpec("prometheus", packages=("prometheus",), only=("prometheus", "libc6")),
    folders=("prometheus",),
)
_SYSTEMD = ("libsystemd0", "libcap2", "libgcrypt20", "libgpg-error0", "liblz4-1", "liblzma5", "libzstd1")
HAPROXY = ImageSpec(
    "haproxy",
    ImageConfig(
        user=USER,
        env={"PATH": PATH},
        cmd=("haproxy", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"),
        # SIGTERM would end it with requests in flight; on this signal it ends them first.
        stop_signal="SIGUSR1",
    ),
    root=RootSpec(
        "haproxy",
        packages=("haproxy",),
        only=(
            *("haproxy", "libc6", "libcrypt1", "libssl3", "liblua5.3-0", "libpcre2-8-0", "libgcc-s1", "gcc-12-base"),
            *("libopentracing-c-wrapper0", "libopentracing1", "libstdc++6", *_SYSTEMD),
        ),
    ),
)
REDIS = ImageSpec(
    "redis",
    ImageConfig(user=USER, env={"PATH": PATH}, cmd=("redis-server",), workdir="/data", ports=(6379,)),
    root=RootSpec(
        "redis",
        packages=("redis-server",),
        only=(
            *("redis-server", "redis-tools", "libatomic1", "libc6", "libjemalloc2", "liblzf1", "libssl3"),
            *("libgcc-s1", "gcc-12-base", "libstdc++6", *_SYSTEMD),
        ),
    ),
    folders=("data",),
)
ROLLOUTS_IMAGE = ImageSpec(
    "rollouts",
    ImageConfig(user=USER, entrypoint=("/rollouts",), ports=(8080, 8090)),
    program=ROLLOUTS,
    manifest="manifests/install.yaml",
)
METRICS_IMAGE = ImageSpec(
    "metrics-server",
    ImageConfig(user=USER, entrypoint=("/metrics-server",), ports=(10250,)),
    program=METRICS_SERVER,
    addon=Addon("metrics.yaml", ("metrics-server",)),
)
KEDA_IMAGE = ImageSpec(
    "keda",
    ImageConfig(user=USER, entrypoint=("/operator",), ports=(6443, 8080, 8081, 9666)),
    program=KEDA,
    addon=Addon("keda.yaml", ("keda-operator", "keda-metrics-apiserver"), namespace="keda", kinds="config/crd"),
)

ALWAYS = (BASE, PAUSE_IMAGE, COREDNS_IMAGE)
"""What `local up` itself makes."""
ON_DEMAND = (PROMETHEUS, HAPROXY, REDIS, ROLLOUTS_IMAGE, METRICS_IMAGE, KEDA_IMAGE)
"""What stacks may run besides, by the names of `modelstack:images`; `local bake` makes them."""


def named(names: Iterable[str]) -> tuple[ImageSpec, ...]:
    """Return images of ON_DEMAND; raises RefusedError for a name that is none."""
    known = {spec.name: spec for spec in ON_DEMAND}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            said = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(known)}"
            raise RefusedError(f"image: {name!r} cannot be made here, {said}; name another under modelstack:images")
    return tuple(known[name] for name in dict.fromkeys(names))
