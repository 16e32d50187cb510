"""Data packages in buckets: an archive each, fetched with what credentials botocore finds, checked by its hash."""

import hashlib
import os
import tarfile
from pathlib import Path
from typing import Any

from model_build.cache import StepStore
from model_build.errors import DataError, EnvironmentFault
from model_build.hashing import hash_value
from model_build.recipe_sources import S3Source

CHUNK = 1 << 20


def lay_out(source: S3Source, store: StepStore) -> Path:
    """Return the folder of the archive's files, from the cache where it was laid out before; raises DataError."""
    key = hash_value(["s3", source.sha256])

    def make(scratch: Path) -> Path:
        archive, out = scratch / "archive", scratch / "package"
        _fetch(source, archive)
        _extract(source, archive, out)
        return out

    return store.once(key, make)


def _fetch(source: S3Source, archive: Path) -> None:
    # A library that only buckets of AWS need, and a slow one to load.
    try:
        import botocore.exceptions  # noqa: PLC0415
        import botocore.session  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise EnvironmentFault(f"sources: {source.uri} needs botocore; run it in the build environment") from error
    bucket, key = source.bucket_and_key
    client: Any = botocore.session.get_session().create_client("s3", region_name=_region())
    try:
        body = client.get_object(Bucket=bucket, Key=key)["Body"]
        found = _written(body, archive)
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, OSError) as error:
        raise DataError(
            f"sources: {source.uri} cannot be had: {error}; check the name and that the role may s3:GetObject"
        ) from error
    if found != source.sha256:
        raise DataError(
            f"sources: {source.uri} has sha256 {found}, the recipe says {source.sha256}; do not use it, or correct the "
            "recipe if the change is meant"
        )


def _region() -> str:
    # A bucket of another region answers by telling it, which botocore follows.
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def _written(body: Any, archive: Path) -> str:
    digest = hashlib.sha256()
    with archive.open("wb") as file:
        for chunk in body.iter_chunks(CHUNK):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


def _extract(source: S3Source, archive: Path, out: Path) -> None:
    out.mkdir()
    try:
        with tarfile.open(archive, "r:*") as tar:
            tar.extractall(out, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"sources: {source.uri} cannot be unpacked: {error}; write a tar or tar.gz") from error
