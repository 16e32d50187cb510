import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local.plugins import install


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_the_home_holds_both_plugins_and_needs_no_checkout(cache: Path) -> None:
    home = install.install(cache)
    launcher = home / "plugins" / "language-python-v3.259.0" / "pulumi-language-python"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "/nonexistent"}
    done = subprocess.run(
        [str(launcher), "-version"], cwd="/", env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "3.259.0\n", "")
    assert (home / "plugins" / "resource-kubernetes-v4.34.2" / "pulumi-resource-kubernetes").stat().st_mode & 0o111


def test_a_second_install_finds_the_first(cache: Path) -> None:
    home = install.install(cache)
    before = home.stat().st_mtime_ns
    assert install.install(cache) == home
    assert home.stat().st_mtime_ns == before


def test_two_installs_at_once_end_with_one_home_and_nothing_else(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        homes = set(pool.map(install.install, [tmp_path, tmp_path]))
    assert len(homes) == 1
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_an_install_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "requirements.txt"
    broken.write_text("urllib3==2.7.0 --hash=sha256:" + "0" * 64)
    monkeypatch.setattr(install, "REQUIREMENTS", broken)
    cache = tmp_path / "cache"
    with pytest.raises(install.InstallError, match="exit code"):
        install.install(cache)
    assert list(cache.iterdir()) == []
