"""down, up again, reset, and what a killed `up` leaves behind: on an instance of this file's own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local import health, node
from local.instance import Instance, locate
from tests.conftest import PROJECT, Platform, own_environment, run_local, with_free_ports
from tests.local.inside import Traces, kubectl, traces

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Life:
    """What was found at the stations of one instance's life."""

    before: Traces
    running: Traces
    after_down: Traces
    kept: str
    port_kept: bool
    after_reset: Traces
    data_after_reset: bool


@pytest.fixture(scope="module")
def environment(platform: Platform) -> Iterator[dict[str, str]]:
    # Beside the shared platform, whose lock keeps other test runs away from both.
    own = own_environment("life", Path(platform.environment["MODELSTACK_DATA"]))
    run_local(own, "reset")
    own = with_free_ports(own)
    try:
        yield own
    finally:
        run_local(own, "reset")


@pytest.fixture(scope="module")
def life(environment: dict[str, str]) -> Life:
    instance = locate(None, environment)
    before = traces(instance)
    run_local(environment, "up")
    running = traces(instance)
    kubectl(instance).run("create", "configmap", "kept", "--from-literal=word=still here")
    run_local(environment, "down")
    after_down = traces(instance)
    without_port = {name: value for name, value in environment.items() if name != "MODELSTACK_BASE_PORT"}
    run_local(without_port, "up")
    kept = kubectl(instance).run("get", "configmap", "kept", "-o=jsonpath={.data.word}")
    port_kept = locate(None, without_port).base_port == instance.base_port
    run_local(environment, "reset")
    return Life(before, running, after_down, kept, port_kept, traces(instance), instance.data.exists())


def test_a_running_platform_is_seen_by_what_the_other_tests_look_for(life: Life) -> None:
    assert life.running.processes
    assert life.running.cgroups


def test_a_running_platform_adds_no_mount_link_namespace_or_rule_to_the_host(life: Life) -> None:
    before, running = life.before, life.running
    assert running.mounts == before.mounts
    assert running.links == before.links
    assert running.namespaces == before.namespaces
    assert running.rules == before.rules


def test_build_fills_the_cache_and_starts_nothing(platform: Platform, tmp_path: Path) -> None:
    own = own_environment("built", tmp_path)
    before = traces(locate(None, own))
    run_local(own, "build")
    assert traces(locate(None, own)) == before
    assert not (tmp_path / "built").exists()


def test_down_leaves_no_process_mount_namespace_link_rule_or_cgroup(life: Life) -> None:
    assert life.after_down == life.before


def test_up_after_down_keeps_the_data_of_the_cluster(life: Life) -> None:
    assert life.kept == "still here"


def test_up_after_down_keeps_the_base_port_without_being_told(life: Life) -> None:
    assert life.port_kept


def test_reset_leaves_nothing_and_removes_the_data(life: Life) -> None:
    assert life.after_reset == life.before
    assert not life.data_after_reset


@pytest.mark.parametrize("step", ["start the node", "wait for etcd"])
def test_up_works_after_an_up_that_was_killed(life: Life, environment: dict[str, str], step: str) -> None:
    instance = locate(None, environment)
    _kill_up_at(step, environment)
    run_local(environment, "up")
    assert _wrong(instance) == {}
    run_local(environment, "reset")
    assert traces(instance) == life.before


def test_a_node_whose_first_process_was_killed_is_told_by_status_and_started_again_by_up(
    life: Life, environment: dict[str, str]
) -> None:
    instance = locate(None, environment)
    run_local(environment, "up")
    started = node.running(instance)
    assert started
    os.kill(started.pid, signal.SIGKILL)
    status = subprocess.run([sys.executable, "-m", "local", "status"], cwd=PROJECT, env=environment, check=False)
    run_local(environment, "up")
    assert status.returncode == 4
    assert _wrong(instance) == {}
    run_local(environment, "reset")
    assert traces(instance) == life.before


def _kill_up_at(step: str, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "local", "up"]
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stderr=subprocess.PIPE, text=True) as started:
        assert started.stderr
        reached = any(line.strip().startswith(step) for line in started.stderr)
        started.kill()
    assert reached, f"`up` never came to {step!r}"


def _wrong(instance: Instance) -> dict[str, str]:
    running = node.running(instance)
    assert running
    asked = health.targets(instance) | {health.DNS: health.DNS_TARGET}
    return {name: said for name, said in health.probe(running, asked).items() if said}
