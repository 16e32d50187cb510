"""Makes the image of a build: base, dependencies, server and weights, each a reproducible layer."""

from dataclasses import dataclass
from pathlib import Path

from model_build.cache import StepStore
from model_build.dependencies import PYTHON, lay_out
from model_build.events import Reporter
from model_build.hashing import source_files
from model_build.inputs import Inputs
from model_build.oci.image import Base, Draft, ImageConfig
from model_build.oci.layer import Contents, folder_contents
from model_build.oci.tar import NOBODY, Entry
from model_build.places import ROOT

HOME = "opt/modelstack"
PORT = 8080


@dataclass(frozen=True)
class Parts:
    """What goes into the image of one model: its name, the artifact's folder and the inputs it was made from."""

    name: str
    artifact: Path
    inputs: Inputs


def bake(parts: Parts, platform: str, base: Base, store: StepStore, reporter: Reporter) -> Draft:
    """Return the image for `platform` on `base`; raises EnvironmentFault where the wheels cannot be had."""
    reporter.tell("running", 0.0, f"wheels for {platform}")
    wheels = lay_out(platform, store, lambda: reporter.tell("running", 0.0, "waiting for another build"))
    reporter.tell("running", 0.5, f"layers for {platform}")
    contents = (
        *folder_contents(wheels, f"{HOME}/deps"),
        server(ROOT / "model_server"),
        *folder_contents(parts.artifact, f"models/{parts.name}"),
    )
    return Draft(platform, contents, config(parts), base)


def config(parts: Parts) -> ImageConfig:
    """Return how the server starts in the image."""
    return ImageConfig(
        user=f"{NOBODY}:{NOBODY}",
        env={"PYTHONPATH": f"/{HOME}/deps:/{HOME}/server", "PYTHONDONTWRITEBYTECODE": "1"},
        entrypoint=(f"/usr/bin/python{PYTHON}", "-m", "model_server"),
        workdir="/",
        ports=(PORT,),
        labels={"modelstack.dev/model": parts.name, "modelstack.dev/inputs": parts.inputs.hash},
    )


def server(sources: Path) -> Contents:
    """Return the server's sources; what the checkout holds beside them (caches, editors' files) stays out."""
    at = f"{HOME}/server/{sources.name}"
    files = list(source_files(sources))
    folders = {path.parent.relative_to(sources).as_posix() for path in files} | {"."}
    return Contents.of(
        [
            *(Entry.folder(f"{at}/{folder}") for folder in folders),
            *(Entry(f"{at}/{path.relative_to(sources).as_posix()}", content=path) for path in files),
        ]
    )
