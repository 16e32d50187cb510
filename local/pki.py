"""Certificates of one instance, made once by openssl and kept, so that a kubeconfig outlives `down`."""

import base64
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml

from local.errors import PlatformError
from local.instance import API_ADDRESS, CLUSTER_DOMAIN, NODE_ADDRESS, NODE_NAME

VALID_DAYS = 3650
_CURVE = ("-pkeyopt", "ec_paramgen_curve:P-256")


@dataclass(frozen=True)
class Certificate:
    """One leaf certificate: its file name, its subject and where it is valid."""

    name: str
    authority: str
    common_name: str
    organization: str = ""
    names: tuple[str, ...] = ()


AUTHORITIES = ("ca", "etcd-ca", "front-proxy-ca")
_API_NAMES = (
    "DNS:kubernetes",
    "DNS:kubernetes.default",
    "DNS:kubernetes.default.svc",
    f"DNS:kubernetes.default.svc.{CLUSTER_DOMAIN}",
    "DNS:localhost",
    "IP:127.0.0.1",
    f"IP:{API_ADDRESS}",
    f"IP:{NODE_ADDRESS}",
)
CERTIFICATES = (
    Certificate("apiserver", "ca", "kube-apiserver", names=_API_NAMES),
    Certificate("kubelet-client", "ca", "kube-apiserver-kubelet-client", "system:masters"),
    Certificate("admin", "ca", "modelstack-admin", "system:masters"),
    Certificate("controller-manager", "ca", "system:kube-controller-manager"),
    Certificate("scheduler", "ca", "system:kube-scheduler"),
    Certificate("proxy", "ca", "system:kube-proxy"),
    Certificate(
        "kubelet", "ca", f"system:node:{NODE_NAME}", "system:nodes", (f"DNS:{NODE_NAME}", f"IP:{NODE_ADDRESS}")
    ),
    Certificate("etcd", "etcd-ca", "etcd", names=("DNS:localhost", "IP:127.0.0.1")),
    Certificate("etcd-client", "etcd-ca", "kube-apiserver"),
    Certificate("front-proxy-client", "front-proxy-ca", "front-proxy-client"),
)


def make(folder: Path) -> None:
    """Make every certificate that is missing; what is there stays as it is. Raises PlatformError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in AUTHORITIES:
        if not (folder / f"{name}.crt").exists():
            _issue(
                folder, name, ["-subj", f"/CN=modelstack {name}", *_usage("critical,CA:TRUE", "keyCertSign,cRLSign")]
            )
    for certificate in CERTIFICATES:
        if not (folder / f"{certificate.name}.crt").exists():
            _issue(folder, certificate.name, _leaf_options(certificate))
    if not (folder / "service-account.pub").exists():
        # As with a certificate: the public half is renamed last, and says that the key is complete.
        _openssl(folder, ["genpkey", "-algorithm", "EC", *_CURVE, "-out", "service-account.key"])
        _openssl(folder, ["pkey", "-in", "service-account.key", "-pubout", "-out", "service-account.part"])
        (folder / "service-account.part").rename(folder / "service-account.pub")


def kubeconfig(folder: Path, certificate: str, server: str) -> str:
    """A kubeconfig with everything embedded that speaks to `server` as the named certificate."""
    user = {
        "client-certificate-data": _data(folder, f"{certificate}.crt"),
        "client-key-data": _data(folder, f"{certificate}.key"),
    }
    cluster = {"server": server, "certificate-authority-data": _data(folder, "ca.crt")}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "modelstack", "cluster": cluster}],
        "users": [{"name": certificate, "user": user}],
        "contexts": [{"name": "modelstack", "context": {"cluster": "modelstack", "user": certificate}}],
        "current-context": "modelstack",
    }
    return yaml.safe_dump(document, sort_keys=False)


def _leaf_options(certificate: Certificate) -> list[str]:
    organization = f"/O={certificate.organization}" if certificate.organization else ""
    options = ["-subj", f"{organization}/CN={certificate.common_name}"]
    options += ["-CA", f"{certificate.authority}.crt", "-CAkey", f"{certificate.authority}.key"]
    options += _usage("critical,CA:FALSE", "digitalSignature")
    options += ["-addext", "extendedKeyUsage=serverAuth,clientAuth"]
    if certificate.names:
        options += ["-addext", f"subjectAltName={','.join(certificate.names)}"]
    return options


def _usage(constraints: str, usage: str) -> list[str]:
    return ["-addext", f"basicConstraints={constraints}", "-addext", f"keyUsage=critical,{usage}"]


def _issue(folder: Path, name: str, options: list[str]) -> None:
    # The certificate is renamed last: its presence says that its key is complete.
    command = ["req", "-x509", "-config", "openssl.cnf", "-newkey", "ec", *_CURVE, "-nodes", "-days", str(VALID_DAYS)]
    (folder / "openssl.cnf").write_text("[req]\ndistinguished_name=subject\n[subject]\n")
    _openssl(folder, [*command, "-keyout", f"{name}.key", "-out", f"{name}.part", *options])
    (folder / f"{name}.key").chmod(0o600)
    (folder / f"{name}.part").rename(folder / f"{name}.crt")


def _openssl(folder: Path, arguments: list[str]) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False, umask=0o077)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PlatformError(f"certificates: openssl {arguments[0]} failed in {folder}: {last}")


def _data(folder: Path, name: str) -> str:
    return base64.b64encode((folder / name).read_bytes()).decode()
