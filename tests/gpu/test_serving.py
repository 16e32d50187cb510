"""This project's server on an NVIDIA GPU. `make test-gpu` runs these, on a machine that has one."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.gpu import models as networks
from model_server.contract import ModelContract, load
from model_server.runtime import Session
from tests.gpu.conftest import Device
from tests.model_server import running
from tests.model_server.running import ROOT, Server

pytestmark = pytest.mark.gpu

Array = NDArray[Any]
NAMES = [f"{one}{kind}" for one in ("digits", "mnist", *networks.NETS) for kind in ("", networks.HALF)]
# Of the largest value of an answer. CUDA multiplies fp32 in tf32, which keeps three digits as float16 does; int8
# answers differ by a quantum where a sum lies between two.
TOLERANCE = {"digits": 0.03, "mnist": 0.03}
USUAL = 0.01


def test_a_server_without_a_gpu_refuses_to_start(device: Device, models: Path) -> None:
    settings = {"MODELSTACK_DEVICE": "cuda", "CUDA_VISIBLE_DEVICES": "", "MODELSTACK_MODELS": str(models)}
    done = subprocess.run(
        [device.python, "-m", "model_server"],
        cwd=ROOT,
        env=running.environment(models, settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == ""
    errors = [one for one in map(json.loads, done.stdout.splitlines()) if one["level"] == "error"]
    assert [one["message"] for one in errors] == ["cannot serve"]
    assert errors[0]["error"].startswith("MODELSTACK_DEVICE: 'cuda', but ")
    assert errors[0]["error"].endswith("give the pod a GPU and its driver, or bake the image with `device: cpu`")


@pytest.mark.parametrize("name", NAMES)
def test_most_nodes_of_a_model_run_on_the_gpu(
    device: Device, server: Server, name: str, tell: Callable[[str], None]
) -> None:
    if device.name == "cpu":
        pytest.skip("there is no choice on a CPU")
    line = next(one for one in server.lines if one["message"] == "model ready" and one["model"] == name)
    tell(f"{name}: {line['placed']}, inline {line['inline']}, up to {line['max_batch']}, {line['seconds']} s to load")
    # CUDA has no kernel for some of an int8 model's scales; what computes shapes stays on the CPU too.
    assert line["placed"]["cuda"] >= 4 * line["placed"].get("cpu", 0)


@pytest.mark.parametrize("name", NAMES)
def test_answers_over_http_are_those_of_the_cpu(
    server: Server, models: Path, name: str, tell: Callable[[str], None]
) -> None:
    contract = load(models / name)
    samples = fresh(contract, 12)
    wanted = on_the_cpu(contract, samples)
    with server.client() as client:
        got = np.concatenate([asked(client, contract, samples[at : at + 3]) for at in range(0, len(samples), 3)])
    limit = TOLERANCE.get(name, USUAL) * np.abs(wanted).max()
    tell(f"{name}: differs by {np.abs(got - wanted).max() / np.abs(wanted).max():.2g} of the largest value")
    np.testing.assert_allclose(got, wanted, rtol=0, atol=limit)
    # Another sample's answer would not pass for this one's.
    assert np.abs(np.roll(got, 1, axis=0) - wanted).max(axis=1).min() > limit


@pytest.mark.parametrize("name", networks.NETS)
def test_requests_that_arrive_together_share_runs_and_each_gets_its_own_answer(
    server: Server, models: Path, name: str, tell: Callable[[str], None]
) -> None:
    contract = load(models / name)
    line = next(one for one in server.lines if one["message"] == "model ready" and one["model"] == name)
    samples = fresh(contract, 24)
    wanted = on_the_cpu(contract, samples)
    limit = USUAL * np.abs(wanted).max()
    with server.client() as probe:
        before = batches(probe, name)
        with ThreadPoolExecutor(len(samples)) as pool:
            got = list(pool.map(lambda sample: repeated(server, contract, sample[None]), samples))
        count, runs = (now - then for now, then in zip(batches(probe, name), before, strict=True))
    for answers, one in zip(got, wanted, strict=True):
        for answer in answers:
            np.testing.assert_allclose(answer[0], one, rtol=0, atol=limit)
    tell(f"{name}: {count:.0f} samples in {runs:.0f} runs, inline {line['inline']}")
    assert count == len(samples) * REPEATED
    # Both are slow enough to run on a thread; a server that shares nothing runs as often as it is asked.
    assert not line["inline"]
    assert runs < count


def test_requests_of_changing_sizes_take_no_longer_than_requests_of_one(
    server: Server, models: Path, tell: Callable[[str], None]
) -> None:
    contract = load(models / "resnet50")
    samples = fresh(contract, 3)

    def seconds(counts: list[int]) -> float:
        begun = time.perf_counter()
        for count in counts:
            asked(client, contract, samples[:count])
        return time.perf_counter() - begun

    with server.client() as client:
        # Once each before they are timed: what is new takes longer the first time.
        seconds([2, 3])
        alike, changing = min(seconds([3] * 8) for _ in range(3)), min(seconds([2, 3] * 4) for _ in range(3))
    tell(f"resnet50: eight requests of 3 samples {alike:.3f} s, of 2 and 3 in turns {changing:.3f} s")
    # cuDNN prepares every convolution anew for another size, which took twenty times as long as a run.
    assert changing < 3 * alike


def test_sigterm_answers_what_is_under_way_and_ends_with_0(device: Device, models: Path, tmp_path: Path) -> None:
    (tmp_path / "encoder").symlink_to(models / "encoder")
    contract = load(models / "encoder")
    # Enough that a signal comes while most of it is still to do.
    rows = 256 if device.name == "cuda" else 8
    samples = np.repeat(fresh(contract, 1), rows, axis=0)
    wanted = on_the_cpu(contract, samples[:1])
    settings = {**device.settings, "MODELSTACK_DRAIN_SECONDS": "3"}
    with running.running(tmp_path, python=device.python, given=settings) as server:
        with server.client() as probe, ThreadPoolExecutor(16) as pool:
            answers = [pool.submit(one_answer, server, contract, samples) for _ in range(16)]
            while inflight(probe) < 8:
                assert not all(one.done() for one in answers), "every answer came before the signal"
            server.process.send_signal(signal.SIGTERM)
            for answer in answers:
                limit = USUAL * np.abs(wanted).max()
                np.testing.assert_allclose(answer.result(), np.repeat(wanted, rows, axis=0), rtol=0, atol=limit)
        assert server.process.wait(60) == 0


@pytest.mark.parametrize("name", ["encoder", "digits", "lookup"])
def test_bad_requests_are_refused_and_the_next_good_one_is_answered(server: Server, models: Path, name: str) -> None:
    contract = load(models / name)
    samples = golden(contract)[:2]
    with server.client() as client:
        wanted = asked(client, contract, samples)
        for body, headers in bad_requests(contract, samples):
            answer = client.post(f"/v2/models/{name}/infer", content=body, headers=headers)
            assert 400 <= answer.status_code < 500, answer.text
        for values in (np.full_like(samples, 2**31 - 1), np.full_like(samples, -(2**31)), np.full_like(samples, -1)):
            # No shape or type is wrong here; whatever the kernels make of it, they must not take the GPU with them.
            assert ask(client, contract, values).status_code in {200, 500}
        np.testing.assert_allclose(asked(client, contract, samples), wanted, rtol=1e-3, atol=1e-4)
    assert server.process.poll() is None


REPEATED = 8


def repeated(server: Server, contract: ModelContract, sample: Array) -> list[Array]:
    with server.client() as client:
        return [asked(client, contract, sample) for _ in range(REPEATED)]


def one_answer(server: Server, contract: ModelContract, samples: Array) -> Array:
    with server.client() as client:
        return asked(client, contract, samples)


def ask(client: httpx.Client, contract: ModelContract, samples: Array) -> httpx.Response:
    way = networks.way(contract)
    question = way.write(samples)
    return client.post(way.path, content=question.body, headers=dict(question.headers))


def asked(client: httpx.Client, contract: ModelContract, samples: Array) -> Array:
    answer = ask(client, contract, samples)
    assert answer.status_code == 200, answer.text
    scores: Array = networks.way(contract).read(answer.content, answer.headers)
    return scores.reshape(len(samples), -1)


def golden(contract: ModelContract) -> Array:
    with np.load(contract.golden) as file:
        inputs: Array = file["inputs"]
    return inputs


def fresh(contract: ModelContract, count: int) -> Array:
    """Return inputs that no golden set holds: those of a network anew, held-out ones of a model with noise on them."""
    if contract.name.removesuffix("-float16") in networks.NETS:
        return networks.samples(contract.name.removesuffix("-float16"), count, seed=int(time.time()))
    held = np.resize(golden(contract), (count, *golden(contract).shape[1:]))
    noise = np.random.default_rng().normal(0, 0.05, held.shape)
    made: Array = (held + noise).astype(held.dtype)
    return made


def on_the_cpu(contract: ModelContract, samples: Array) -> Array:
    session = Session(contract, 0, arena=True, device="cpu")
    found: Array = session.run({contract.inputs[0].name: samples}, contract.outputs)[0]
    return found.reshape(len(samples), -1)


def bad_requests(contract: ModelContract, samples: Array) -> list[tuple[bytes, dict[str, str]]]:
    """Return requests whose shape, length, type or JSON is wrong."""
    right = networks.way(contract).write(samples)
    head, raw = json.loads(right.body.split(b"]}", 1)[0] + b"]}"), samples.tobytes()
    found = [(os.urandom(200), {}), (right.body[:-3], dict(right.headers)), (b"", {})]
    for key, value in (("shape", [2, 9, 9, 9, 9]), ("shape", [-1]), ("datatype", "BYTES"), ("name", "nobody")):
        spoilt = json.dumps({**head, "inputs": [{**head["inputs"][0], key: value}]}).encode()
        found.append((spoilt + raw, {**right.headers, "Inference-Header-Content-Length": str(len(spoilt))}))
    return found


def batches(client: httpx.Client, name: str) -> tuple[float, float]:
    """Return samples and runs of a model so far."""
    return series(client, f'modelstack_batch_samples_sum{{model="{name}"'), series(
        client, f'modelstack_batch_samples_count{{model="{name}"'
    )


def inflight(client: httpx.Client) -> float:
    return series(client, "modelstack_inflight")


def series(client: httpx.Client, start: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(start))
