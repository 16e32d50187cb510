"""Names, folders and ports of instances."""

from pathlib import Path

import pytest

from local.errors import RefusedError
from local.instance import locate


def _in(folder: Path, **variables: str) -> dict[str, str]:
    return {"MODELSTACK_DATA": str(folder), **variables}


def test_without_any_variable_the_instance_is_default_on_port_7400() -> None:
    found = locate(None, {"MODELSTACK_DATA": "/nowhere"})
    assert (found.name, found.api_port, found.registry) == ("default", 7400, "127.0.0.1:7401")


def test_node_ports_are_the_second_hundred_of_the_base_port(tmp_path: Path) -> None:
    ports = locate(None, _in(tmp_path, MODELSTACK_BASE_PORT="9000")).node_ports
    assert (ports.start, ports.stop - 1) == (9100, 9199)


@pytest.mark.parametrize("name", ["../up", "Upper", "-dash", "a" * 21, "with space"])
def test_a_name_that_is_no_folder_of_its_own_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="is no instance name; use up to 20"):
        locate(name, _in(tmp_path))


@pytest.mark.parametrize("port", ["80", "65500", "http", "-1", "7400.5"])
def test_a_base_port_out_of_range_is_refused(port: str, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=rf"MODELSTACK_BASE_PORT: '{port}' is no base port; use a number from 1024"):
        locate(None, _in(tmp_path, MODELSTACK_BASE_PORT=port))


def test_a_base_port_is_kept_from_the_first_up(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "base-port").write_text("9000\n")
    assert locate("mine", _in(tmp_path)).base_port == 9000


def test_another_base_port_than_the_kept_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "base-port").write_text("9000\n")
    with pytest.raises(RefusedError, match=r"8000 is not the instance's base port 9000.*`python -m local reset`"):
        locate("mine", _in(tmp_path, MODELSTACK_BASE_PORT="8000"))


def test_instances_of_one_name_in_two_folders_have_cgroups_of_their_own(tmp_path: Path) -> None:
    assert locate("mine", _in(tmp_path / "a")).cgroup != locate("mine", _in(tmp_path / "b")).cgroup
