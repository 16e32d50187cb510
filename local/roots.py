"""Debian root file systems: packages extracted by mmdebstrap, without clocks, caches or anything of this machine."""

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from local.errors import PlatformError
from local.lock import locked
from local.steps import Steps
from model_build import bytecode
from model_build.errors import EnvironmentFault

SUITE = "bookworm"
# What mmdebstrap and apt leave behind: this machine's names and mirrors, caches, empty databases, mount points.
_LEFTOVERS = (
    *("dev", "etc/apt", "etc/fstab", "etc/hostname", "etc/machine-id", "etc/resolv.conf", "proc", "run", "sys", "tmp"),
    *("var/cache", "var/lib/apt", "var/lib/dpkg", "var/log", "var/run"),
    *("usr/share/bug", "usr/share/info", "usr/share/lintian", "usr/share/locale", "usr/share/man"),
)


@dataclass(frozen=True)
class RootSpec:
    """One root: the packages to extract with all they depend on, or `only` some of all those."""

    name: str
    packages: tuple[str, ...]
    only: tuple[str, ...] = ()
    compiled: str = ""
    """Folder of Python's own modules that lie there as bytecode too."""

    @property
    def fingerprint(self) -> str:
        """12 hex digits of what a root depends on, but for the versions that the Debian mirror holds."""
        asked = [SUITE, os.uname().machine, *sorted(self.packages), "", *sorted(self.only), self.compiled]
        code = [Path(__file__), *([Path(bytecode.__file__)] if self.compiled else ())]
        return hashlib.sha256("\0".join(asked).encode() + b"".join(map(Path.read_bytes, code))).hexdigest()[:12]


@dataclass(frozen=True)
class Package:
    """A Debian package file, with its control fields."""

    path: Path
    control: str

    @classmethod
    def read(cls, path: Path) -> "Package":
        """Read a package file's control fields; raises PlatformError."""
        return cls(path, _run(["dpkg-deb", "--field", str(path)], f"package {path.name}").decode())

    def field(self, name: str) -> str:
        """The value of a control field of one line."""
        found = re.search(rf"^{name}: (.+)$", self.control, re.MULTILINE)
        return found.group(1) if found else ""

    @property
    def name(self) -> str:
        """The package's name."""
        return self.field("Package")

    @property
    def line(self) -> str:
        """Name, version, architecture and hash: which bytes went into the root."""
        return " ".join((self.name, self.field("Version"), self.field("Architecture"), _sha256(self.path)))


def place(spec: RootSpec, cache: Path) -> Path:
    """The folder that holds, or will hold, the root (`root`) and the list of its packages (`packages`)."""
    return cache / "roots" / f"{spec.name}-{spec.fingerprint}"


def root(spec: RootSpec, cache: Path, steps: Steps) -> Path:
    """The root's folder, made where it is missing, after mmdebstrap itself if need be; raises PlatformError."""
    target = place(spec, cache)
    if target.is_dir():
        return target / "root"
    with locked(cache / "roots.lock", "the Debian roots"):
        if not target.is_dir():
            tool = mmdebstrap(cache, steps)
            with steps.step(f"extract Debian packages for {spec.name}"):
                _make(spec, tool, target, cache / "logs" / f"root-{spec.name}.log")
    return target / "root"


def libraries(tree: Path) -> dict[str, str]:
    """Return the environment in which a program of the tree finds its libraries when it is started from outside."""
    folders = [tree / "usr/lib/x86_64-linux-gnu", tree / "lib/x86_64-linux-gnu"]
    return {"LD_LIBRARY_PATH": ":".join(str(folder) for folder in folders if folder.is_dir())}


@dataclass(frozen=True)
class Tool:
    """The mmdebstrap program, with the folders of Perl modules it needs beside the system's."""

    script: Path
    modules: tuple[Path, ...] = ()

    @property
    def environment(self) -> dict[str, str]:
        """The environment it runs in."""
        own = {"LC_ALL": "C.UTF-8", "SOURCE_DATE_EPOCH": "0"}
        return dict(os.environ) | own | ({"PERL5LIB": ":".join(map(str, self.modules))} if self.modules else {})

    @property
    def runs(self) -> bool:
        """Whether its Perl modules are all there."""
        command = ["perl", str(self.script), "--version"]
        return not subprocess.run(command, env=self.environment, capture_output=True, check=False).returncode


def mmdebstrap(cache: Path, steps: Steps) -> Tool:
    """The host's mmdebstrap, else one fetched into the cache from its Debian package; raises PlatformError."""
    installed = shutil.which("mmdebstrap")
    if installed and (tool := Tool(Path(installed))).runs:
        return tool
    folder = cache / "tools" / "mmdebstrap"
    if not folder.is_dir():
        with steps.step("fetch mmdebstrap"):
            _fetch_tool(folder)
    return _tool(folder)


def _fetch_tool(folder: Path) -> None:
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    _extract("mmdebstrap", part)
    if not _tool(part).runs:
        # A small Debian holds perl-base alone: the rest of Perl's own modules come from their packages.
        version = _run(["perl", "-e", 'printf "%vd", $^V'], "perl").decode().rpartition(".")[0]
        for name in (f"perl-modules-{version}", f"libperl{version}"):
            _extract(name, part)
    if not _tool(part).runs:
        raise PlatformError("mmdebstrap: its Debian package does not run here; run `apt-get install mmdebstrap`")
    part.rename(folder)


def _tool(folder: Path) -> Tool:
    modules = (*folder.glob("usr/share/perl/5.*"), *folder.glob("usr/lib/*/perl/5.*"))
    return Tool(folder / "usr/bin/mmdebstrap", tuple(path for path in modules if not path.is_symlink()))


