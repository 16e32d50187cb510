"""The steps of a recipe, each with its parameters."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

NAME, NAME_LENGTH = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", 40  # a label of RFC 1123, short enough for what is added to it
Name = Annotated[str, Field(pattern=NAME, max_length=NAME_LENGTH)]
Share = Annotated[float, Field(ge=0, le=1)]
# No part hidden: what is hidden is no part of the inputs' hash.
FILE = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$"
DynamicAxes = tuple[Annotated[int, Field(ge=1, le=7)], ...]
EntryPoint = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*\.py:[A-Za-z_][A-Za-z0-9_]*$", max_length=200)]


class Frozen(BaseModel):
    """A part of a recipe: immutable, every key known, every type exact."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Augment(Frozen):
    """What training does to a batch; validation and test are never touched."""

    shift: int = Field(default=0, ge=0, le=16, description="pixels, each way, filled with zeros")
    rotate: float = Field(default=0.0, ge=0, le=180, description="degrees, each way, about the middle")
    scale: float = Field(default=0.0, ge=0, le=0.5, description="share of the size, larger and smaller")


class Train(Frozen):
    """Seeded training with early stopping on validation loss, from the start or of what a step left."""

    epochs: int = Field(ge=1, le=10_000)
    batch_size: int = Field(default=64, ge=2, le=65_536)
    learning_rate: float = Field(default=1e-3, gt=0, le=10)
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    patience: int = Field(default=5, ge=1, le=10_000)
    augment: Augment = Augment()


OF_FACTORY = ("module", "state-dict", "safetensors")
FIXED_GRAPH = ("torch-export", "torchscript")
GRAPH = ("onnx", "tensorflow")
BESIDE_THE_RECIPE = ("module", "torch-export", "torchscript", "pickle", "huggingface")
_DANGER = {
    "pickle": "runs whatever code its writer put into it as it is opened",
    "torchscript": "is deprecated by torch and runs operators of whoever wrote it",
    "torch-export": "may hold pickles, which torch opens with it",
    "tensorflow": "is a program, whose operators may read and write files",
}


class Load(Frozen):
    """A model that is trained already: what a factory returns, or a file beside the recipe.

    TensorFlow may be a folder, and huggingface is one: safetensors, config.json and a tokenizer.
    """

    format: Literal[
        "module",
        "state-dict",
        "safetensors",
        "torch-export",
        "torchscript",
        "pickle",
        "onnx",
        "tensorflow",
        "huggingface",
    ]
    file: Annotated[str, Field(pattern=FILE, max_length=200)] | None = None
    source: Annotated[str, Field(max_length=214)] | None = Field(
        default=None, description="the data package that has the file; without it the file lies beside the recipe"
    )
    trust: Literal["pickle", "torchscript", "torch-export", "tensorflow"] | None = None
    dynamic_axes: DynamicAxes = Field(default=(), max_length=2, description="of a graph, as in export")

    @model_validator(mode="after")
    def _is_trusted(self) -> Self:
        if (self.file is None) != (self.format == "module"):
            wanted = "has a file, which a module does not read; remove it" if self.file else "has no file; name it"
            raise ValueError(f"of format {self.format} {wanted}")
        if self.source is not None and self.format in BESIDE_THE_RECIPE:
            raise ValueError(f"of format {self.format} has a source; keep its file beside the recipe")
        if self.format in _DANGER and self.trust != self.format:
            safe = "save it as ONNX" if self.format in GRAPH else "save a state_dict as safetensors"
            raise ValueError(
                f"of format {self.format} {_DANGER[self.format]}; {safe} instead, or write "
                f"`trust: {self.format}` where you trust {self.file}"
            )
        if self.dynamic_axes and self.format not in GRAPH:
            raise ValueError(f"of format {self.format} has dynamic_axes; name them in export")
        if self.trust is not None and self.trust != self.format:
            raise ValueError(f"of format {self.format} needs no trust; remove `trust: {self.trust}`")
        return self


class Prune(Frozen):
    """Weights set to zero (unstructured: smaller when compressed, not faster) or channels removed (structured)."""

    method: Literal["unstructured", "structured"]
    amount: float = Field(gt=0, lt=1, description="share of the weights, or of each layer's channels")
    round_to: int = Field(default=4, ge=1, le=256, description="structured: channels left are a multiple of it")
    finetune: Train


class Separable(Frozen):
    """Convolutions replaced by a depthwise and a pointwise one (MobileNets, arXiv:1704.04861), to be distilled next."""

    layers: tuple[Annotated[str, Field(max_length=200)], ...] | None = Field(
        default=None, min_length=1, max_length=1000
    )


