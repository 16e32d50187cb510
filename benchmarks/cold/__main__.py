"""`python -m benchmarks.cold`: a model of the running stack, again and again on a node without it. `make bench-cold`.

Takes every model of the embedded platform off its node meanwhile, for images share layers, and brings them back.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from benchmarks.cold.cluster import Cluster, Deployed, connected
from benchmarks.cold.cri import remove_image
from benchmarks.cold.timeline import Timeline, timeline
from benchmarks.serve import asking
from benchmarks.serve.serving import FailedError, Truth, asked_early, require
from local import node
from local.errors import PlatformError
from local.instance import locate
from local.node import Node
from model_build.environment import build_interpreter
from model_build.places import ROOT
from model_server.contract import GOLDEN_FILE

ANSWER_SECONDS = 120.0
POLL_SECONDS = 0.005
WAY = asking.V2
RECIPE = ROOT / "models" / "digits" / "recipe.yaml"


def main() -> int:
    """Measure; returns 0, or 1 where the platform or its model is not there."""
    options = _options()
    instance = locate(options.instance)
    running = node.running(instance)
    if running is None:
        print(f"error: platform {instance.name!r} does not run; run `make up` first", file=sys.stderr)
        return 1
    try:
        with connected(instance) as cluster:
            truth = _golden()
            found, entry = _measured(cluster, running, truth, options.rounds)
    except (FailedError, PlatformError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    print("\n".join(_lines(found, entry)))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold", description=__doc__)
    parser.add_argument("--instance", help="default: MODELSTACK_INSTANCE, else `default`")
    parser.add_argument("--rounds", type=int, default=5, help="cold starts (default: 5)")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "cold.json")
    return parser.parse_args()


def _golden() -> Truth:
    """Return the digits that the image carries with the scores that they must have; builds what the cache has not."""
    python = build_interpreter(lambda line: print(line, file=sys.stderr, flush=True))
    with tempfile.TemporaryDirectory() as folder:
        command: list[str | Path] = [python, "-m", "model_build", "export", "--recipe", RECIPE, "--out", folder]
        done = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
        if done.returncode:
            raise FailedError(f"{RECIPE.name}: its build ended with {done.returncode}")
        golden = np.load(Path(folder) / GOLDEN_FILE)
        return Truth([one[None] for one in golden["inputs"]], list(golden["outputs"]))


def _measured(cluster: Cluster, running: Node, truth: Truth, rounds: int) -> tuple[list[Timeline], str]:
    deployed = cluster.deployed()
    own = next((one for one in deployed if one.name == "digits"), None)
    if own is None:
        raise FailedError("no stack has deployed the model digits; run `make up` first")
    found = []
    try:
        for turn in range(rounds):
            found.append(_Cold(cluster, running, deployed, own, truth).start())
            print(f"{turn + 1}  {found[-1].answer:.2f} s", file=sys.stderr, flush=True)
    finally:
        for one in deployed:
            cluster.scale(one, one.replicas)
    return found, own.entry


@dataclass(frozen=True)
class _Cold:
    cluster: Cluster
    running: Node
    deployed: Sequence[Deployed]
    own: Deployed
    truth: Truth

    def start(self) -> Timeline:
        """Take every model off the node, ask for one pod of ours, and return how it came up."""
        for one in self.deployed:
            self.cluster.scale(one, 0)
        self.cluster.wait_until_gone(self.deployed)
        for one in self.deployed:
            remove_image(self.running.root, one.image)
        asked = time.time()
        self.cluster.scale(self.own, 1)
        answered = self._first_answer(asked)
        pod = self.cluster.pods(self.own)[0]
        of_pod = f"/api/v1/namespaces/{self.own.namespace}"
        events = self.cluster.get(f"{of_pod}/events?fieldSelector=involvedObject.uid={pod['metadata']['uid']}")["items"]
        log = self.cluster.get(f"{of_pod}/pods/{pod['metadata']['name']}/log")
        return timeline(pod, events, log, asked, answered)

    def _first_answer(self, asked: float) -> float:
        while time.time() < asked + ANSWER_SECONDS:
            answer = asked_early(self.own.port, WAY, self.truth.digits[0])
            if answer is not None:
                answered = time.time()
                require(answer, self.truth.scores[0])
                return answered
            time.sleep(POLL_SECONDS)
        raise FailedError(f"no answer within {ANSWER_SECONDS:.0f} s")


def _lines(found: Sequence[Timeline], entry: str) -> list[str]:
    one = Timeline(*(statistics.median(getattr(turn, field.name) for turn in found) for field in fields(Timeline)))
    steps = {
        f"pod to process (pull of {one.size / 1e6:.0f} MB {one.pull:.2f} s)": one.container,
        "process to listening": one.listening - one.container,
        "listening to model ready": one.ready - one.listening,
        f"model ready to first answer through {entry}": one.answer - one.ready,
    }
    told = [f"{name:<60}{seconds:>6.2f} s" for name, seconds in steps.items()]
    return [*told, f"cold digits: {one.answer:.2f} s from pod to first right answer, pull {one.pull:.2f} s"]


if __name__ == "__main__":
    sys.exit(main())
