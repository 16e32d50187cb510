"""The table of servers: where each wants a model's files, with which settings, and what a pod is told."""

import json
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from model_build.oci.layer import packed
from model_build.oci.tar import Entry
from model_build.places import ROOT
from model_build.recipe_runtimes import Triton
from model_build.runtimes import triton
from model_build.runtimes.runtime import Runtime
from tests.model_build.served import CASES, CONTRACT, Case, artifact

MANY = [pytest.param(case, id=case.name) for case in CASES]
NAMED = {case.name: case for case in CASES}


def laid_out(folder: Path, case: Case) -> dict[str, Entry]:
    """Return what the server's layers hold, by path."""
    layers = packed(case.made.layout(artifact(folder, case)))
    return {entry.name: entry for layer in layers for entry in layer.entries}


def config_of(folder: Path, case: Case) -> model_config_pb2.ModelConfig:
    """Return config.pbtxt as Triton reads it: an unknown key or a wrong type raises."""
    written = laid_out(folder, case)["models/digits/config.pbtxt"].content
    assert isinstance(written, bytes)
    return text_format.Parse(written.decode(), model_config_pb2.ModelConfig())


@pytest.mark.parametrize("case", MANY)
def test_an_image_holds_the_paths_that_the_server_reads_and_no_other(tmp_path: Path, case: Case) -> None:
    found = laid_out(tmp_path, case).values()
    told = [f"{entry.name}{'/' if entry.content is None else ''}" for entry in found]
    assert told == (case.golden / "paths.txt").read_text().splitlines()


@pytest.mark.parametrize("case", MANY)
def test_each_file_of_settings_is_written_as_expected(tmp_path: Path, case: Case) -> None:
    written = {
        path: entry.content for path, entry in laid_out(tmp_path, case).items() if isinstance(entry.content, bytes)
    }
    wanted = {path.name: path.read_bytes() for path in case.golden.iterdir()}
    del wanted["paths.txt"], wanted["pod.json"]
    assert {Path(path).name: content for path, content in written.items()} == wanted


@pytest.mark.parametrize("case", MANY)
def test_a_pod_is_told_ports_probes_metrics_and_how_to_start(case: Case) -> None:
    wanted = json.loads((case.golden / "pod.json").read_text())
    assert case.made.told(case.parsed.packaging) == wanted


@pytest.mark.parametrize("case", MANY)
def test_every_server_is_probed_and_scraped_on_a_port_it_has(case: Case) -> None:
    made = case.made
    assert next(iter(made.ports)) == "http"
    assert made.metrics[0] in made.ports


def test_grpc_of_a_recipe_is_a_second_port_of_its_pod_and_a_layer_of_its_image() -> None:
    made = Case("grpc", "{name: onnxruntime, grpc: true}", packaging="volume").made
    told = made.told("volume")
    assert told["ports"] == {"http": 8080, "grpc": 8081}
    assert told["env"]["MODELSTACK_GRPC_PORT"] == "8081"
    assert made.wheels == ("requirements-image.txt", "requirements-image-grpc.txt")
    plain = Case("plain", "{name: onnxruntime}").made
    assert (plain.ports, plain.wheels) == ({"http": 8080}, ("requirements-image.txt",))


@pytest.mark.parametrize("name", ["triton", "triton-gpu", "kserve"])
def test_tritons_own_schema_reads_the_configuration(tmp_path: Path, name: str) -> None:
    found = config_of(tmp_path, NAMED[name])
    (given,), (answer,) = found.input, found.output
    assert (found.name, found.backend) == ("digits", "onnxruntime")
    assert (given.name, given.data_type, list(given.dims)) == ("input", model_config_pb2.TYPE_FP32, [1, 8, 8])
    assert (answer.name, list(answer.dims), answer.label_filename) == ("logits", [10], "labels.txt")


def test_batching_of_a_recipe_reaches_triton(tmp_path: Path) -> None:
    found = config_of(tmp_path, NAMED["triton"])
    assert found.max_batch_size == 16
    assert found.dynamic_batching.max_queue_delay_microseconds == 500
    (group,) = found.instance_group
    assert (group.count, group.kind) == (2, model_config_pb2.ModelInstanceGroup.KIND_CPU)
    assert found.parameters["intra_op_thread_count"].string_value == "2"


def test_a_gpu_of_a_recipe_reaches_triton(tmp_path: Path) -> None:
    (group,) = config_of(tmp_path, NAMED["triton-gpu"]).instance_group
    assert group.kind == model_config_pb2.ModelInstanceGroup.KIND_GPU


def test_triton_is_given_a_text_model_as_token_ids_of_any_length() -> None:
    text = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}]}
    contract = {**CONTRACT, **text, "tokens": {"file": "tokenizer.json", "most": 128, "input": "input"}}
    written = triton.config(Triton(name="triton"), contract)
    (given,) = text_format.Parse(written, model_config_pb2.ModelConfig()).input
    assert (given.name, given.data_type, list(given.dims)) == ("input", model_config_pb2.TYPE_INT64, [-1])


def test_weights_of_64_mib_are_a_layer_of_their_own_in_every_layout(tmp_path: Path) -> None:
    folder = artifact(tmp_path, NAMED["triton"])
    with (folder / "model.onnx").open("wb") as stream:
        stream.truncate(64 * 1024 * 1024)
    bundle, weights = packed(NAMED["triton"].made.layout(folder))
    assert [entry.name for entry in weights.entries] == ["models/digits/1/model.onnx"]
    assert "models/digits/config.pbtxt" in {entry.name for entry in bundle.entries}


def test_the_layers_of_a_server_are_the_same_bytes_from_another_folder(tmp_path: Path) -> None:
    for case in CASES:
        one, other = (packed(case.made.layout(artifact(tmp_path / name / case.name, case))) for name in ("a", "b"))
        assert [layer.read().digest for layer in one] == [layer.read().digest for layer in other], case.name


@pytest.mark.parametrize("case", MANY)
def test_the_documented_table_says_what_the_table_is(case: Case) -> None:
    made = case.made
    rows = (line.split(" | ") for line in (ROOT / "docs" / "runtimes.md").read_text().splitlines())
    (row,) = [one for one in rows if one[0] == f"| `{made.name}`" and len(one) > 8]
    _, _, _, starts, ports, health, metrics, *_ = row
    assert set(starts.strip("`").split()) - {"…", "N", "<name>"} <= spelled(made)
    assert ports == ", ".join(f"{name} {number}" for name, number in made.ports.items())
    wanted = ["`triton`"] if made.name == "kserve" else [f"`{made.health.ready.path}`", f"`{made.health.live.path}`"]
    assert all(one.replace("digits", "<name>") in health or one in health for one in wanted)
    assert metrics == "`{}` `{}`".format(*made.metrics)


def spelled(made: Runtime) -> set[str]:
    """Return the words that a document may spell a command with."""
    words = {word.replace("digits", "<name>") for word in made.command}
    return words | {Path(made.command[0]).name, "--tensor-parallel-size=N", "vllm"}
