"""Data packages in buckets: fetched by AWS' own SDK from moto, held to their hash, unpacked nowhere else."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from model_build import packages, recipe_sources
from model_build.cache import StepStore
from model_build.errors import DataError
from model_build.supply.purl import hashes_of, of_source

URI = "s3://data/digits/2026-11.tar.gz"


def archive(name: str = "train.csv", text: bytes = b"1,2\n") -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return written.getvalue()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket, and credentials that reach no other."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with mock_aws():
        made = boto3.resource("s3", region_name="us-east-1").Bucket("data")
        made.create()
        yield made


def source(content: bytes, **changes: str) -> recipe_sources.S3Source:
    told = {"package": "digits", "uri": URI, "sha256": hashlib.sha256(content).hexdigest(), **changes}
    return recipe_sources.S3Source(client="s3", **told)


def unpacked(one: recipe_sources.S3Source, folder: Path) -> Path:
    return packages.unpack([one], StepStore(folder / "cache"), folder)["digits"]


def test_an_archive_is_fetched_once_and_unpacked(bucket: Any, tmp_path: Path) -> None:
    bucket.put_object(Key="digits/2026-11.tar.gz", Body=archive())
    assert (unpacked(source(archive()), tmp_path) / "train.csv").read_bytes() == b"1,2\n"
    bucket.delete_objects(Delete={"Objects": [{"Key": "digits/2026-11.tar.gz"}]})
    assert (unpacked(source(archive()), tmp_path) / "train.csv").is_file()


def test_other_bytes_than_the_recipes_are_not_used(bucket: Any, tmp_path: Path) -> None:
    bucket.put_object(Key="digits/2026-11.tar.gz", Body=archive(text=b"3,4\n"))
    with pytest.raises(DataError, match=r"2026-11\.tar\.gz has sha256 .*, the recipe says .*; do not use it"):
        unpacked(source(archive()), tmp_path)


def test_what_is_not_there_is_told_by_its_name(bucket: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"s3://data/digits/2026-11\.tar\.gz cannot be had: .*NoSuchKey.*GetObject"):
        unpacked(source(archive()), tmp_path)


def test_an_archive_that_leads_out_of_its_folder_is_refused(bucket: Any, tmp_path: Path) -> None:
    bucket.put_object(Key="digits/2026-11.tar.gz", Body=archive("../out"))
    with pytest.raises(DataError, match=r"cannot be unpacked: .*outside"):
        unpacked(source(archive("../out")), tmp_path)
    assert list(tmp_path.rglob("out")) == []


def test_its_hash_stands_in_the_bill_of_materials() -> None:
    one = source(b"")
    assert hashes_of(one) == {"sha256": one.sha256}
    assert of_source(one).to_string().startswith("pkg:generic/digits?checksum=sha256:")
