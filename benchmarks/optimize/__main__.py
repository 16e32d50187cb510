"""`python -m benchmarks.optimize`: a table a model, and one line each at the end. Run it by `make bench-optimize`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.optimize import ours as builds
from benchmarks.optimize.contenders import Contender, of_onnx, of_torch
from benchmarks.optimize.ours import Ours
from benchmarks.optimize.peers.environments import quantized
from benchmarks.optimize.rows import EAGER, FP32, OURS, Found, Row, faster_peers
from benchmarks.optimize.timing import interleaved
from model_build.data import Inputs
from model_build.events import Sink, sink_for
from model_build.host import instruction_sets
from model_build.places import ROOT
from model_build.probes import first

PEERS = {"olive": "Olive 0.13", "nncf": "NNCF 3.4"}
# What a peer's users would name first: 3.x of Neural Compressor has no quantizer for ONNX, and Olive's pass needs 2.x.
LEFT_OUT = {"Neural Compressor 3.10": "quantizes torch, TensorFlow and JAX; its ONNX part left the package with 3.0"}
MODELS = {"digits": (7, 8, 9), "mnist": (7, 8, 9), "minilm": (7,)}
CALIBRATION = 300
WITHIN = {"accuracy": 0.003, "cosine": 0.003}
TOKENS = 128


def main() -> int:
    """Measure; returns 0."""
    options = _options()
    torch.set_num_threads(1)
    sink = sink_for(as_json=False, stream=sys.stderr)
    results = [_measured(model, options.rounds, sink) for model in options.models]
    for found in results:
        print("\n".join(found.lines()), end="\n\n")
        for row in faster_peers(found, WITHIN[found.figure]):
            print(f"{found.model}: {row.name} is faster and within {WITHIN[found.figure]}\n")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    told = {"host": instruction_sets(), "rounds": options.rounds, "models": [one.values() for one in results]}
    options.out.write_text(json.dumps(told, indent=1) + "\n")
    for found in results:
        print(found.last_line())
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.optimize", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), metavar="MODEL")
    parser.add_argument("--rounds", type=int, default=15, help="turns that each contender takes (default: 15)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "optimize.json")
    return parser.parse_args()


def _measured(model: str, rounds: int, sink: Sink) -> Found:
    built = {seed: builds.build(model, seed, sink) for seed in MODELS[model]}
    own = next(iter(built.values()))
    with tempfile.TemporaryDirectory() as folder:
        contenders, skipped = _contenders(own, Path(folder))
        test = own.split("test")
        wanted = contenders[0].answer_all(test.inputs)
        one, many = (interleaved(contenders, _batch(own, test.inputs, count), rounds) for count in (1, 32))
        rows = []
        for contender in contenders:
            quality = own.task.figures(contender.answer_all(test.inputs), test, wanted)[own.task.figure]
            rows.append(Row.of(contender, quality, one[contender.name], many[contender.name]))
    seeds = {seed: float(build.built.step("gates").stored.facts[own.task.figure]) for seed, build in built.items()}
    return Found(model, own.task.figure, tuple(rows), skipped, seeds)


def _contenders(own: Ours, folder: Path) -> tuple[list[Contender], dict[str, str]]:
    fp32 = of_onnx(FP32, own.fp32, None)
    found = [of_torch(EAGER, own.source, fp32.size), fp32, of_onnx(OURS, own.served, own.seconds)]
    kind = "transformer" if own.task.figure == "cosine" else "cnn"
    calibration = own.split("train").inputs[:CALIBRATION]
    skipped = dict(LEFT_OUT)
    for peer, name in PEERS.items():
        made = quantized(peer, own.fp32, calibration, kind, folder / f"{peer}.onnx")
        if made.path is None:
            skipped[name] = made.reason
            continue
        found.append(of_onnx(name, made.path, made.seconds))
    return found, skipped


def _batch(own: Ours, inputs: Inputs, count: int) -> Inputs:
    """Return samples for a latency; of texts rows of 128 tokens, all of them written."""
    if own.recipe.task == "classification":
        return first(inputs, count)
    written: Inputs = inputs[inputs != 0][: count * TOKENS].reshape(count, TOKENS)
    return written


if __name__ == "__main__":
    sys.exit(main())
