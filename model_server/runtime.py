"""onnxruntime behind a contract: a session, checked against model.json when it is loaded."""

from __future__ import annotations

import contextlib
import io
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from model_server.contract import ModelContract, TensorSpec, TokensSpec
from model_server.errors import ConfigError, RunError
from model_server.tensors import NUMPY_TYPES, Array

if TYPE_CHECKING:
    from model_server.tokens import Tokens

ONNX_TYPES = {
    "BOOL": "tensor(bool)",
    "FP16": "tensor(float16)",
    "FP32": "tensor(float)",
    "FP64": "tensor(double)",
} | {name: f"tensor({name.lower()})" for name in NUMPY_TYPES if "INT" in name}


CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
PROVIDERS = {"cpu": [CPU], "cuda": [CUDA, CPU]}
# Trying every way to convolve takes a second for each new shape, and found none that was faster.
OPTIONS: dict[str, list[dict[str, str]]] = {"cpu": [{}], "cuda": [{"cudnn_conv_algo_search": "HEURISTIC"}, {}]}
# onnxruntime names its own source file before what the driver or a library of CUDA said.
FAILURE = re.compile(r"(?:CUDA|CUDNN|CUBLAS|CUFFT)[A-Z]* (?:failure|error) [^;\n]{1,200}")


class Run:
    """One run that can be stopped while it computes."""

    def __init__(self) -> None:
        self.options = ort.RunOptions()
        self.options.log_severity_level = 4

    @property
    def stopped(self) -> bool:
        """True once the run was told to end."""
        return bool(self.options.terminate)

    def stop(self) -> None:
        """Make the run end early, in a RunError; onnxruntime looks between two nodes of the graph."""
        self.options.terminate = True


