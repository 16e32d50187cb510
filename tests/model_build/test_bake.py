"""The image of a model, from the real wheels."""

import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from model_build import bytecode, dependencies, runtimes
from model_build import inputs as build_inputs
from model_build import recipe as recipes
from model_build.bake import Parts, bake, server
from model_build.cache import StepStore
from model_build.dependencies import lay_out
from model_build.errors import EnvironmentFault
from model_build.events import Lines, Reporter
from model_build.hashing import source_files
from model_build.inputs import Inputs
from model_build.oci.image import Base, Image
from model_build.oci.layer import OWN_LAYER_BYTES, Layer
from model_build.oci.reference import Reference
from model_build.places import ROOT
from model_build.runtimes.onnxruntime import GRPC_LOCK, LOCKS, PYTHON

PLATFORM = "linux/amd64"
LOCK = LOCKS["cpu"]
BASE = Base(
    Reference("127.0.0.1:1", "base", digest=f"sha256:{'b' * 64}"),
    (),
    {"config": {"Env": ["PATH=/usr/bin"], "Cmd": ["sh"]}, "rootfs": {"diff_ids": []}},
)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> StepStore:
    """A cache in which the wheels are laid out once for all tests here."""
    return StepStore(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def inputs(recipe: Path) -> Inputs:
    return build_inputs.compute(recipe, str(BASE.reference))


DIGITS = runtimes.of(recipes.load(ROOT / "models" / "digits" / "recipe.yaml"))


def artifact(folder: Path, weights: bytes = b"weights", modified: int = 1) -> Path:
    """Write an artifact's folder, last modified at `modified` (seconds)."""
    folder.mkdir(parents=True)
    for name, content in {"model.onnx": weights, "model.json": b"{}"}.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, (modified, modified))
    return folder


def baked(folder: Path, inputs: Inputs, store: StepStore) -> Image:
    parts = Parts("digits", folder, inputs, DIGITS)
    return bake(parts, PLATFORM, BASE, store, Reporter.start(Lines(io.StringIO()), "bake")).read()


def names(layer: Layer) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(layer.open()))) as archive:
        return archive.getnames()


def test_the_same_parts_baked_in_two_folders_and_caches_give_the_same_digest(
    tmp_path: Path, inputs: Inputs, store: StepStore
) -> None:
    one = baked(artifact(tmp_path / "one", modified=1), inputs, store)
    other = baked(artifact(tmp_path / "elsewhere" / "two", modified=2), inputs, StepStore(tmp_path / "cache"))
    assert one.digest == other.digest


def test_other_weights_change_the_last_layer_alone(tmp_path: Path, inputs: Inputs, store: StepStore) -> None:
    one = baked(artifact(tmp_path / "one", b"1"), inputs, store)
    other = baked(artifact(tmp_path / "two", b"2"), inputs, store)
    same = [first.digest == second.digest for first, second in zip(one.layers, other.layers, strict=True)]
    assert same == [True, True, False]


def test_dependencies_server_and_weights_lie_in_this_order_at_their_places(
    tmp_path: Path, inputs: Inputs, store: StepStore
) -> None:
    wheels, code, weights = baked(artifact(tmp_path / "one"), inputs, store).layers
    assert "opt/modelstack/deps/onnxruntime/__init__.py" in names(wheels)
    assert "opt/modelstack/server/model_server/__main__.py" in names(code)
    assert names(weights) == ["models/digits", "models/digits/model.json", "models/digits/model.onnx"]


def test_weights_of_64_mib_are_a_layer_of_their_own(tmp_path: Path, inputs: Inputs, store: StepStore) -> None:
    folder = artifact(tmp_path / "one")
    with (folder / "model.onnx").open("wb") as stream:
        stream.truncate(OWN_LAYER_BYTES)
    weights = baked(folder, inputs, store).layers[2:]
    assert [names(layer)[-1] for layer in weights] == ["models/digits/model.json", "models/digits/model.onnx"]