class Teacher(Frozen):
    """A larger model, trained for a student to learn from."""

    model: EntryPoint
    train: Train


class Features(Frozen):
    """A layer of the student that learns to answer as one of the teacher (FitNets, arXiv:1412.6550)."""

    teacher: str = Field(max_length=200)
    student: str = Field(max_length=200)
    weight: float = Field(default=1.0, gt=0, le=1000)


class Distill(Frozen):
    """A student that learns from softened answers and hard labels (Hinton et al., arXiv:1503.02531).

    Without `teacher` it is the model that `train` made; without `student` it is what the step before left.
    """

    train: Train
    student: EntryPoint | None = None
    teacher: Teacher | None = None
    temperature: float = Field(default=4.0, ge=1, le=100)
    hard_labels: Share = Field(default=0.1, description="share of the loss that hard labels have")
    features: Features | None = None


class Export(Frozen):
    """ONNX with a dynamic batch, and any length along further axes of the input."""

    opset: int = Field(default=20, ge=18, le=23)
    dynamic_axes: DynamicAxes = Field(default=(), max_length=2, description="such as [1], the tokens of a text")


class KeepFp32(Frozen):
    """Nodes left out of int8, the costliest first, until validation drops by no more than `max_drop`."""

    max_drop: Share
    max_nodes: int = Field(default=4, ge=1, le=256)


OF_INT8 = frozenset({"instructions", "per_channel"})
QUANTIZE_KEYS = {
    "static-int8": OF_INT8 | {"calibration", "percentile", "calibration_samples", "keep_fp32"},
    "dynamic-int8": OF_INT8 | {"outliers", "calibration_samples"},
    "qat-int8": frozenset({"instructions", "finetune"}),
    "float16": frozenset[str](),
}


class Quantize(Frozen):
    """int8 or float16; static int8 is calibrated on training data, qat-int8 trained with it."""

    method: Literal["static-int8", "dynamic-int8", "qat-int8", "float16"]
    instructions: Literal["avx2", "avx512-vnni", "arm64"] = Field(
        default="avx2", description="what the served model runs on; avx2 is right on every x86-64 machine"
    )
    per_channel: bool = True
    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    percentile: float = Field(default=99.99, ge=50, le=100)
    calibration_samples: int = Field(default=200, ge=1, le=100_000)
    keep_fp32: KeepFp32 | None = None
    outliers: int = Field(
        default=0, ge=0, le=64, description="dynamic-int8: channels of each product's input that stay in fp32"
    )
    finetune: Train | None = Field(default=None, description="qat-int8: how the quantized model is trained")

    @model_validator(mode="after")
    def _keys_of_its_method(self) -> Self:
        foreign = sorted(self.model_fields_set - {"method"} - QUANTIZE_KEYS[self.method])
        if foreign:
            raise ValueError(f"has {', '.join(foreign)}, which {self.method} does not use; remove it")
        if self.method == "dynamic-int8" and not self.outliers and "calibration_samples" in self.model_fields_set:
            raise ValueError("has calibration_samples, which dynamic-int8 does not use without outliers; remove it")
        if self.method == "qat-int8" and self.instructions == "arm64":
            raise ValueError("of method qat-int8 has instructions arm64, whose signed activations static-int8 makes")
        if self.method == "qat-int8" and self.finetune is None:
            raise ValueError("of method qat-int8 has no finetune; say how it is trained: `finetune: {epochs: 5}`")
        return self


class Step(Frozen):
    """One step: a mapping with the step's name as its only key."""

    train: Train | None = None
    load: Load | None = None
    prune: Prune | None = None
    separable: Separable | None = None
    distill: Distill | None = None
    export: Export | None = None
    quantize: Quantize | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        named = [key for key in type(self).model_fields if getattr(self, key) is not None]
        if len(named) != 1:
            raise ValueError(
                f"names {len(named)} steps, the limit is 1; write one of {', '.join(type(self).model_fields)}"
            )
        return self

    @property
    def name(self) -> str:
        """The step's name."""
        return next(key for key in type(self).model_fields if getattr(self, key) is not None)

    @property
    def learns(self) -> bool:
        """Whether the step trains on labels."""
        return bool(self.train or self.prune or self.distill or (self.quantize and self.quantize.finetune))

    @property
    def values(self) -> dict[str, Any]:
        """The step's parameters as plain values."""
        return dict(getattr(self, self.name).model_dump(mode="json"))
