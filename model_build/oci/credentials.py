"""Where a registry's credentials come from: docker's configuration, its helpers, and for ECR the AWS account."""

import base64
import json
import os
import re
from pathlib import Path
from typing import Any

from model_build.errors import RegistryError
from model_build.oci.auth import TOKEN_USER, Credentials

HELPER_SECONDS = 60
_ECR = re.compile(r"[0-9]{12}\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")


def docker_folder() -> Path:
    """Return the folder that docker keeps its configuration in."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def credentials_of(folder: Path | None, host: str) -> Credentials | None:
    """Return the credentials for `host`: what docker keeps in `folder`, else of an ECR host a token of the account.

    None where there are none, which is right for a registry that anyone may read. Raises RegistryError.
    """
    found = docker_credentials(folder, host) if folder else None
    ecr = _ECR.fullmatch(host)
    return found or (_ecr_token(host, ecr.group(1)) if ecr else None)


def docker_credentials(folder: Path, host: str) -> Credentials | None:
    """Return what `docker login` kept for `host` in `folder`/config.json; None where there is nothing.

    Raises RegistryError for a file that cannot be read or a credential helper that fails.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_bytes())
        return _told(config, path, host)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise RegistryError(f"{path}: cannot be read ({error}); run docker login {host} again") from error


def _told(config: dict[str, Any], path: Path, host: str) -> Credentials | None:
    own = (config.get("credHelpers") or {}).get(host)
    if own:
        return _ask(own, host)
    auths: dict[str, dict[str, str]] = config.get("auths") or {}
    entry = auths.get(host) or next((one for name, one in auths.items() if _host_of(name) == host), None) or {}
    if entry.get("identitytoken"):
        return Credentials(TOKEN_USER, entry["identitytoken"])
    if entry.get("auth"):
        return _decoded(entry["auth"], path, host)
    return _ask(config["credsStore"], host) if config.get("credsStore") else None


def _host_of(name: str) -> str:
    """Return the host that a name in `auths` is about: older clients wrote `https://HOST/v1/`."""
    host = name.partition("://")[2].partition("/")[0] if "://" in name else name.partition("/")[0]
    return "docker.io" if host == "index.docker.io" else host


def _decoded(auth: str, path: Path, host: str) -> Credentials:
    try:
        user, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except ValueError:
        user, colon, password = "", "", ""
    if not colon:
        raise RegistryError(f"{path}: auths.{host}.auth is no base64 of USER:PASSWORD; run docker login {host} again")
    return Credentials(user, password)


def _ask(helper: str, host: str) -> Credentials | None:
    """Ask a credential helper, by the protocol of docker-credential-helpers."""
    # Only a helper is a process, and every push waits for what is loaded before it.
    import subprocess  # noqa: PLC0415

    command = f"docker-credential-{helper}"
    server = "https://index.docker.io/v1/" if host == "docker.io" else host
    try:
        done = subprocess.run(
            [command, "get"], input=server, capture_output=True, text=True, timeout=HELPER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RegistryError(f"registry {host}: {command} cannot be run ({error}); install it or log in") from error
    if "not found" in done.stdout:
        return None
    try:
        told: dict[str, Any] = json.loads(done.stdout)
        return Credentials(told["Username"], told["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise RegistryError(f"registry {host}: {command} gave no credentials; log in to {host} again") from error


def _ecr_token(host: str, region: str) -> Credentials | None:
    """Return a token that ECR takes for twelve hours (GetAuthorizationToken); None without AWS credentials."""
    # A library that only registries of AWS need, and a slow one to load.
    import botocore.exceptions  # noqa: PLC0415
    import botocore.session  # noqa: PLC0415

    session = botocore.session.get_session()
    try:
        if session.get_credentials() is None:
            return None
        answer = session.create_client("ecr", region_name=region).get_authorization_token()
        return _decoded(answer["authorizationData"][0]["authorizationToken"], Path("ecr"), host)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, KeyError, IndexError) as error:
        raise RegistryError(
            f"registry {host}: AWS gives no token for it ({error}); the role needs ecr:GetAuthorizationToken"
        ) from error