def test_the_image_starts_the_server_without_root_rights(tmp_path: Path, inputs: Inputs, store: StepStore) -> None:
    image = baked(artifact(tmp_path / "one"), inputs, store)
    assert json.loads(image.config_bytes) == {
        "os": "linux",
        "architecture": "amd64",
        "config": {
            "User": "65532:65532",
            "Env": [
                "PATH=/usr/bin",
                "PYTHONDONTWRITEBYTECODE=1",
                "PYTHONPATH=/opt/modelstack/deps:/opt/modelstack/server",
            ],
            "Entrypoint": ["/usr/bin/python3.11", "-m", "model_server"],
            "WorkingDir": "/",
            "ExposedPorts": {"8080/tcp": {}},
            "Labels": {"modelstack.dev/model": "digits", "modelstack.dev/inputs": inputs.hash},
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in image.layers]},
    }


def test_the_server_runs_on_the_laid_out_wheels_alone(store: StepStore) -> None:
    assert sys.version_info[:2] == tuple(map(int, PYTHON.split(".")))
    wheels = lay_out(LOCK, PLATFORM, store, lambda: None)
    used = (
        "model_server.server, model_server.measuring, model_server.golden, httptools, uvloop, onnxruntime, tokenizers"
    )
    code = f"import sys; sys.path[:0] = [{str(wheels)!r}, {str(ROOT)!r}]; import {used}"
    # -S keeps this environment's own packages out.
    done = subprocess.run([sys.executable, "-E", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


IMPORTED = """
import sys
sys.path[:0] = {places}
import model_server.server, onnxruntime
modules = [one for one in list(sys.modules.values()) if (getattr(one, "__file__", None) or "").startswith({places})]
for one in modules:
    if one.__file__.endswith(".py"):
        print(one.__cached__)
"""


def test_every_module_that_the_server_imports_lies_there_as_bytecode_that_is_never_checked(
    tmp_path: Path, inputs: Inputs, store: StepStore
) -> None:
    for layer in baked(artifact(tmp_path / "one"), inputs, store).layers:
        with tarfile.open(fileobj=io.BytesIO(b"".join(layer.open()))) as archive:
            archive.extractall(tmp_path, filter="data")
    places = tuple(str(tmp_path / "opt/modelstack" / name) for name in ("deps", "server"))
    code = IMPORTED.format(places=repr(places))
    done = subprocess.run([sys.executable, "-B", "-E", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [Path(line) for line in done.stdout.splitlines()]
    assert {"server.cpython-311.pyc", "responses.cpython-311.pyc"} <= {path.name for path in found}
    # PEP 552: the magic number, then flags, of which 1 is a hash and 2 that it is to be checked.
    assert {path.read_bytes()[:8] for path in found} == {importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")}


def test_bytecode_names_the_place_in_the_image(store: StepStore) -> None:
    compiled = next(lay_out(LOCK, PLATFORM, store, lambda: None).glob("__pycache__/typing_extensions.*.pyc"))
    assert b"/opt/modelstack/deps/typing_extensions.py" in compiled.read_bytes()


def test_another_python_than_the_images_that_is_missing_is_named_with_the_remedy() -> None:
    with pytest.raises(EnvironmentFault, match=r"python 3\.99: is what the image runs .* uv python install 3\.99"):
        bytecode.interpreter("3.99")


def test_a_module_that_is_no_python_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("def")
    with pytest.raises(EnvironmentFault, match=r"cannot compile the modules of /opt/deps: .*broken\.py"):
        bytecode.compile_below(tmp_path, "opt/deps", Path(sys.executable))


def test_grpc_runs_on_its_own_layer_over_the_other_wheels(store: StepStore) -> None:
    wheels, grpc = (lay_out(lock, PLATFORM, store, lambda: None) for lock in (LOCK, GRPC_LOCK))
    beside = {path.relative_to(grpc) for path in grpc.rglob("*") if path.is_file()}
    assert not [path for path in beside if (wheels / path).exists()]
    code = f"import sys; sys.path[:0] = {[str(wheels), str(grpc), str(ROOT)]}; from model_server import rpc, messages; "
    code += "assert messages.Messages()['ServerLiveResponse'](live=True).SerializeToString() == b'\\x08\\x01'"
    done = subprocess.run([sys.executable, "-E", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_wheels_hold_what_a_server_runs_and_every_licence(store: StepStore) -> None:
    wheels = lay_out(LOCK, PLATFORM, store, lambda: None)
    size = sum(path.stat().st_size for path in wheels.rglob("*") if path.is_file())
    assert size < 137e6
    assert not list(wheels.rglob("tests"))
    for package in ("numpy", "onnxruntime", "uvloop"):
        (about,) = wheels.glob(f"{package}-*.dist-info")
        assert [path for path in (*about.rglob("*"), *(wheels / package).glob("*")) if "LICENSE" in path.name.upper()]


def test_nothing_in_the_wheels_names_this_machine(store: StepStore) -> None:
    wheels = lay_out(LOCK, PLATFORM, store, lambda: None)
    files = [path for path in wheels.rglob("*") if path.is_file()]
    assert not [path for path in files if path.name in ("RECORD", "INSTALLER", "direct_url.json")]
    assert not (wheels / "bin").exists()
    marks = (str(store.root).encode(), sys.executable.encode())
    assert not [path for path in files if any(mark in path.read_bytes() for mark in marks)]


def test_wheels_damaged_in_the_cache_are_laid_out_again(tmp_path: Path, inputs: Inputs, store: StepStore) -> None:
    damaged = StepStore(tmp_path / "cache")
    shutil.copytree(store.root, damaged.root)
    whole = baked(artifact(tmp_path / "one"), inputs, damaged)
    wheels = lay_out(LOCK, PLATFORM, damaged, lambda: None)
    (wheels / "typing_extensions.py").write_text("broken")
    assert baked(tmp_path / "one", inputs, damaged).digest == whole.digest


def test_a_wheel_that_is_not_its_hash_stops_the_bake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = f"typing-extensions==4.16.0 --hash=sha256:{'0' * 64}\n"
    (tmp_path / LOCK).write_text(pinned)
    monkeypatch.setattr(dependencies, "ROOT", tmp_path)
    with pytest.raises(EnvironmentFault, match=rf"{LOCK}: uv cannot lay .* check the network and the"):
        lay_out(LOCK, PLATFORM, StepStore(tmp_path / "cache"), lambda: None)


def server_layer(sources: Path, store: StepStore) -> Layer:
    (contents,) = server(sources, store)
    return contents.read()


def test_the_server_layer_holds_modules_as_source_and_bytecode_and_nothing_beside_them(
    tmp_path: Path, store: StepStore
) -> None:
    sources = tmp_path / "model_server"
    (sources / "__pycache__").mkdir(parents=True)
    (sources / "__pycache__" / "old.cpython-311.pyc").write_bytes(b"")
    (sources / ".app.py.swp").write_bytes(b"")
    (sources / "app.py").write_text("")
    assert names(server_layer(sources, store)) == [
        "opt/modelstack/server/model_server",
        "opt/modelstack/server/model_server/__pycache__",
        "opt/modelstack/server/model_server/__pycache__/app.cpython-311.pyc",
        "opt/modelstack/server/model_server/app.py",
    ]


def test_every_source_of_the_server_is_in_its_layer_and_none_of_the_native_modules(store: StepStore) -> None:
    layer = server_layer(ROOT / "model_server", store)
    found = {name.removeprefix("opt/modelstack/server/") for name in names(layer)}
    wanted = {path.relative_to(ROOT).as_posix() for path in source_files(ROOT / "model_server")}
    native = {name for name in wanted if name.startswith("model_server/native/")}
    assert native
    assert wanted - native <= found
    assert not native & found


def pins(lock: str) -> dict[str, str]:
    lines = (ROOT / lock).read_text().splitlines()
    return dict(line.split(" ")[0].split("==") for line in lines if "==" in line and not line.startswith("#"))


def test_the_server_has_the_same_wheels_on_a_gpu_besides_onnxruntime_and_cuda() -> None:
    cpu, gpu = pins(LOCKS["cpu"]), pins(LOCKS["gpu"])
    assert cpu.items() - gpu.items() == {("onnxruntime", cpu["onnxruntime"])}
    grpc = pins(GRPC_LOCK)
    assert not grpc.keys() & (cpu.keys() | gpu.keys())
    assert all(name == "onnxruntime-gpu" or name.startswith("nvidia-") for name in gpu.keys() - cpu.keys())
