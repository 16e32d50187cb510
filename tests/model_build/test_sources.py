"""Every format that a model may come in, in whole builds, and what is refused of each."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.model_build.builder import Builder
from tests.model_build.houses import House, open_house

pytestmark = pytest.mark.build
TRAINED = r"  - train: .*"
EXPORTED = r"  - export: .*\n"
MODEL = r"model: .*\n"
# A class of the owner's own, which a pickle names and does not hold.
WRAPPED = """
from torch import nn

class Wrapped(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, pictures):
        return self.inner(pictures)
"""
# One trained model in every format, as its owner would save it.
SAVE = (
    f"WRAPPED = {WRAPPED!r}"
    """
import sys, torch
from pathlib import Path
from safetensors.torch import save_file
import onnx
sys.path.insert(0, sys.argv[1])
from model import build
folder, step, exported = map(Path, sys.argv[1:4])
model = build()
model.load_state_dict(torch.load(step / "weights.pt", weights_only=True))
model.eval()
sample = torch.zeros(2, 1, 8, 8)
batch = torch.export.Dim("batch")
torch.save(model.state_dict(), folder / "weights.pt")
save_file(model.state_dict(), folder / "weights.safetensors")
(folder / "wrapped.py").write_text(WRAPPED)
from wrapped import Wrapped
torch.save(Wrapped(model), folder / "module.pt")
torch.save({"epoch": 3}, folder / "checkpoint.pt")
torch.export.save(torch.export.export(model, (sample,), dynamic_shapes=({0: batch},)), folder / "program.pt2")
torch.export.save(torch.export.export(model, (sample,)), folder / "fixed.pt2")
torch.jit.trace(model, sample).save(folder / "script.pt")
graph = onnx.load(exported / "model.onnx")
onnx.save(graph, folder / "graph.onnx")
onnx.save(graph, folder / "large.onnx", save_as_external_data=True, location="large.data", size_threshold=0)
"""
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, builder: Builder) -> tuple[House, float]:
    """A house whose model lies beside the recipe in every format, and its accuracy before it was quantized."""
    house = open_house(tmp_path_factory.mktemp("house"), tmp_path_factory.mktemp("cache"), builder)
    code, events = house.build()
    assert code == 0, events[-1]
    script = house.root / "save.py"
    script.write_text(SAVE)
    (weights,) = house.cache.glob("steps/*/out/weights.pt")
    exported = max(house.cache.glob("steps/*/out/model.onnx"), key=lambda path: path.stat().st_size)
    done = house.python("-W", "ignore", script, house.folder, weights.parent, exported.parent)
    assert done.returncode == 0, done.stderr
    return house, events[-1]["metrics"]["source_accuracy"]


@contextmanager
def loading(house: House, load: str, *, factory: bool, export: bool = True) -> Iterator[None]:
    """Have the recipe load instead of train for the block."""
    with house.changed("recipe.yaml", TRAINED, f"  - load: {load}"):
        if factory and export:
            yield
        elif export:
            with house.changed("recipe.yaml", MODEL, ""):
                yield
        else:
            with house.changed("recipe.yaml", MODEL, ""), house.changed("recipe.yaml", EXPORTED, ""):
                yield


def source_accuracy(house: House) -> float:
    """Build; returns how often the source, as it was loaded, is right on held-out samples."""
    code, events = house.build()
    assert code == 0, events[-1]
    return float(events[-1]["metrics"]["source_accuracy"])


def refused(house: House) -> str:
    code, events = house.build()
    assert (code, events[-1].get("kind")) == (3, "recipe"), events[-1]
    return str(events[-1]["message"])


@pytest.mark.parametrize(
    "load", ["{format: state-dict, file: weights.pt}", "{format: safetensors, file: weights.safetensors}"]
)
def test_weights_of_a_factorys_model_are_loaded(trained: tuple[House, float], load: str) -> None:
    with loading(trained[0], load, factory=True):
        assert source_accuracy(trained[0]) == pytest.approx(trained[1], abs=1e-9)


@pytest.mark.parametrize(
    "load",
    [
        "{format: torch-export, file: program.pt2, trust: torch-export}",
        "{format: torchscript, file: script.pt, trust: torchscript}",
        "{format: pickle, file: module.pt, trust: pickle}",
    ],
)
def test_a_model_that_is_whole_in_its_file_is_loaded(trained: tuple[House, float], load: str) -> None:
    with loading(trained[0], load, factory=False):
        assert source_accuracy(trained[0]) == pytest.approx(trained[1], abs=1e-9)


@pytest.mark.parametrize("file", ["graph.onnx", "large.onnx"])
def test_a_graph_is_taken_as_it_is_with_external_data_in_it(trained: tuple[House, float], file: str) -> None:
    with loading(trained[0], f"{{format: onnx, file: {file}}}", factory=False, export=False):
        assert source_accuracy(trained[0]) == pytest.approx(trained[1], abs=1e-9)


def test_a_factory_that_returns_a_trained_model_needs_no_file(trained: tuple[House, float]) -> None:
    house = trained[0]
    weights = "torch.load(Path(__file__).with_name('weights.pt'), weights_only=True)"
    ending = f"    )\n    model.load_state_dict({weights})\n    return model\n"
    with (
        house.changed(
            "model.py", r"from torch import nn", "from pathlib import Path\n\nimport torch\nfrom torch import nn"
        ),
        house.changed("model.py", r"return nn\.Sequential", "model = nn.Sequential"),
        house.changed("model.py", r"    \)\n$", ending),
        loading(house, "{format: module}", factory=True),
    ):
        assert source_accuracy(trained[0]) == pytest.approx(trained[1], abs=1e-9)


def test_a_loaded_module_can_be_pruned(trained: tuple[House, float]) -> None:
    step = "prune: {method: structured, amount: 0.5, finetune: {epochs: 1}}"
    with loading(trained[0], "{format: pickle, file: module.pt, trust: pickle}", factory=False):
        code, events = trained[0].built(step)
    assert code == 0, events[-1]
    told = trained[0].report(events)["facts"]["prune"]
    assert told["parameters"] < told["parameters_before"] / 2


@pytest.mark.parametrize(
    ("load", "factory", "said"),
    [
        ("{format: pickle, file: module.pt}", False, "of format pickle runs whatever code its writer put into it"),
        ("{format: torch-export, file: program.pt2}", False, "of format torch-export may hold pickles"),
        ("{format: tensorflow, file: model.keras}", False, "is a program, whose operators may read and write files"),
        ("{format: safetensors, file: .hidden/weights.pt}", True, "must match"),
        ("{format: safetensors, file: weights.safetensors, dynamic_axes: [1]}", True, "name them in export"),
        ("{format: torchscript, file: script.pt}", False, "`trust: torchscript` where you trust script.pt"),
        ("{format: state-dict, file: module.pt}", True, "module.pt cannot be opened as state-dict"),
        ("{format: state-dict, file: checkpoint.pt}", True, "holds dict and not names with tensors"),
        ("{format: safetensors, file: weights.pt}", True, "weights.pt cannot be opened as safetensors"),
        (
            "{format: torch-export, file: weights.pt, trust: torch-export}",
            False,
            "weights.pt cannot be opened as torch-export",
        ),
        (
            "{format: torch-export, file: fixed.pt2, trust: torch-export}",
            False,
            "cannot be exported with a dynamic batch",
        ),
        ("{format: state-dict, file: ../weights.pt}", True, "steps[0].load.file: '../weights.pt'"),
        ("{format: state-dict, file: nowhere.pt}", True, "'nowhere.pt' names no file"),
        ("{format: onnx, file: graph.onnx}", False, "onnx needs no export"),
        ("{format: module, file: weights.pt}", True, "of format module has a file"),
        (
            "{format: torch-export, file: program.pt2, trust: torch-export}",
            True,
            "has a model, which a source of format torch-export",
        ),
        ("{format: state-dict, file: weights.pt}", False, "has no model; name its factory"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused_with_the_remedy(
    trained: tuple[House, float], load: str, factory: bool, said: str
) -> None:
    with loading(trained[0], load, factory=factory):
        message = refused(trained[0])
    assert said in message
    assert "; " in message


def test_a_pickled_class_is_found_by_a_worker_that_never_loaded_data(trained: tuple[House, float]) -> None:
    house = replace(trained[0], builder=None)
    with (
        loading(house, "{format: pickle, file: module.pt, trust: pickle}", factory=False),
        house.changed("recipe.yaml", r"opset: \d+", "opset: 21"),
    ):
        code, events = house.build()
    assert code == 0, events[-1]


def test_weights_of_another_model_are_refused(trained: tuple[House, float]) -> None:
    house = trained[0]
    with (
        house.changed("model.py", r"nn\.Linear\(64, 10\)", "nn.Linear(64, 10, bias=False)"),
        loading(house, "{format: safetensors, file: weights.safetensors}", factory=True),
    ):
        assert "does not fit the model that the factory makes" in refused(house)


def test_a_fixed_graph_is_not_pruned(trained: tuple[House, float]) -> None:
    house = trained[0]
    step = "prune: {method: structured, amount: 0.5, finetune: {epochs: 1}}"
    with loading(house, "{format: torch-export, file: program.pt2, trust: torch-export}", factory=False):
        code, events = house.built(step)
    assert code == 3
    assert "torch-export has no layers for another step to change" in events[-1]["message"]


def test_a_pickle_that_is_not_trusted_runs_no_code(trained: tuple[House, float], tmp_path: Path) -> None:
    house, told = trained[0], tmp_path / "told"
    script = tmp_path / "evil.py"
    script.write_text(
        "import os, sys, torch\n"
        f"class Evil:\n    def __reduce__(self):\n        return (os.mkdir, ({str(told)!r},))\n"
        "torch.save(Evil(), sys.argv[1])\n"
    )
    assert house.python(script, house.folder / "evil.pt").returncode == 0
    with loading(house, "{format: state-dict, file: evil.pt}", factory=True):
        assert "evil.pt cannot be opened as state-dict" in refused(house)
    assert not told.exists()
