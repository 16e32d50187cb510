"""What other servers run in place of ONNX, made by whole builds: TorchScript and its handler, folders of weights."""

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from model_build.bake import RUNTIME_LABEL
from model_build.oci.labels import read_labels
from model_build.oci.registry import Registry
from model_build.places import ROOT
from tests.model_build.builder import Builder
from tests.model_build.houses import House, open_house
from tests.registry import push_base

pytestmark = pytest.mark.build
# The handler on the artifact as TorchServe calls it: requests in a batch, one of them misshapen.
ASK = """
import json, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[2])
from torchserve_handler import Handler

class Context:
    system_properties = {"model_dir": sys.argv[1], "gpu_id": None}
    manifest = {"model": {"serializedFile": "model.pt"}}
    refused = []

    def set_response_status(self, code, phrase, at):
        self.refused.append((code, at))

def request(samples):
    tensor = {"name": "input", "datatype": "FP32", "shape": list(samples.shape), "data": samples.ravel().tolist()}
    return {"body": json.dumps({"inputs": [tensor]}).encode()}

golden = np.load(Path(sys.argv[1]) / "golden.npz")
given, wanted = golden["inputs"], golden["outputs"]
handler, context = Handler(), Context()
handler.initialize(context)
one, wrong, rest = handler.handle([request(given[:1]), request(given[:1, :, :4]), request(given[1:])], context)
answers = [np.array(each["outputs"][0]["data"]).reshape(each["outputs"][0]["shape"]) for each in (one, rest)]
distance = float(np.abs(np.concatenate(answers) - wanted).max())
told = {"distance": distance, "refused": context.refused, "error": wrong["error"], "name": one["model_name"]}
print(json.dumps(told))
"""
# A layer that tells a trace from a run.
TRACED = """
class Traced(nn.Module):
    def forward(self, pictures):
        return pictures + 1 if torch.jit.is_tracing() else pictures
"""
# A folder of weights in two shards, as save_pretrained writes one.
SAVE = """
import json, sys
from pathlib import Path
import numpy as np
from safetensors.numpy import save_file
folder = Path(sys.argv[1])
folder.mkdir(parents=True)
shards = {"model-00001-of-00002.safetensors": {"a": (4, 8)}, "model-00002-of-00002.safetensors": {"b": (8,), "c": ()}}
for file, tensors in shards.items():
    save_file({name: np.ones(shape, np.float32) for name, shape in tensors.items()}, folder / file)
listed = {name: file for file, tensors in shards.items() for name in tensors}
(folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": listed}))
(folder / "config.json").write_text(json.dumps({"num_attention_heads": 8}))
(folder / "tokenizer.json").write_text("{}")
"""
WEIGHTS = """\
version: 1
name: words
task: generation
steps: [{load: {format: huggingface, file: weights}}]
gates: {}
runtime: {name: vllm, tensor_parallel: 2, pipeline_parallel: 2}
packaging: volume
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path, builder: Builder) -> House:
    return open_house(tmp_path_factory.mktemp("house"), shared_cache, builder)


@pytest.fixture(scope="module")
def torch_artifact(house: House) -> Path:
    code, events = house.built_for_torchserve()
    assert code == 0, events[-1]
    return Path(events[-1]["artifact"])


def test_torchserves_handler_answers_a_batch_of_requests_as_onnxruntime_does(
    house: House, torch_artifact: Path
) -> None:
    done = house.python("-c", ASK, torch_artifact, ROOT / "model_build" / "templates")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert told["distance"] < 1e-4
    assert told["name"] == "digits"
    assert told["refused"] == [[400, 1]]
    assert told["error"].startswith("inputs: {'name': 'input', 'datatype': 'FP32', 'shape': [1, 1, 4, 8]} is not")


def test_torchscript_names_nothing_of_the_machine_that_traced_it(house: House, torch_artifact: Path) -> None:
    program = (torch_artifact / "model.pt").read_bytes()
    assert not [mark for mark in (str(house.root), "site-packages", "debug_pkl") if mark.encode() in program]


def test_torchscript_of_the_same_weights_is_the_same_bytes(torch_artifact: Path, tmp_path: Path) -> None:
    # In a process of its own, as every build is: torch gives the classes of a second trace other names.
    other = open_house(tmp_path / "house", tmp_path / "cache")
    code, events = other.built_for_torchserve()
    assert code == 0, events[-1]
    assert (Path(events[-1]["artifact"]) / "model.pt").read_bytes() == (torch_artifact / "model.pt").read_bytes()


def test_a_model_that_answers_otherwise_as_torchscript_is_not_served_by_torchserve(house: House) -> None:
    with (
        house.changed("model.py", r"from torch import nn\n", f"import torch\nfrom torch import nn\n{TRACED}"),
        house.changed("model.py", r"return nn.Sequential\(\n", "return nn.Sequential(\n        Traced(),\n"),
    ):
        code, events = house.built_for_torchserve()
    assert (code, events[-1]["kind"]) == (3, "recipe"), events[-1]
    assert "runtime: torchserve: at a batch of 1 the model as TorchScript differs by" in events[-1]["message"]


@pytest.fixture
def words(house: House, tmp_path: Path) -> House:
    """A house with a folder of weights."""
    folder = house.root / "models" / "words"
    shutil.rmtree(folder, ignore_errors=True)
    done = house.python("-c", SAVE, folder / "weights")
    assert done.returncode == 0, done.stderr
    return house.of("words", WEIGHTS)


def test_weights_are_looked_through_and_served_from_where_they_lie(words: House) -> None:
    code, events = words.build()
    assert code == 0, events[-1]
    result = events[-1]
    assert result["artifact"] == str(words.folder / "weights")
    assert result["metrics"] | {"size": 0} == {"files": 5, "size": 0, "tensors": 3, "parameters": 41}
    assert json.loads((words.cache / result["report"]).read_bytes())["metrics"] == result["metrics"]


def test_weights_are_pushed_as_an_image_of_themselves_for_the_servers_own_image(words: House, host: str) -> None:
    base, to = push_base(host), f"{host}/tests/words"
    command = ["build", "--json", "--recipe", str(words.folder / "recipe.yaml"), "--push", to, "--base", base]
    done = words.python("-m", "model_build", *command)
    assert done.returncode == 0, done.stdout
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["runtime_image"] == base
    registry, digest = Registry(host), result["image"].partition("@")[2]
    assert read_labels(registry, "tests/words", digest, "linux/amd64")[RUNTIME_LABEL] == base.partition("@")[2]
    manifest = registry.get("tests/words", digest)
    assert manifest is not None
    (layer,) = manifest.parsed["layers"]
    with tarfile.open(fileobj=io.BytesIO(registry.blob("tests/words", layer["digest"]))) as archive:
        files = {one.name for one in archive.getmembers() if one.isfile()}
    assert files == {f"models/words/{path.name}" for path in (words.folder / "weights").iterdir()}


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("model.safetensors.index.json", None, "has 2 shards and no model.safetensors.index.json"),
        ("model-00002-of-00002.safetensors", None, "names 'b' in 'model-00002-of-00002.safetensors', where it is not"),
        ("model-00002-of-00002.safetensors", b"cut", "is no sound safetensors file"),
        ("pytorch_model.bin", b"", "may be a pickle, which runs its writer's code"),
        ("modeling_words.py", b"", "is code, which no server here runs"),
        ("config.json", b'{"num_attention_heads": 7}', "2 does not divide the model's 7 attention heads"),
        (
            "config.json",
            b'{"num_attention_heads": 8, "num_hidden_layers": 1}',
            "runtime.pipeline_parallel: 2 is more than the model's 1 layers",
        ),
        ("config.json", None, "config.json: cannot be read"),
    ],
)
def test_weights_that_could_not_be_served_are_refused(
    words: House, file: str, content: bytes | None, said: str
) -> None:
    path = words.folder / "weights" / file
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    code, events = words.build()
    assert (code, events[-1]["kind"]) == (3, "recipe"), events[-1]
    assert said in events[-1]["message"]
    assert "; " in events[-1]["message"]
