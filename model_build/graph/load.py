"""The load step of a graph: ONNX, checked, in one file, with the names that the rest of a build knows."""

import tempfile
from pathlib import Path
from typing import Any

import onnx
import onnx.version_converter

from model_build.artifact import MODEL
from model_build.errors import RecipeError
from model_build.graph import names
from model_build.graph.whole import open_whole
from model_build.job import Job, loaded_file
from model_build.optimize import clean
from model_build.tasks import TASKS

SOURCE = "source.onnx"
OLDEST_OPSET = 13  # quantization per channel came with it
WANTED_OPSET = 17


def run(job: Job) -> dict[str, Any]:
    """Keep the graph as it came and as it goes on; raises RecipeError for what no build can go on with."""
    model = _opened(job)
    clean.save(model, job.out / SOURCE)
    clean.save(normal(model, TASKS[job.params["task"]].output), job.out / MODEL)
    return {"format": job.params["format"], "size": (job.out / MODEL).stat().st_size}


def _opened(job: Job) -> onnx.ModelProto:
    if job.params["format"] != "tensorflow":
        return open_whole(loaded_file(job))
    # Its environment is of use to this format alone.
    from model_build.graph.from_tensorflow import convert  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        converted = Path(folder) / "converted.onnx"
        convert(job, converted)
        return open_whole(converted)


def normal(model: onnx.ModelProto, output: str) -> onnx.ModelProto:
    """Return the model with one input and one output of our names, at an opset that every later step reads."""
    for kind, found in zip(("input", "output"), names.ends(model.graph), strict=True):
        if len(found) != 1:
            raise RecipeError(
                f"steps[0].load.file: the graph has the {kind}s {found}, the limit is 1; export it with one {kind}"
            )
    _require_any_batch(model.graph)
    if _opset(model) < OLDEST_OPSET:
        model = _converted(model)
    names.give(model.graph, output)
    return model


def _require_any_batch(graph: onnx.GraphProto) -> None:
    for tensor in (*graph.input, *graph.output):
        sizes = tensor.type.tensor_type.shape.dim
        if any(tensor.name in end for end in names.ends(graph)) and sizes and sizes[0].HasField("dim_value"):
            raise RecipeError(
                f"steps[0].load.file: {tensor.name!r} has a fixed batch of {sizes[0].dim_value}, the limit is a "
                "dynamic one; export it with a dynamic first axis"
            )


def _opset(model: onnx.ModelProto) -> int:
    return next((one.version for one in model.opset_import if one.domain in {"", "ai.onnx"}), 1)


def _converted(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return onnx.version_converter.convert_version(model, WANTED_OPSET)
    except Exception as error:
        raise RecipeError(
            f"steps[0].load.file: the graph's opset {_opset(model)} cannot be raised to {WANTED_OPSET}: {error}; "
            f"export it at opset {OLDEST_OPSET} or newer"
        ) from error
