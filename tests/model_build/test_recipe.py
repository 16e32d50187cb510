from pathlib import Path

import pytest

from model_build import recipe as recipes
from model_build.errors import RecipeError
from model_build.places import ROOT
from tests.model_build.conftest import replaced


@pytest.mark.parametrize("path", sorted((ROOT / "models").glob("*/*.yaml")), ids=lambda path: path.parent.name)
def test_the_recipes_of_this_project_are_sound(path: Path) -> None:
    assert recipes.load(path).name == path.parent.name


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("epochs: 30", "epochs: many", "steps[0].train.epochs: 'many'"),
        ("epochs: 30", "epochs: 0", "steps[0].train.epochs: 0"),
        ("seed: 7", "seeds: 7", "seeds"),
        ("min_accuracy: 0.97", "min_accuracy: 1.5", "gates.min_accuracy: 1.5"),
        ("min_accuracy: 0.97", "min_accuracy: .nan", "gates.min_accuracy"),
        ("name: digits", "name: Digits_1", "name: 'Digits_1'"),
        ("linux/amd64", "windows/amd64", "platforms"),
        ("static-int8", "int3", "quantize.method: 'int3'"),
        ("model: model.py:build", "model: ../model.py:build", "model: '../model.py:build'"),
        ("client: installed", "client: pip", "sources"),
        ("- export: {opset: 20}", "- export: {opset: 20}\n  - export: {opset: 20}", "steps"),
        ("- export: {opset: 20}", "- separable: {}\n  - export: {opset: 20}", "in the order train, separable, export"),
        (
            "method: static-int8",
            "method: dynamic-int8",
            "has calibration_samples, which dynamic-int8 does not use without outliers",
        ),
        (
            "gates:",
            "search: {candidates: {a: [{quantize: {method: float16}}]}}\ngates:",
            "steps beside search are in the order train",
        ),
        (
            "- export: {opset: 20}",
            "- distill: {student: nowhere.py:net, train: {epochs: 1}}\n  - export: {opset: 20}",
            "steps[1].distill.student: 'nowhere.py:net' names no file",
        ),
        ("{name: onnxruntime}", "{name: nginx}", "runtime: {'name': 'nginx'} must be one of 'onnxruntime', 'triton'"),
        ("{name: onnxruntime}", "{device: gpu}", "runtime: {'device': 'gpu'} has no name; write `name: onnxruntime`"),
        ("{name: onnxruntime}", "{name: onnxruntime, device: tpu}", "runtime.device: 'tpu'"),
        ("{name: onnxruntime}", "{name: triton, max_batch_size: 0}", "runtime.max_batch_size: 0"),
        ("{name: onnxruntime}", "{name: kserve}", "kserve, whose model is a volume; write `packaging: volume`"),
        ("{name: onnxruntime}", "{name: vllm}", "vllm, which serves a folder of safetensors alone; write `load:"),
        ("{name: onnxruntime}", "{name: tensorflow-serving}", "tensorflow-serving, which serves a SavedModel alone"),
        ("{name: onnxruntime}", "{name: torchserve}", "torchserve, which serves the model before it is quantized"),
        ("seed: 7", "seed: 7\npackaging: oci", "packaging: 'oci'"),
        ("data: data.py:load\n", "", "has no data; name its loader as `data: data.py:load`"),
        ("seed: 7", "seed: 7\ntask: generation", "has task generation and train, which do not go together"),
        ("version: 1", "version: 1\nversion: 1", "version"),
        ("seed: 7", "seed: !!python/object/apply:os.system ['true']", "line 7"),
    ],
)
def test_a_recipe_with_an_error_is_refused_by_its_key(recipe: Path, old: str, new: str, said: str) -> None:
    text = recipe.read_text()
    assert old in text
    recipe.write_text(text.replace(old, new, 1))
    with pytest.raises(RecipeError) as caught:
        recipes.load(recipe)
    message = str(caught.value)
    assert str(recipe) in message
    assert said in message
    assert ";" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "step",
    ["prune: {method: unstructured, amount: 0.3, finetune: {epochs: 1}}", "distill: {train: {epochs: 1}}"],
)
def test_an_embedding_is_not_trained_on_labels_that_it_has_not(step: str) -> None:
    text = (ROOT / "models" / "minilm" / "recipe.yaml").read_text().replace("  - export", f"  - {step}\n  - export")
    with pytest.raises(RecipeError, match="which trains on labels that a task of embedding has not; remove it"):
        recipes.parse(text.encode(), "recipe.yaml")


def test_a_recipe_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"nowhere\.yaml"):
        recipes.load(tmp_path / "nowhere.yaml")


def test_a_recipe_whose_model_file_is_missing_is_refused(recipe: Path) -> None:
    (recipe.parent / "model.py").unlink()
    with pytest.raises(RecipeError, match=r"model\.py"):
        recipes.load(recipe)


def test_a_recipe_with_an_unknown_key_names_the_key(recipe: Path) -> None:
    replaced(recipe, "seed: 7", "seed: 7\nsede: 8")
    with pytest.raises(RecipeError, match="sede"):
        recipes.load(recipe)


@pytest.mark.parametrize("name", ["triton", "onnxruntime, device: gpu"])
def test_every_recipe_of_onnx_may_be_served_by_another_server(recipe: Path, name: str) -> None:
    replaced(recipe, "{name: onnxruntime}", f"{{name: {name}}}\npackaging: volume")
    assert recipes.load(recipe).packaging == "volume"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: vllm", "name: onnxruntime", "has runtime onnxruntime, which no folder of weights runs on"),
        ("packaging: volume", "packaging: baked", "has runtime vllm, whose model is a volume"),
        ("task: generation\n", "", "do not go together; write `task: generation`"),
        ("gates: {}", "gates: {max_latency_ms: 5}", "has gates, which nothing measures text by here; remove it"),
        ("gates: {}", "gates: {}\ndata: data.py:load", "has data, which nothing measures text by here; remove it"),
        ("weights}}", "weights}}, {quantize: {method: float16}}", "load alone: huggingface is served as it is"),
        ("file: weights", "file: weights, source: words", "keep its file beside the recipe"),
    ],
)
def test_a_recipe_of_weights_holds_what_can_be_done_with_them(old: str, new: str, said: str) -> None:
    text = (
        "version: 1\nname: words\ntask: generation\nsteps: [{load: {format: huggingface, file: weights}}]\n"
        "gates: {}\nruntime: {name: vllm}\npackaging: volume\n"
    )
    assert recipes.parse(text.encode(), "recipe.yaml").task == "generation"
    assert old in text
    with pytest.raises(RecipeError) as caught:
        recipes.parse(text.replace(old, new).encode(), "recipe.yaml")
    assert said in str(caught.value)
