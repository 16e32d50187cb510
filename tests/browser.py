"""A real browser for tests: headless Chromium as npm serves it, unpacked once into the cache."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from model_build.environment import build_interpreter
from model_build.locks import exclusive
from model_build.places import ROOT, cache_root

VERSION = "153.0.0"
SHA512 = "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="  # pragma: allowlist secret # noqa: E501
FONTS = '<?xml version="1.0"?><fontconfig><dir>{0}/fonts</dir><cachedir>{0}/fonts-cache</cachedir></fontconfig>\n'
# One process without a sandbox, drawing on the CPU: it runs as root and opens only what the test wrote.
ARGUMENTS = (
    *("--no-sandbox", "--no-zygote", "--single-process", "--in-process-gpu", "--disable-gpu"),
    *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--font-render-hinting=none"),
)
UNPACK = """
import sys
from pathlib import Path
from model_build import packages
from model_build.cache import StepStore
from model_build.recipe_sources import NpmSource
source = NpmSource(client="npm", package="@sparticuz/chromium", version=sys.argv[1], sha512=sys.argv[2])
print(packages.unpack([source], StepStore(Path(sys.argv[3])), Path(sys.argv[4]))[source.package])
"""
BROTLI = (
    "const z = require('zlib'), f = require('fs'); const [from, to] = process.argv.slice(1);"
    "f.writeFileSync(to, z.brotliDecompressSync(f.readFileSync(from)))"
)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Yield a browser; it ends with the block."""
    home = _chromium()
    environment: dict[str, str | float | bool] = {
        "LD_LIBRARY_PATH": str(home),
        "FONTCONFIG_FILE": str(home / "fonts.conf"),
        "HOME": str(home),
        "PATH": os.environ["PATH"],
    }
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=home / "chromium", args=list(ARGUMENTS), env=environment)
        yield browser
        browser.close()


def _chromium() -> Path:
    home = cache_root() / "tests" / f"chromium-{VERSION}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(cache_root() / "locks" / "chromium"):
        if not home.is_dir():
            with tempfile.TemporaryDirectory(dir=home.parent) as folder:
                made = Path(folder) / "made"
                made.mkdir()
                _unpack(Path(folder), made)
                (made / "fonts.conf").write_text(FONTS.format(home))
                made.rename(home)
    return home


def _unpack(scratch: Path, home: Path) -> None:
    python = build_interpreter(lambda line: print(line, file=sys.stderr))
    command: list[Path | str] = [python, "-c", UNPACK, VERSION, SHA512, cache_root(), scratch]
    told = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    node = shutil.which("node", path=f"{python.parent}{os.pathsep}{os.environ['PATH']}")
    assert node, "no node beside the build environment's interpreter"
    for name in ("chromium", "al2023.tar", "swiftshader.tar", "fonts.tar"):
        packed = Path(told.strip(), "bin", f"{name}.br")
        subprocess.run([node, "-e", BROTLI, packed, home / name], check=True)
    (home / "chromium").chmod(0o755)
    for name in ("al2023", "swiftshader", "fonts"):
        archive = home / f"{name}.tar"
        with tarfile.open(archive) as tar:
            tar.extractall(home, filter="data")
        archive.unlink()
    for library in (home / "lib").iterdir():
        library.rename(home / library.name)
