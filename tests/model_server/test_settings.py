"""Settings from the environment, CPUs from the cgroup, and what the image must hold for the server."""

import ast
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from model_server import cpu
from model_server.config import from_environment
from model_server.contract import load
from model_server.errors import ConfigError
from model_server.metrics import Metrics
from tests.model_server.running import ROOT, write_linear


def test_without_settings_the_defaults_of_the_image_hold() -> None:
    config = from_environment({})
    assert (config.models, config.host, config.port) == (Path("/models"), "0.0.0.0", 8080)  # noqa: S104
    assert (config.drain, config.deadline, config.max_inflight) == (3.0, 10.0, 256)
    assert (config.max_batch, config.cache, config.poll) == (64, 0, 0.0)
    assert config.threads is None
    assert config.arena


def test_settings_are_read() -> None:
    config = from_environment(
        {"MODELSTACK_PORT": "9", "MODELSTACK_ARENA": "0", "MODELSTACK_THREADS": "3", "MODELSTACK_DRAIN_SECONDS": "0.5"}
    )
    assert (config.port, config.arena, config.threads, config.drain) == (9, False, 3, 0.5)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODELSTACK_PORT", "65536"),
        ("MODELSTACK_PORT", "-1"),
        ("MODELSTACK_PORT", "²"),
        ("MODELSTACK_MAX_BODY_BYTES", "8Mi"),
        ("MODELSTACK_MAX_INFLIGHT", "0"),
        ("MODELSTACK_MAX_BATCH", "0"),
        ("MODELSTACK_CACHE_BYTES", "1Gi"),
        ("MODELSTACK_REDIS_SECONDS", "0"),
        ("MODELSTACK_POLL_SECONDS", "-1"),
        ("MODELSTACK_DEADLINE_SECONDS", "nan"),
        ("MODELSTACK_DEADLINE_SECONDS", "0"),
        ("MODELSTACK_DRAIN_SECONDS", "inf"),
        ("MODELSTACK_DRAIN_SECONDS", "3s"),
        ("MODELSTACK_ARENA", "yes"),
        ("MODELSTACK_THREADS", "1.5"),
        ("MODELSTACK_DEVICE", "tpu"),
        ("MODELSTACK_NATIVE", "yes"),
        ("MODELSTACK_LOG_LEVEL", "LOUD"),
    ],
)
def test_a_wrong_setting_names_key_and_value(key: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_environment({key: value})
    assert str(caught.value).startswith(f"{key}: {value!r}")


def cgroup(root: Path, files: dict[str, str], of_self: str) -> float | None:
    for name, text in files.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "self").write_text(of_self)
    return cpu.quota(root / "cgroup", root / "self")


V2 = "0::/\n"


def test_version_2_without_a_limit_is_unlimited(tmp_path: Path) -> None:
    assert cgroup(tmp_path, {"cpu.max": "max 100000\n"}, V2) is None


def test_version_2_quota_is_limit_over_period(tmp_path: Path) -> None:
    assert cgroup(tmp_path, {"cpu.max": "150000 100000\n"}, V2) == 1.5


def test_version_2_the_tightest_ancestor_counts(tmp_path: Path) -> None:
    files = {
        "cpu.max": "max 100000",
        "pods/cpu.max": "200000 100000",
        "pods/one/cpu.max": "400000 100000",
        "other/cpu.max": "10000 100000",
    }
    assert cgroup(tmp_path, files, "0::/pods/one\n") == 2


def test_version_1_quota_is_limit_over_period(tmp_path: Path) -> None:
    files = {"cpu,cpuacct/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}
    assert cgroup(tmp_path, files, "4:cpu,cpuacct:/\n1:name=systemd:/\n") == 0.5


def test_version_1_without_a_limit_is_unlimited(tmp_path: Path) -> None:
    files = {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert cgroup(tmp_path, files, "1:cpu:/\n") is None


def test_version_1_own_group_is_read_where_the_mount_is_the_hosts(tmp_path: Path) -> None:
    files = {
        "cpu/cpu.cfs_quota_us": "-1",
        "cpu/cpu.cfs_period_us": "100000",
        "cpu/kubepods/a/cpu.cfs_quota_us": "300000",
        "cpu/kubepods/a/cpu.cfs_period_us": "100000",
    }
    assert cgroup(tmp_path, files, "2:memory:/kubepods/b\n1:cpu:/kubepods/a\n") == 3


def test_a_path_that_is_the_hosts_falls_back_on_the_mounts_root(tmp_path: Path) -> None:
    files = {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}
    assert cgroup(tmp_path, files, "1:cpu:/kubepods/a/b/c\n") == 1


def test_a_path_out_of_the_mount_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("1 100000")
    assert cgroup(tmp_path, {"cpu.max": "100000 100000"}, "0::/../\n") == 1


@pytest.mark.parametrize("text", ["", "max", "abc 100000", "0 100000", "100000 0", "100000"])
def test_a_limit_that_is_not_understood_is_no_limit(tmp_path: Path, text: str) -> None:
    assert cgroup(tmp_path, {"cpu.max": text}, V2) is None


def test_without_a_cgroup_there_is_no_limit(tmp_path: Path) -> None:
    assert cpu.quota(tmp_path / "cgroup", tmp_path / "self") is None


@pytest.mark.parametrize(
    ("quota", "cpus", "threads"), [(None, 4, 4), (2.0, 4, 2), (1.5, 4, 1), (0.25, 4, 1), (8.0, 4, 4), (None, 1, 1)]
)
def test_threads_are_whole_cpus_of_the_quota_and_at_most_the_machines(
    quota: float | None, cpus: int, threads: int
) -> None:
    assert cpu.threads(quota, cpus) == threads


def test_the_server_imports_only_what_the_images_requirements_name() -> None:
    texts = [(ROOT / f"requirements-image{one}.in").read_text() for one in ("", "-grpc")]
    named = {name for text in texts for name in re.findall(r"^([a-z][a-z0-9-]*)", text, re.MULTILINE)}
    modules = {"grpcio": "grpc", "protobuf": "google"}
    allowed = {modules.get(one, one.replace("-", "_")) for one in named} | sys.stdlib_module_names | {"model_server"}
    imported: set[str] = set()
    for path in (ROOT / "model_server").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {one.name.split(".")[0] for one in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    assert "starlette" in imported
    assert imported <= allowed


def _rows(heading: str) -> list[list[str]]:
    """Return the cells of a table of docs/server.md, without its head."""
    part = (ROOT / "docs" / "server.md").read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("| `")]
    return [[cell.replace("`", "").strip() for cell in row] for row in rows]


def test_the_documented_settings_are_those_that_are_read_with_their_defaults() -> None:
    read: dict[str, str | None] = {}

    class Recording(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            read[key] = None
            return default

    nothing = from_environment(Recording())
    told = {row[0]: row[1] for row in _rows("Settings")}
    assert told.keys() == read.keys()
    assert from_environment({key: value for key, value in told.items() if value}) == nothing


def test_the_documented_series_are_those_on_the_page(tmp_path: Path) -> None:
    contract = load(write_linear(tmp_path))
    found = {
        (one.name + ("_total" if one.type == "counter" else ""), frozenset(one.samples[0].labels) - {"le"})
        for one in Metrics([contract], lambda: 0).families()
    }
    assert {(name, frozenset(re.findall(r"\w+", labels))) for name, labels in _rows("Series")} == found
