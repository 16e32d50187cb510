import shutil
from pathlib import Path

import pytest

from model_build import inputs
from model_build.errors import EnvironmentFault, RecipeError
from model_build.places import ROOT
from tests.model_build.conftest import replaced

BASE = "127.0.0.1:5000/base@sha256:" + "0" * 64


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout: what the inputs are computed from."""
    for folder in ("model_build", "model_server"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "code.py").write_text("code = 1\n")
    for name in ("build", "image", "image-gpu", "image-grpc"):
        shutil.copy(ROOT / f"requirements-{name}.txt", tmp_path)
    shutil.copytree(ROOT / "models" / "digits", tmp_path / "models" / "digits")
    return tmp_path


def of(checkout: Path, base: str | None = BASE) -> inputs.Inputs:
    return inputs.compute(checkout / "models" / "digits" / "recipe.yaml", base, root=checkout)


def test_the_hash_does_not_depend_on_the_folder(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("elsewhere") / "deep" / "er"
    shutil.copytree(checkout, other)
    assert of(checkout) == of(other)


def test_the_hash_does_not_depend_on_caches_and_hidden_files(checkout: Path) -> None:
    before = of(checkout)
    (checkout / "model_build" / "__pycache__").mkdir()
    (checkout / "model_build" / "__pycache__" / "code.cpython-311.pyc").write_bytes(b"x")
    (checkout / "models" / "digits" / ".model.py.swp").write_bytes(b"x")
    assert of(checkout) == before


def test_the_hash_does_not_depend_on_another_recipe_of_the_model(checkout: Path) -> None:
    before = of(checkout)
    (checkout / "models" / "digits" / "recipe-other.yaml").write_text("version: 1\n")
    assert of(checkout) == before


def test_the_hash_does_not_depend_on_how_the_recipe_is_spelled(checkout: Path) -> None:
    before = of(checkout)
    recipe = checkout / "models" / "digits" / "recipe.yaml"
    recipe.write_text("# a comment\n" + recipe.read_text().replace("seed: 7", "seed:   7"))
    assert of(checkout).hash == before.hash


def test_the_hash_depends_on_the_digest_of_the_base_and_not_on_its_name(checkout: Path) -> None:
    assert of(checkout, BASE).hash == of(checkout, BASE.replace("127.0.0.1:5000/base", "ghcr.io/other")).hash
    assert of(checkout, BASE).hash != of(checkout, BASE.replace("0" * 64, "1" * 64)).hash


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("model_build/code.py", "model_build"),
        ("model_server/code.py", "model_server"),
        ("models/digits/model.py", "model sources"),
        ("requirements-build.txt", "build requirements"),
        ("requirements-image.txt", "image requirements"),
    ],
)
def test_a_changed_file_changes_its_part_alone(checkout: Path, path: str, part: str) -> None:
    before = of(checkout)
    with (checkout / path).open("a") as stream:
        stream.write("# changed\n")
    assert of(checkout).reason(before.parts, before.recipe) == f"{part} changed"


def test_a_changed_parameter_is_told_by_key_old_and_new_value(checkout: Path) -> None:
    before = of(checkout)
    replaced(checkout / "models" / "digits" / "recipe.yaml", "opset: 20", "opset: 21")
    assert of(checkout).reason(before.parts, before.recipe) == "recipe: steps.export.opset: 20 → 21"


def test_nothing_changed_is_no_reason(checkout: Path) -> None:
    assert not of(checkout).reason(of(checkout).parts, of(checkout).recipe)


def test_a_pinned_data_version_is_part_of_the_data(checkout: Path) -> None:
    before = of(checkout)
    pinned = inputs.pinned_version("scikit-learn", checkout)
    replaced(checkout / "requirements-build.txt", f"scikit-learn=={pinned}", "scikit-learn==0.0.1")
    assert "data changed" in of(checkout).reason(before.parts, before.recipe)


def test_a_base_without_a_digest_is_refused(checkout: Path) -> None:
    with pytest.raises(RecipeError, match="has no digest"):
        of(checkout, "127.0.0.1:5000/base:latest")


def test_a_link_out_of_the_models_folder_is_refused(checkout: Path) -> None:
    (checkout / "models" / "digits" / "secret").symlink_to("/etc/hostname")
    with pytest.raises(RecipeError, match="no file inside"):
        of(checkout)


def test_a_checkout_without_its_requirements_is_named(checkout: Path) -> None:
    (checkout / "requirements-image.txt").unlink()
    with pytest.raises(EnvironmentFault, match=r"requirements-image\.txt: cannot be read"):
        of(checkout)


def test_what_a_recipe_always_was_may_be_named_without_another_hash(checkout: Path) -> None:
    before = of(checkout)
    recipe = checkout / "models" / "digits" / "recipe.yaml"
    replaced(recipe, "{name: onnxruntime}", "{name: onnxruntime, device: cpu, grpc: false}\npackaging: baked")
    assert of(checkout).hash == before.hash


def test_an_image_with_grpc_hangs_on_its_wheel_too(checkout: Path) -> None:
    replaced(checkout / "models" / "digits" / "recipe.yaml", "{name: onnxruntime}", "{name: onnxruntime, grpc: true}")
    for lock in ("requirements-image.txt", "requirements-image-grpc.txt"):
        before = of(checkout)
        with (checkout / lock).open("a") as stream:
            stream.write("# changed\n")
        assert of(checkout).reason(before.parts, before.recipe) == "image requirements changed"


def test_an_image_with_the_wheels_of_gpus_does_not_hang_on_those_of_the_cpu(checkout: Path) -> None:
    recipe = checkout / "models" / "digits" / "recipe.yaml"
    replaced(recipe, "{name: onnxruntime}", "{name: onnxruntime, device: gpu}")
    before = of(checkout)
    with (checkout / "requirements-image.txt").open("a") as stream:
        stream.write("# changed\n")
    assert of(checkout).hash == before.hash
    with (checkout / "requirements-image-gpu.txt").open("a") as stream:
        stream.write("# changed\n")
    assert of(checkout).reason(before.parts, before.recipe) == "image requirements changed"


def test_packaging_and_server_are_told_by_key_where_they_change(checkout: Path) -> None:
    before = of(checkout)
    recipe = checkout / "models" / "digits" / "recipe.yaml"
    replaced(recipe, "{name: onnxruntime}", "{name: triton, max_batch_size: 4}\npackaging: volume")
    said = of(checkout).reason(before.parts, before.recipe)
    assert "runtime.name: onnxruntime → triton" in said
    assert "packaging: absent → volume" in said
    assert "image requirements changed" in said
