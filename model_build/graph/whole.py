"""An ONNX file of somebody else's, read whole: external data only from beside it, nothing cut short."""

from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from model_build.errors import RecipeError

LARGEST = 2**31 - 1  # bytes that one protobuf message may have


def open_whole(path: Path) -> onnx.ModelProto:
    """Return the checked model with all its weights in it; raises RecipeError saying what is wrong with the file."""
    model = _read(path)
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            _require_beside(path, tensor)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:
        raise _unusable(path, f"its external data cannot be read ({error})", "export it again") from error
    if model.ByteSize() > LARGEST:
        raise _unusable(path, f"it has {model.ByteSize()} bytes, the limit is {LARGEST}", "take a smaller model")
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise _unusable(path, f"it is no sound ONNX: {said}", "export it again") from error
    return model


def _read(path: Path) -> onnx.ModelProto:
    try:
        model: onnx.ModelProto = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError, ValueError) as error:
        raise _unusable(path, f"it cannot be read ({error})", "check that it was copied whole") from error
    if not model.graph.node:
        raise _unusable(path, "its graph has no node", "check that it was copied whole")
    return model


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _require_beside(path: Path, tensor: onnx.TensorProto) -> None:
    location = next((one.value for one in tensor.external_data if one.key == "location"), "")
    folder = path.parent.resolve()
    wanted = folder / location
    if any(part.startswith(".") and part != ".." for part in Path(location).parts):
        what = f"tensor {tensor.name!r} keeps its data in {location!r}, which is hidden"
        raise _unusable(path, what, "give it a name that the inputs' hash sees")
    if Path(location).is_absolute() or ".." in Path(location).parts or not wanted.resolve().is_relative_to(folder):
        raise _unusable(
            path,
            f"tensor {tensor.name!r} keeps its data in {location!r}, which leaves the model's folder",
            "keep external data beside the .onnx file, without links",
        )
    if not wanted.is_file():
        raise _unusable(path, f"tensor {tensor.name!r} keeps its data in {location!r}, which is no file", "copy it too")


def _unusable(path: Path, what: str, remedy: str) -> RecipeError:
    return RecipeError(f"steps[0].load.file: {path.name}: {what}; {remedy}")
