"""Fluent Bit's configuration: which files it reads, what it makes of a line, where that goes.

Keys: https://docs.fluentbit.io/manual/administration/configuring-fluent-bit/yaml
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pulumi

NAME = "fluent-bit"
FILE = "fluent-bit.yaml"
STATE = "/state"
PORT = 2020
# kubelet names a file POD_NAMESPACE_CONTAINER-ID.log.
FILE_NAME = r"(?<pod>[^_/]+)_(?<namespace>[^_]+)_(?<container>.+)-[0-9a-f]{64}\.log$"
# Half an hour apart at last, so for weeks; the limit of the disk comes first. A word for no limit is a negative number
# inside, which not every output compares as one.
RETRIES = 1000
TAG = "pods.<pod>.<container>"


@dataclass(frozen=True, kw_only=True)
class Sent:
    """Whose lines are read, and where they go."""

    namespace: pulumi.Input[str]
    region: str
    group: pulumi.Input[str]
    """Name of the group in CloudWatch."""
    bucket: pulumi.Input[str] | None


def configuration(sent: Sent) -> dict[str, Any]:
    """Return the configuration; values that AWS tells are Outputs in it."""
    return {
        "service": {
            "flush": 5,
            "log_level": "warn",
            "http_server": "on",
            "http_listen": "0.0.0.0",  # noqa: S104 (a pod's own; its policy lets nobody in)
            "http_port": PORT,
            "health_check": "on",
            # What could not be sent waits on the node's disk, and survives the pod; the oldest goes when that is full.
            "storage.path": f"{STATE}/buffers",
            "storage.backlog.mem_limit": "16M",
        },
        "parsers": [{"name": "line", "format": "json"}],
        "pipeline": {
            "inputs": [_files(sent.namespace)],
            # A line in JSON becomes fields that a query finds; another one stays as it is, in `log`.
            "filters": [
                {"name": "parser", "match": "pods.*", "key_name": "log", "parser": "line", "reserve_data": "on"}
            ],
            "outputs": [_cloudwatch(sent), *([_archive(sent)] if sent.bucket is not None else [])],
        },
    }


def _files(namespace: pulumi.Input[str]) -> dict[str, Any]:
    return {
        "name": "tail",
        "path": pulumi.Output.concat("/var/log/containers/*_", namespace, "_*.log"),
        "multiline.parser": "cri",
        "tag": TAG,
        "tag_regex": FILE_NAME,
        # What a pod wrote before its file was found counts, too; of a file that is known, what was sent does.
        "read_from_head": "on",
        "db": f"{STATE}/files.db",
        "buffer_max_size": "1M",
        "skip_long_lines": "on",
        "storage.type": "filesystem",
    }


def _cloudwatch(sent: Sent) -> dict[str, Any]:
    return {
        "name": "cloudwatch_logs",
        "match": "pods.*",
        "region": sent.region,
        "log_group_name": sent.group,
        "log_stream_prefix": "from-",
        # The group is the stack's, with its days and its name; the role could make none.
        "auto_create_group": "off",
        "retry_limit": RETRIES,
        "storage.total_limit_size": "512M",
    }


def _archive(sent: Sent) -> dict[str, Any]:
    return {
        "name": "s3",
        "match": "pods.*",
        "region": sent.region,
        "bucket": sent.bucket,
        "s3_key_format": "/pods/$TAG/%Y/%m/%d/%H-%M-%S-$UUID.gz",
        "use_put_object": "on",
        "compression": "gzip",
        "total_file_size": "16M",
        "upload_timeout": "5m",
        # By itself it would give a file up after one.
        "retry_limit": RETRIES,
        "store_dir": f"{STATE}/archive",
        "store_dir_limit_size": "512M",
    }