def _extract(package: str, folder: Path) -> None:
    downloads = folder / "download"
    downloads.mkdir(exist_ok=True)
    command = ["apt-get", "--quiet", "-o", "APT::Sandbox::User=root", "download", package]
    known = subprocess.run(command, cwd=downloads, capture_output=True, check=False)
    if known.returncode:
        # The host's package lists are missing or old: lists of our own leave them as they are.
        own = ["-o", f"Dir::State::Lists={downloads / 'lists'}", "-o", f"Dir::Cache={downloads / 'cache'}"]
        for name in ("lists/partial", "cache/archives/partial"):
            (downloads / name).mkdir(parents=True, exist_ok=True)
        _run([*command[:4], *own, "update"], "apt-get update")
        _run([*command[:4], *own, "download", package], f"apt-get download {package}", downloads)
    for path in downloads.glob("*.deb"):
        _run(["dpkg-deb", "--extract", str(path), str(folder)], f"package {path.name}")
    shutil.rmtree(downloads)


def sources(etc: Path = Path("/etc/apt")) -> list[Path]:
    """The host's apt sources of this suite of Debian; none where it has another, and mmdebstrap's own default holds."""
    told = re.compile(rf"^Suites:.*\b(?<!-){SUITE}(\s|$)|^deb\s.*\s{SUITE}\s+main\b", re.MULTILINE)
    files = (etc / "sources.list", *sorted(etc.glob("sources.list.d/*.list")), *etc.glob("sources.list.d/*.sources"))
    return [path for path in files if path.is_file() and told.search(path.read_text(errors="replace"))]


def _make(spec: RootSpec, tool: Tool, target: Path, log: Path) -> None:
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    tree = part / "root"
    _run_mmdebstrap(spec, tool, tree, log)
    packages = [Package.read(path) for path in sorted((tree / "var/cache/apt/archives").glob("*.deb"))]
    kept = _leave_out(spec, packages, tree)
    (part / "packages").write_text("".join(f"{line}\n" for line in sorted(package.line for package in kept)))
    _strip(tree)
    _describe(kept, tree)
    if spec.compiled:
        _compile(spec, tree)
    part.rename(target)


def _run_mmdebstrap(spec: RootSpec, tool: Tool, tree: Path, log: Path) -> None:
    arguments = ["--mode=root", "--variant=extract", "--skip=cleanup/apt/cache", f"--include={','.join(spec.packages)}"]
    # In namespaces that end with this process: killed, it leaves no process and nothing mounted in the cache.
    alone = ["setpriv", "--pdeathsig", "KILL"]
    alone += ["unshare", "--mount", "--propagation=private", "--pid", "--mount-proc", "--fork", "--kill-child"]
    command = [*alone, "perl", str(tool.script), *arguments, SUITE, str(tree), *map(str, sources())]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        done = subprocess.run(
            command, env=tool.environment, umask=0o022, stdout=output, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        lines = log.read_text(errors="replace").strip().splitlines() or ["no message"]
        # mmdebstrap's own last error is that it failed; the first one says why.
        reason = next((line for line in lines if line.startswith("E:")), lines[-1]).removeprefix("E: ")
        raise PlatformError(f"Debian root {spec.name}: mmdebstrap: {reason}; is the Debian mirror reachable? see {log}")


def _leave_out(spec: RootSpec, packages: list[Package], tree: Path) -> list[Package]:
    unknown = set(spec.only) - {package.name for package in packages}
    if unknown:
        raise PlatformError(f"Debian root {spec.name}: its packages do not need {sorted(unknown)}; correct `only`")
    kept = [package for package in packages if not spec.only or package.name in spec.only]
    for package in packages:
        if package not in kept:
            _remove_files(package, tree)
    return kept


def _remove_files(package: Package, tree: Path) -> None:
    folders = []
    with (
        subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package.path)], stdout=subprocess.PIPE) as stream,
        tarfile.open(fileobj=stream.stdout, mode="r|") as archive,
    ):
        for member in archive:
            path = tree / member.name
            if member.isdir():
                folders.append(path)
            else:
                path.unlink(missing_ok=True)
    for folder in sorted(folders, reverse=True):
        if folder != tree and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _strip(tree: Path) -> None:
    for name in _LEFTOVERS:
        path = tree / name
        if path.is_symlink() or path.is_file():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
    for folder in (tree / "usr/share/doc").glob("*"):
        if not folder.is_symlink():
            _keep_licence(folder)


def _keep_licence(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name == "copyright":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _compile(spec: RootSpec, tree: Path) -> None:
    # By the root's own Python, as its package does it where it is installed.
    python = tree / "usr/bin" / Path(spec.compiled).name
    try:
        bytecode.compile_below(
            tree / spec.compiled, spec.compiled, python, {**libraries(tree), "PYTHONHOME": str(tree / "usr")}
        )
    except EnvironmentFault as error:
        raise PlatformError(f"Debian root {spec.name}: {error}") from error


def _describe(packages: Iterable[Package], tree: Path) -> None:
    # Where scanners look for the packages of an image that has no dpkg database.
    folder = tree / "var/lib/dpkg/status.d"
    folder.mkdir(parents=True)
    for package in packages:
        (folder / package.name).write_text(package.control)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _run(command: list[str], what: str, folder: Path | None = None) -> bytes:
    try:
        return subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise PlatformError(f"{what}: {command[0]} is not on PATH; use Debian, or any cluster by kubeconfig") from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise PlatformError(f"{what}: {lines[-1]}; are the Debian mirrors of this machine reachable?") from None