class Session:
    """A model loaded into onnxruntime on `cpu` or `cuda`; safe to run from several threads at once.

    `placed` counts the nodes that run on each, where there is a choice: {"cuda": 98, "cpu": 2}. Raises ConfigError.
    """

    def __init__(self, contract: ModelContract, threads: int, *, arena: bool, device: str = "cpu") -> None:
        self.contract = contract
        self._open = partial(_open, contract, threads, arena=arena, device=device)
        self._tokens = None if contract.tokens is None else _tokens(contract.tokens)
        self._session = self._open()
        self._alone: Any = None
        self._size = 0
        self.placed = {} if device == "cpu" else _placed(contract, self._session)
        _check_signature(contract, "inputs", contract.graph_inputs, self._session.get_inputs())
        _check_signature(contract, "outputs", contract.outputs, self._session.get_outputs())
        self._every_output = [spec.name for spec in contract.outputs]

    def settle(self, size: int) -> None:
        """Run several samples `size` at a time from now on, and a lone one in a session of its own; no tokens.

        For models that take long to prepare for another size than the last run's. Raises ConfigError.
        """
        self._alone = self._open()
        self._size = size

    def new_run(self) -> Run:
        """Return a run, not begun."""
        return Run()

    def run(self, inputs: dict[str, Array], outputs: tuple[TensorSpec, ...], run: Run | None = None) -> list[Array]:
        """Return the arrays of `outputs`; raises RunError, also after `run.stop()`."""
        names = self._every_output if outputs is self.contract.outputs else [spec.name for spec in outputs]
        try:
            arrays = self._run(names, self._fed(inputs), None if run is None else run.options)
        except Exception as error:  # onnxruntime's own classes are not public
            raise RunError(_reason(error)) from error
        return arrays

    def _run(self, names: list[str], fed: dict[str, Array], options: Any) -> list[Array]:
        count = len(next(iter(fed.values()))) if self._size else 0
        if count < 2 or count == self._size:
            session = self._alone if count == 1 else self._session
            arrays: list[Array] = session.run(names, fed, options)
            return arrays
        found = [self._session.run(names, part, options) for part in _parts(fed, count, self._size)]
        return [np.concatenate(arrays)[:count] for arrays in zip(*found, strict=True)]

    def _fed(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Return what the graph takes: texts as token ids, anything else as it came."""
        if self._tokens is None:
            return inputs
        return {
            spec.name: self._tokens.encode(texts.tolist())
            for spec, texts in zip(self.contract.graph_inputs, inputs.values(), strict=True)
        }


def _parts(fed: dict[str, Array], count: int, size: int) -> Iterator[dict[str, Array]]:
    """Yield `size` samples at a time, the last of them again and again where they do not suffice."""
    for start in range(0, count, size):
        at = np.minimum(np.arange(start, start + size), count - 1)
        yield {name: array[at] for name, array in fed.items()}


def _tokens(spec: TokensSpec) -> Tokens:
    # Most models take no text, and start without the library.
    from model_server.tokens import Tokens  # noqa: PLC0415

    return Tokens(spec.file, spec.most)


def _reason(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _open(contract: ModelContract, threads: int, *, arena: bool, device: str) -> Any:
    # Below fatal, onnxruntime writes to standard error in a form of its own; what matters comes as an exception.
    ort.set_default_logger_severity(4)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = arena
    # Threads that spin while they wait eat the quota that the next request needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Of a choice of devices onnxruntime tells which node runs where.
    options.add_session_config_entry("session.record_ep_graph_assignment_info", str(int(device != "cpu")))
    said = _prepare(device)
    try:
        # It would go on with the CPU alone where the GPU fails, now or in a later run.
        session = ort.InferenceSession(
            str(contract.file),
            options,
            providers=PROVIDERS[device],
            provider_options=OPTIONS[device],
            enable_fallback=0,
        )
    except Exception as error:  # onnxruntime's own classes are not public
        failure = FAILURE.search(str(error))
        if failure is not None:
            raise _without(device, failure[0].strip()) from error
        raise ConfigError(
            f"{contract.file}: onnxruntime {ort.__version__} cannot load it ({_reason(error)}); bake it again"
        ) from error
    _require_device(device, session.get_providers(), said)
    return session


def _prepare(device: str) -> str:
    """Load CUDA from the wheels that lie beside onnxruntime's own; returns what failed, if anything did.

    Raises ConfigError for an onnxruntime without CUDA.
    """
    _require_device(device, ort.get_available_providers())
    if device == "cpu":
        return ""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        ort.preload_dlls(directory="")
    return next(iter(said.getvalue().splitlines()), "")


def _require_device(device: str, found: list[str], said: str = "") -> None:
    # Without the libraries of CUDA onnxruntime goes on with the CPU alone.
    if PROVIDERS[device][0] not in found:
        raise _without(device, said or f"onnxruntime {ort.__version__} has only {', '.join(found)}")


def _without(device: str, reason: str) -> ConfigError:
    return ConfigError(
        f"MODELSTACK_DEVICE: {device!r}, but {reason}; "
        "give the pod a GPU and its driver, or bake the image with `device: cpu`"
    )


def _placed(contract: ModelContract, session: Any) -> dict[str, int]:
    """Count the nodes on each device; raises ConfigError where none is on the GPU."""
    names = {CUDA: "cuda", CPU: "cpu"}
    counted: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counted[names.get(part.ep_name, part.ep_name)] += len(part.get_nodes())
    if counted and "cuda" not in counted:
        raise ConfigError(
            f"{contract.file}: MODELSTACK_DEVICE is 'cuda', but none of its {counted.total()} nodes can run there; "
            "bake it with `device: cpu`, or with another method of `quantize`"
        )
    return dict(counted)


def _check_signature(contract: ModelContract, part: str, specs: tuple[TensorSpec, ...], found: list[Any]) -> None:
    where = f"{contract.folder / 'model.json'}: {part}"
    by_name = {one.name: one for one in found}
    names = {spec.name for spec in specs}
    if part == "inputs" and set(by_name) != names:
        raise ConfigError(f"{where}: {sorted(names)}, but {contract.file.name} has {sorted(by_name)}")
    for spec in specs:
        node = by_name.get(spec.name)
        if node is None:
            raise ConfigError(f"{where}: {spec.name!r} is not in {contract.file.name}, which has {sorted(by_name)}")
        if node.type != ONNX_TYPES[spec.datatype]:
            raise ConfigError(f"{where}: {spec.name!r} is {spec.datatype}, but {contract.file.name} says {node.type}")
        if not _agrees(spec, node.shape, exactly=part == "inputs"):
            raise ConfigError(
                f"{where}: {spec.name!r} is {list(spec.shape)}, but {contract.file.name} says {list(node.shape)}"
            )


def _agrees(spec: TensorSpec, shape: list[int | str | None], *, exactly: bool) -> bool:
    """Return whether the file's `shape`, where free dimensions are names, takes all that `spec` promises."""
    if len(shape) != len(spec.shape):
        # onnxruntime also says [] where a file leaves an output's shape open.
        return not exactly and not shape
    fixed = [(want, real) for want, real in zip(spec.shape, shape, strict=True) if isinstance(real, int)]
    return all(want == real or (want == -1 and not exactly) for want, real in fixed)
