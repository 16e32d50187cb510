"""A recipe and an artifact for each server of the table."""

import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from model_build import recipe as recipes
from model_build import runtimes
from model_build.oci.layer import Contents
from model_build.recipe import Recipe
from model_build.runtimes.runtime import Runtime

GOLDEN = Path(__file__).with_name("golden")
CONTRACT = {
    "name": "digits",
    "version": "0123456789ab",
    "inputs_hash": "0123456789ab" + "0" * 52,
    "platform": "onnxruntime_onnx",
    "file": "model.onnx",
    "inputs": [{"name": "input", "datatype": "FP32", "shape": [-1, 1, 8, 8]}],
    "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}],
    "labels": [str(digit) for digit in range(10)],
}
TRAINED = """
name: digits
model: model.py:build
data: data.py:load
steps: [{train: {epochs: 1}}, {export: {}}]
gates: {min_accuracy: 0.9}
"""
LOADED = """
name: digits
data: data.py:load
steps: [{load: {format: tensorflow, file: saved, trust: tensorflow}}]
gates: {min_accuracy: 0.9}
"""
WEIGHTS = """
name: digits
task: generation
steps: [{load: {format: huggingface, file: weights}}]
gates: {}
"""


@dataclass(frozen=True)
class Case:
    """One row of the table, as a recipe asks for it."""

    name: str
    runtime: str
    recipe: str = TRAINED
    packaging: str = "baked"

    @property
    def parsed(self) -> Recipe:
        """The recipe."""
        text = f"version: 1{self.recipe}runtime: {self.runtime}\npackaging: {self.packaging}\n"
        return recipes.parse(text.encode(), "recipe.yaml")

    @property
    def made(self) -> Runtime:
        """The server."""
        return runtimes.of(self.parsed)

    @property
    def golden(self) -> Path:
        """The folder of what is expected."""
        return GOLDEN / self.name


TRITON = "max_batch_size: 16, instances: 2, max_queue_delay_us: 500"
CASES = (
    Case("onnxruntime", "{name: onnxruntime}"),
    Case("onnxruntime-gpu", "{name: onnxruntime, device: gpu}", packaging="volume"),
    Case("triton", f"{{name: triton, {TRITON}, threads: 2}}"),
    Case("triton-gpu", f"{{name: triton, {TRITON}, gpus: 1}}", packaging="volume"),
    Case("kserve", "{name: kserve}", packaging="volume"),
    Case("tensorflow-serving", "{name: tensorflow-serving}", LOADED, "volume"),
    Case("torchserve", "{name: torchserve, workers: 2}", packaging="volume"),
    Case("vllm", "{name: vllm, tensor_parallel: 4, max_model_len: 8192, dtype: bfloat16}", WEIGHTS, "volume"),
)


def artifact(folder: Path, case: Case) -> Path:
    """Write what a build of the case's recipe would have made."""
    files = {
        "model.onnx": b"onnx",
        "model.json": json.dumps(CONTRACT).encode(),
        "golden.npz": b"",
        "baseline.json": b"",
    }
    if case.name == "tensorflow-serving":
        files |= {f"saved_model/{name}": b"tf" for name in ("saved_model.pb", "variables/variables.index")}
    if case.name == "torchserve":
        files["model.pt"] = b"torchscript"
    if case.name == "vllm":
        shards = [f"model-0000{one}-of-00002.safetensors" for one in (1, 2)]
        files = dict.fromkeys(("config.json", "tokenizer.json", "model.safetensors.index.json", *shards), b"hf")
        files[".cache/download"] = b"hidden"
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def extracted(layers: Iterable[Contents], root: Path) -> None:
    """Lay the layers out below `root`, as a container runtime does."""
    for layer in layers:
        with tarfile.open(fileobj=io.BytesIO(b"".join(layer.open()))) as archive:
            archive.extractall(root, filter="data")
