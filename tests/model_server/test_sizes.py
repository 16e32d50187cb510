"""Models for which another batch size than the last one's is dear: they run at one size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_server import golden, measuring
from model_server.contract import TensorSpec, load
from model_server.runtime import Session
from tests.model_server.running import BIAS, WEIGHTS

Array = NDArray[Any]


class Recording:
    """A session of onnxruntime's that notes how many samples each run had."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.sizes: list[int] = []

    def run(self, names: list[str], fed: dict[str, Array], options: Any) -> Any:
        self.sizes.append(len(fed["x"]))
        return self.session.run(names, fed, options)


@pytest.mark.parametrize(("count", "many", "alone"), [(1, [], [1]), (2, [4], []), (4, [4], []), (9, [4, 4, 4], [])])
def test_a_settled_session_answers_any_number_of_samples_by_runs_of_one_size(
    models: Path, count: int, many: list[int], alone: list[int]
) -> None:
    session = Session(load(models / "linear"), 1, arena=True)
    session.settle(4)
    whole, single = Recording(session._session), Recording(session._alone)
    session._session, session._alone = whole, single
    sent: Array = np.arange(count * 4, dtype=np.float32).reshape(count, 4)
    (answer,) = session.run({"x": sent}, session.contract.outputs)
    np.testing.assert_allclose(answer, sent @ WEIGHTS + BIAS, rtol=1e-5)
    assert (whole.sizes, single.sizes) == (many, alone)


class Device(Session):
    """The linear model on a device of which a clock of its own says how long a run takes."""

    def __init__(self, folder: Path, seconds: Callable[[int], float], change: float) -> None:
        super().__init__(load(folder), 1, arena=True)
        self.now, self.last, self.settled = 0.0, 0, 0
        self._cost, self._change = seconds, change

    def settle(self, size: int) -> None:
        self.settled = size

    def run(self, inputs: dict[str, Array], outputs: tuple[TensorSpec, ...], run: Any = None) -> list[Array]:
        count = len(inputs["x"])
        self.now += self._cost(count) + self._change * (count != self.last)
        self.last = count
        return super().run(inputs, outputs, run)


def limit(device: Device, most: int, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("time.perf_counter", lambda: device.now)
    inputs, wanted = golden.read_golden(device.contract)
    # As a server does with the golden set, which ends with a sample alone.
    assert golden.check(device, inputs, wanted) is None
    return measuring.settled(device, inputs, most)


def test_a_device_that_prepares_each_size_anew_is_settled_on_the_smallest_that_pays(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As measured of a ResNet-50: 2 ms and 0.2 ms a sample, 0.1 s for a change.
    device = Device(models / "linear", lambda count: 0.002 + 0.0002 * count, 0.1)
    assert limit(device, 64, monkeypatch) == 32
    assert device.settled == 32


def test_a_device_to_which_sizes_are_alike_takes_any(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(models / "linear", lambda count: 0.002 + 0.0002 * count, 0.001)
    assert limit(device, 64, monkeypatch) == 64
    assert device.settled == 0


def test_a_size_whose_run_holds_others_up_is_not_tried_further(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Twice as many samples a second with every step, and no end to it.
    device = Device(models / "linear", lambda _: 0.06, 0.5)
    assert limit(device, 64, monkeypatch) == 2


def test_a_server_that_runs_one_sample_at_a_time_is_not_settled(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(models / "linear", lambda _: 0.002, 0.1)
    assert limit(device, 1, monkeypatch) == 1
    assert device.settled == 0
