"""The server's native module: what it is made from, and that the same sources make the same bytes."""

import io
import platform
import shutil
from pathlib import Path

import pytest

from model_build import inputs, native, runtimes
from model_build import recipe as recipes
from model_build.bake import server_contents
from model_build.cache import StepStore
from model_build.errors import EnvironmentFault, RecipeError
from model_build.events import Lines, Reporter
from model_build.places import ROOT, cache_root
from tests.model_build.conftest import replaced

BASE = "127.0.0.1:5000/base@sha256:" + "0" * 64
HERE = native.MACHINES.get(platform.machine(), "")
needs_cargo = pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")
RUNTIME = "runtime: {name: onnxruntime}"


def silent(_: str) -> None:
    """Take a line of progress."""


@pytest.fixture(scope="module")
def module() -> Path:
    return native.build(StepStore(cache_root()), silent)


@pytest.fixture
def asking(recipe: Path) -> Path:
    """A recipe that asks for the module, for this machine's platform."""
    replaced(recipe, RUNTIME, "runtime: {name: onnxruntime, native: true}")
    replaced(recipe, "linux/amd64", HERE)
    return recipe


@needs_cargo
@pytest.mark.build
def test_the_same_sources_in_another_folder_make_the_same_bytes(tmp_path: Path, module: Path) -> None:
    shutil.copytree(
        ROOT / native.FOLDER, tmp_path / "else where" / native.FOLDER, ignore=shutil.ignore_patterns("target")
    )
    other = native.build(StepStore(tmp_path / "cache"), silent, tmp_path / "else where")
    assert other.read_bytes() == module.read_bytes()


@needs_cargo
def test_nothing_in_the_module_names_this_machine(module: Path) -> None:
    content = module.read_bytes()
    for folder in (ROOT, cache_root(), Path.home() / ".cargo"):
        assert str(folder).encode() not in content


@needs_cargo
def test_a_module_that_is_built_is_not_built_again(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "_compiled", None)
    assert native.build(StepStore(cache_root()), silent) == module


@needs_cargo
def test_an_image_holds_the_module_where_its_recipe_asks_for_it(asking: Path, module: Path) -> None:
    runtime = runtimes.of(recipes.load(asking))
    reporter = Reporter.start(Lines(io.StringIO()), "bake")
    contents = server_contents(runtime, HERE, StepStore(cache_root()), reporter)
    (entry,) = contents[-1].entries
    assert entry.path == f"opt/modelstack/server/{native.FILE}"
    assert entry.content == module
    assert runtime.env["MODELSTACK_NATIVE"] == "1"


@needs_cargo
def test_the_inputs_hash_depends_on_the_module_only_where_it_is_asked_for(recipe: Path, tmp_path: Path) -> None:
    plain = inputs.compute(recipe, BASE)
    assert inputs.NATIVE not in plain.parts
    replaced(recipe, RUNTIME, "runtime: {name: onnxruntime, native: false}")
    assert inputs.compute(recipe, BASE).hash == plain.hash
    replaced(recipe, "native: false", "native: true")
    replaced(recipe, "linux/amd64", HERE)
    assert inputs.compute(recipe, BASE).hash != plain.hash


@needs_cargo
def test_a_changed_source_lock_or_compiler_makes_another_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / native.FOLDER, tmp_path / native.FOLDER, ignore=shutil.ignore_patterns("target"))
    seen = {native.made_from(tmp_path)}
    for name in ("src/lib.rs", "Cargo.lock"):
        with (tmp_path / native.FOLDER / name).open("a") as stream:
            stream.write("\n")
        seen.add(native.made_from(tmp_path))
    monkeypatch.setattr(native, "_compiler", lambda: "rustc 9.9.9")
    seen.add(native.made_from(tmp_path))
    assert len(seen) == 4


def test_a_module_for_another_platform_is_refused(recipe: Path) -> None:
    other = next(one for one in native.MACHINES.values() if one != HERE)
    replaced(recipe, RUNTIME, "runtime: {name: onnxruntime, native: true}")
    replaced(recipe, "[linux/amd64]", f"[{other}]")
    with pytest.raises(RecipeError, match=rf"native: true is built for this machine alone \({HERE}\), not for {other}"):
        inputs.compute(recipe, BASE)


def test_without_a_compiler_the_remedy_is_told(asking: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EnvironmentFault, match=r"rustc cannot be run .* install Rust 1\.88 or newer, or write native"):
        inputs.compute(asking, BASE)


@needs_cargo
def test_sources_that_do_not_compile_are_one_line(tmp_path: Path) -> None:
    shutil.copytree(ROOT / native.FOLDER, tmp_path / native.FOLDER, ignore=shutil.ignore_patterns("target"))
    (tmp_path / native.FOLDER / "Cargo.toml").write_text("[package]\nname = 7\n")
    with pytest.raises(EnvironmentFault, match=r"cargo ended with 101: .*; check the network, a C linker and Rust"):
        native.build(StepStore(tmp_path / "cache"), silent, tmp_path)


def test_a_module_that_asks_for_a_newer_c_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / native.FILE).write_bytes(b"\x7fELF GLIBC_2.17\0 GLIBC_2.39\0")
    with pytest.raises(EnvironmentFault, match=r"linked to glibc 2\.39, the limit is 2\.34"):
        native._require_old_libraries(tmp_path / native.FILE)
