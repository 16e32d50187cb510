"""The parts that run in the node: the command of each, and where its health is asked."""

from dataclasses import dataclass, field

from local.instance import NODE_ADDRESS, NODE_NAME, SERVICE_RANGE, Instance

ETC = "/etc/modelstack"
PKI = f"{ETC}/pki"
TOOLS = "/opt/modelstack/bin"
API_LOOPBACK = "https://127.0.0.1:{port}"


@dataclass(frozen=True)
class Part:
    """One supervised program of the node; `health` is a URL inside its network namespace."""

    name: str
    command: tuple[str, ...]
    health: str
    environment: dict[str, str] = field(default_factory=dict)
    graceful: bool = False


def parts(instance: Instance) -> list[Part]:
    """Every supervised part of the instance, in the order in which `status` lists them."""
    return [
        _etcd(),
        _apiserver(instance),
        _controller_manager(),
        _scheduler(),
        Part("containerd", ("containerd", "--config", f"{ETC}/containerd.toml"), "http://127.0.0.1:1338/v1/metrics"),
        _kubelet(),
        Part("kube-proxy", _kube("kube-proxy", config=f"{ETC}/kube-proxy.yaml"), "http://127.0.0.1:10256/healthz"),
        _registry(instance),
        # The master process of -W outlives a worker that dies; -db keeps it in the foreground.
        Part("haproxy", ("haproxy", "-W", "-db", "-f", f"{ETC}/haproxy.cfg"), f"http://127.0.0.1:{HAPROXY_HEALTH}/"),
    ]


HAPROXY_HEALTH = 7399


def _kube(program: str, **flags: str) -> tuple[str, ...]:
    return ("kube", program, *(f"--{name.replace('_', '-')}={value}" for name, value in flags.items()))


def _etcd() -> Part:
    client, peer = "https://127.0.0.1:2379", "https://127.0.0.1:2380"
    flags = {
        "name": NODE_NAME,
        "data-dir": "/var/lib/etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"{NODE_NAME}={peer}",
        "listen-metrics-urls": "http://127.0.0.1:2381",
        "cert-file": f"{PKI}/etcd.crt",
        "key-file": f"{PKI}/etcd.key",
        "trusted-ca-file": f"{PKI}/etcd-ca.crt",
        "client-cert-auth": "true",
        "peer-cert-file": f"{PKI}/etcd.crt",
        "peer-key-file": f"{PKI}/etcd.key",
        "peer-trusted-ca-file": f"{PKI}/etcd-ca.crt",
        "peer-client-cert-auth": "true",
        "auto-compaction-retention": "1h",
        "snapshot-count": "10000",
        "logger": "zap",
    }
    command = ("etcd", *(f"--{name}={value}" for name, value in flags.items()))
    return Part("etcd", command, "http://127.0.0.1:2381/health", graceful=True)


def _apiserver(instance: Instance) -> Part:
    ports = instance.node_ports
    command = _kube(
        "kube-apiserver",
        advertise_address=NODE_ADDRESS,
        bind_address="0.0.0.0",  # noqa: S104 - every address of the node's own network namespace, which nothing outside reaches
        secure_port=str(instance.api_port),
        allow_privileged="true",
        authorization_mode="Node,RBAC",
        enable_admission_plugins="NodeRestriction",
        client_ca_file=f"{PKI}/ca.crt",
        tls_cert_file=f"{PKI}/apiserver.crt",
        tls_private_key_file=f"{PKI}/apiserver.key",
        etcd_servers="https://127.0.0.1:2379",
        etcd_cafile=f"{PKI}/etcd-ca.crt",
        etcd_certfile=f"{PKI}/etcd-client.crt",
        etcd_keyfile=f"{PKI}/etcd-client.key",
        kubelet_certificate_authority=f"{PKI}/ca.crt",
        kubelet_client_certificate=f"{PKI}/kubelet-client.crt",
        kubelet_client_key=f"{PKI}/kubelet-client.key",
        kubelet_preferred_address_types="InternalIP",
        proxy_client_cert_file=f"{PKI}/front-proxy-client.crt",
        proxy_client_key_file=f"{PKI}/front-proxy-client.key",
        requestheader_client_ca_file=f"{PKI}/front-proxy-ca.crt",
        requestheader_allowed_names="front-proxy-client",
        requestheader_extra_headers_prefix="X-Remote-Extra-",
        requestheader_group_headers="X-Remote-Group",
        requestheader_username_headers="X-Remote-User",
        service_account_issuer="https://kubernetes.default.svc.cluster.local",
        service_account_key_file=f"{PKI}/service-account.pub",
        service_account_signing_key_file=f"{PKI}/service-account.key",
        service_cluster_ip_range=SERVICE_RANGE,
        service_node_port_range=f"{ports.start}-{ports.stop - 1}",
        profiling="false",
    )
    return Part("kube-apiserver", command, f"https://127.0.0.1:{instance.api_port}/readyz")


def _controller_manager() -> Part:
    command = _kube(
        "kube-controller-manager",
        kubeconfig=f"{ETC}/controller-manager.kubeconfig",
        authentication_kubeconfig=f"{ETC}/controller-manager.kubeconfig",
        authorization_kubeconfig=f"{ETC}/controller-manager.kubeconfig",
        bind_address="127.0.0.1",
        root_ca_file=f"{PKI}/ca.crt",
        client_ca_file=f"{PKI}/ca.crt",
        requestheader_client_ca_file=f"{PKI}/front-proxy-ca.crt",
        cluster_signing_cert_file=f"{PKI}/ca.crt",
        cluster_signing_key_file=f"{PKI}/ca.key",
        service_account_private_key_file=f"{PKI}/service-account.key",
        use_service_account_credentials="true",
        leader_elect="false",
        profiling="false",
    )
    return Part("kube-controller-manager", command, "https://127.0.0.1:10257/healthz")


def _scheduler() -> Part:
    command = _kube(
        "kube-scheduler",
        kubeconfig=f"{ETC}/scheduler.kubeconfig",
        authentication_kubeconfig=f"{ETC}/scheduler.kubeconfig",
        authorization_kubeconfig=f"{ETC}/scheduler.kubeconfig",
        bind_address="127.0.0.1",
        leader_elect="false",
        profiling="false",
    )
    return Part("kube-scheduler", command, "https://127.0.0.1:10259/healthz")


def _kubelet() -> Part:
    command = _kube(
        "kubelet",
        config=f"{ETC}/kubelet.yaml",
        kubeconfig=f"{ETC}/kubelet.kubeconfig",
        hostname_override=NODE_NAME,
        node_ip=NODE_ADDRESS,
    )
    return Part("kubelet", command, "http://127.0.0.1:10248/healthz")


def _registry(instance: Instance) -> Part:
    # distribution 3 sends traces to a collector unless told otherwise.
    quiet = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    command = ("registry", "serve", f"{ETC}/registry.yaml")
    return Part("registry", command, f"http://{instance.registry}/v2/", quiet, graceful=True)
