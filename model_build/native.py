"""The server's native module, built by cargo into the cache: same sources, lock and compiler, same bytes."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from model_build import telling
from model_build.cache import StepStore
from model_build.errors import EnvironmentFault, RecipeError, one_line
from model_build.hashing import hash_file, hash_folder, hash_value
from model_build.places import ROOT, cache_root
from model_build.telling import Program, Tell

WHAT = "the native module"
FOLDER = "model_server/native"
LOCK = f"{FOLDER}/Cargo.lock"
FILE = "modelstack_native.abi3.so"
BUILT = "release/libmodelstack_native.so"
MACHINES = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}
# What the base's C library has at least; a newer one of this machine would ask for more (see dependencies.TARGETS).
GLIBC = 34
TELL_SECONDS = 5.0
# Where files lie is told to the compiler as these, so that no folder of this machine is in what it makes.
REMAPPED = {"sources": "/native", "crates": "/cargo", "target": "/target"}
# What a user set for other builds must not reach this one.
WITHHELD = ("CARGO_BUILD_", "CARGO_ENCODED_", "CARGO_PROFILE_", "CARGO_TARGET_", "PYO3_", "RUSTC", "RUSTFLAGS")


def made_from(root: Path = ROOT) -> str:
    """Return the hash of what the module is made from: sources, lock and compiler; raises EnvironmentFault."""
    folder = root / FOLDER
    files = [hash_file(folder / "Cargo.toml"), hash_file(root / LOCK), hash_folder(folder / "src")]
    return hash_value([*files, _compiler(), REMAPPED])


def require_platform(wanted: str) -> None:
    """Raise RecipeError where the module cannot be built for the platform `wanted` here."""
    here = MACHINES.get(platform.machine()) if sys.platform == "linux" else None
    if wanted != here:
        raise RecipeError(
            f"runtime: native: true is built for this machine alone ({here or sys.platform}), not for {wanted}; "
            "build on a machine of that platform, or write native: false"
        )


def build(store: StepStore, tell: Tell, root: Path = ROOT) -> Path:
    """Return the module's file, built where it is not in the store; raises EnvironmentFault."""

    def make(scratch: Path) -> Path:
        out = scratch / "native"
        out.mkdir()
        shutil.copyfile(_compiled(root / FOLDER, scratch / "target", tell), out / FILE)
        _require_old_libraries(out / FILE)
        return out

    key = hash_value(["native", made_from(root)])
    return store.once(key, make, lambda: tell(f"{WHAT}: waiting for another build")) / FILE


def _compiler() -> str:
    try:
        done = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise EnvironmentFault(
            f"{WHAT}: rustc cannot be run ({error}); install Rust 1.88 or newer, or write native: false"
        ) from error
    return done.stdout


def _compiled(sources: Path, target: Path, tell: Tell) -> Path:
    crates = Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")
    places = {"sources": sources, "crates": crates, "target": target}
    flags = [f"--remap-path-prefix={places[name]}={told}" for name, told in REMAPPED.items()]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(WITHHELD)}
    # No interpreter of this machine is asked: the module is for every Python from 3.11 on.
    environment |= {"PYO3_NO_PYTHON": "1", "PYO3_BUILD_EXTENSION_MODULE": "1"}
    environment |= {"CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags), "CARGO_TERM_COLOR": "never"}
    command = ["cargo", "build", "--release", "--locked", "--target-dir", str(target)]
    program = Program(command, WHAT, environment, TELL_SECONDS, "install Rust 1.88 or newer", sources)
    ended = telling.run(program, tell)
    if ended.code:
        end = re.sub(r"https?://\S+", "the registry", " ".join(ended.lines[-8:]))
        raise EnvironmentFault(
            f"{WHAT}: cargo ended with {ended.code}: {one_line(end, 400)}; check the network, a C linker "
            "and Rust 1.88 or newer, or write native: false"
        )
    return target / BUILT


def _require_old_libraries(file: Path) -> None:
    wanted = max((int(one) for one in re.findall(rb"GLIBC_2\.(\d+)", file.read_bytes())), default=0)
    if wanted > GLIBC:
        raise EnvironmentFault(
            f"{WHAT}: linked to glibc 2.{wanted}, the limit is 2.{GLIBC}, which images have; build it on "
            "Debian 12 or older, or write native: false"
        )


def main() -> int:
    """Build the module, put it into the folder that is named, and return 0, or the exit code of what failed."""
    try:
        tell: Tell = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
        built = build(StepStore(cache_root()), tell)
        into = Path(sys.argv[1]) / FILE
        shutil.copyfile(built, into)
    except EnvironmentFault as error:
        print(f"error ({error.kind}): {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    print(into)
    return 0


if __name__ == "__main__":
    sys.exit(main())
