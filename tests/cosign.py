"""What this project and a real cosign say of each other's signatures: `python -m tests.cosign COSIGN`.

No part of `make test`, for cosign has to be built first (docs/supply-chain.md). Everything runs on loopback; one line a
check, exit code 1 where one fails.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from model_build.errors import SignatureError
from model_build.oci.image import Image
from model_build.oci.mirrors import Source
from model_build.oci.reference import Reference
from model_build.oci.registry import Registry
from model_build.places import ROOT
from model_build.publish import Destination, publish
from model_build.supply.attestations import Attestations
from model_build.supply.claim import INPUTS as ANNOTATION
from model_build.supply.keys import PASSPHRASE, Pair, make_pair, private_key, public_key
from model_build.supply.sign import sign
from model_build.supply.subject import Subject
from model_build.supply.verify import verify
from tests.registry import running_registry
from tests.signing import INPUTS, OTHER_INPUTS, an_image, some_contents

PHRASE = "a phrase for tests"
OPENS = {PASSPHRASE: PHRASE}
SECONDS = 120


@dataclass(frozen=True)
class Cosign:
    """The program, its major version, and the folder that it works in."""

    program: Path
    major: int
    folder: Path

    @classmethod
    def at(cls, program: Path, folder: Path) -> "Cosign":
        """Ask the program for its version."""
        told = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
        version = next(line.split()[-1] for line in told.splitlines() if line.startswith("GitVersion"))
        print(f"cosign {version}")
        return cls(program, int(version.lstrip("v").partition(".")[0]), folder)

    def __call__(self, *arguments: str | Path) -> bool:
        """Run it; returns whether it ended well."""
        done = subprocess.run(
            [self.program, *map(str, arguments)],
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **OPENS},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        if "VERBOSE" in os.environ:
            print("  cosign", *arguments, "→", done.returncode, done.stdout, done.stderr)
        return done.returncode == 0

    def verifies(self, image: Subject, key: Path, inputs: str = INPUTS) -> bool:
        """Run `cosign verify` as docs/supply-chain.md says."""
        return self("verify", "--key", key, "--insecure-ignore-tlog=true", "-a", f"{ANNOTATION}={inputs}", str(image))

    def signs(self, image: Subject, key: Path) -> bool:
        """Run `cosign sign` without a transparency log."""
        return self(
            *("sign", "--yes", "--key", key, "--tlog-upload=false", "-a", f"{ANNOTATION}={INPUTS}"),
            *(("--use-signing-config=false",) if self.major >= 3 else ()),
            str(image),
        )


@dataclass(frozen=True)
class Bench:
    """A registry, a pair of ours and cosign."""

    cosign: Cosign
    registry: Registry
    pair: Pair

    def image(self, name: str) -> Subject:
        """Return a new image."""
        return an_image(self.registry, f"cosign/{name}", name)


def ours_by_cosign(bench: Bench) -> Iterator[tuple[str, bool]]:
    """What cosign says of our signatures."""
    image, key = bench.image("ours"), private_key(str(bench.pair.private), OPENS)
    other = make_pair(bench.cosign.folder / "other", PHRASE)
    yield "cosign refuses an image that we did not sign", not bench.cosign.verifies(image, bench.pair.public)
    sign(image, key, INPUTS)
    yield "cosign verifies an image that we signed", bench.cosign.verifies(image, bench.pair.public)
    yield "cosign refuses it by another key", not bench.cosign.verifies(image, other.public)
    yield "cosign refuses it for other inputs", not bench.cosign.verifies(image, bench.pair.public, OTHER_INPUTS)
    sign(image, private_key(str(other.private), OPENS), INPUTS)
    both = [bench.cosign.verifies(image, one) for one in (bench.pair.public, other.public)]
    yield "cosign verifies it by either of two keys that signed it", all(both)


def builds_by_cosign(bench: Bench) -> Iterator[tuple[str, bool]]:
    """What cosign says of what a build attaches."""
    contents = some_contents(ROOT / "models/digits/recipe.yaml", bench.cosign.folder / "made")
    host, name, inputs = bench.registry.host, "cosign/built", contents.inputs.hash
    to = Destination(bench.registry, name, Source((bench.registry,)), Reference(host, "none"))
    papers = Attestations(contents, private_key(str(bench.pair.private), OPENS))
    digest, _ = publish(
        [Image("linux/amd64", ()).draft], to, contents.inputs.tag, {}, lambda *_: None, attestations=papers
    )
    image = Subject.of(bench.registry, Reference(host, name, digest=digest))
    yield "cosign verifies a built image", bench.cosign.verifies(image, bench.pair.public, inputs)
    yield "cosign refuses it for other inputs", not bench.cosign.verifies(image, bench.pair.public)
    asked = ("--key", bench.pair.public, "--insecure-ignore-tlog=true", "--type", "slsaprovenance1")
    yield "cosign verifies its provenance", bench.cosign("verify-attestation", *asked, str(image))


def cosigns_by_us(bench: Bench) -> Iterator[tuple[str, bool]]:
    """What we say of cosign's keys and signatures."""
    image = bench.image("cosigns")
    yield "cosign makes a pair", bench.cosign("generate-key-pair", "--output-key-prefix", "cosigns")
    own = private_key(str(bench.cosign.folder / "cosigns.key"), OPENS)
    public = public_key(str(bench.cosign.folder / "cosigns.pub"))
    yield "we open cosign's private key", own.public == public
    yield "cosign signs with its key", bench.cosign.signs(image, bench.cosign.folder / "cosigns.key")
    yield "we verify an image that cosign signed", verify(image, [public], INPUTS).inputs == INPUTS
    yield "we refuse it by another key", refuses(lambda: verify(image, [public_key(str(bench.pair.public))], INPUTS))
    yield "we refuse it for other inputs", refuses(lambda: verify(image, [public], OTHER_INPUTS))
    yield "cosign signs with our key", bench.cosign.signs(image, bench.pair.private)
    yield "we verify that too", verify(image, [public_key(str(bench.pair.public))], INPUTS).inputs == INPUTS


def refuses(work: Callable[[], object]) -> bool:
    """Return whether `work` ends with a SignatureError."""
    try:
        work()
    except SignatureError:
        return True
    return False


@contextmanager
def open_bench(program: Path) -> Iterator[Bench]:
    """Yield a bench in a folder of its own."""
    with tempfile.TemporaryDirectory() as place, running_registry(Path(place) / "registry") as host:
        folder = Path(place) / "work"
        folder.mkdir()
        yield Bench(Cosign.at(program, folder), Registry(host), make_pair(folder / "ours", PHRASE))


def main(arguments: list[str]) -> int:
    """Run every check; returns 1 where one fails, 2 without a program."""
    if len(arguments) != 1:
        print("usage: python -m tests.cosign COSIGN", file=sys.stderr)
        return 2
    failed = 0
    with open_bench(Path(arguments[0]).absolute()) as bench:
        for checks in (ours_by_cosign, builds_by_cosign, cosigns_by_us):
            for words, holds in checks(bench):
                print(f"{'holds' if holds else 'FAILS'}  {words}", flush=True)
                failed += not holds
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
