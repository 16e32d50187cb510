"""`python -m benchmarks.bake.ours FOLDER HOST/REPOSITORY MEMORY`: bakes a folder of weights and pushes it."""

from __future__ import annotations

import sys
from pathlib import Path

from model_build.oci.image import Draft, ImageConfig
from model_build.oci.layer import folder_contents
from model_build.oci.memory import Memory
from model_build.oci.push import Target, push_draft
from model_build.oci.registry import Registry


def main(folder: str, reference: str, memory: str) -> int:
    """Push and print the digest."""
    host, _, repository = reference.partition("/")
    draft = Draft("linux/amd64", folder_contents(Path(folder), "models/weights"), ImageConfig(user="65532:65532"))
    print(push_draft(draft, Target(Registry(host), repository, memory=Memory(Path(memory))), ["v1"]).digest)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
