"""Distillation and depthwise-separable convolutions in whole builds."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.model_build.builder import Builder
from tests.model_build.houses import Events, House, open_house, ran

pytestmark = pytest.mark.build
TRAIN = "train: {epochs: 8, learning_rate: 0.01}"
NETWORKS = """
def student() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 4 * 4, 10)
    )


def teacher() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * 4 * 4, 10)
    )


def build"""
PARAMETERS = {"source": 85_258, "student": 8 * 9 + 8 + 128 * 10 + 10, "teacher": 16 * 9 + 16 + 256 * 10 + 10}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, builder: Builder, shared_cache: Path) -> Iterator[House]:
    made = open_house(tmp_path_factory.mktemp("house"), shared_cache, builder)
    with made.changed("model.py", r"\ndef build", NETWORKS):
        yield made


def built(house: House, *steps: str, accuracy: float = 0.3) -> tuple[int, Events]:
    with ExitStack() as stack:
        stack.enter_context(house.changed("recipe.yaml", r"max_drop: [\d.]+", "max_drop: 0.9"))
        stack.enter_context(house.changed("recipe.yaml", r"min_accuracy: [\d.]+", f"min_accuracy: {accuracy}"))
        return house.built(*steps)


def facts(house: House, events: Events, step: str = "distill") -> dict[str, float]:
    found: dict[str, float] = house.report(events)["facts"][step]
    return found


def test_a_student_of_its_own_factory_learns_from_the_trained_model(house: House) -> None:
    code, events = built(house, f"distill: {{student: 'model.py:student', {TRAIN.replace('8,', '12,')}}}", accuracy=0.8)
    assert code == 0, events[-1]
    told = facts(house, events)
    assert (told["parameters_before"], told["parameters"]) == (PARAMETERS["source"], PARAMETERS["student"])
    assert events[-1]["metrics"]["size_ratio"] < 0.1


def test_a_teacher_of_its_own_factory_is_trained_once(house: House) -> None:
    teacher = f"teacher: {{model: 'model.py:teacher', {TRAIN}}}"
    step = f"distill: {{student: 'model.py:student', {teacher}, {TRAIN}}}"
    code, events = built(house, step)
    assert code == 0, events[-1]
    assert "teacher" in ran(events)
    assert facts(house, events)["parameters_before"] == PARAMETERS["teacher"]
    code, events = built(house, step.replace("student:", "temperature: 2.0, student:"))
    assert code == 0, events[-1]
    assert ran(events)[:1] == ["distill"]


def test_a_student_learns_from_a_layer_of_its_teacher(house: House) -> None:
    step = f"distill: {{student: 'model.py:student', features: {{teacher: '6', student: '2'}}, {TRAIN}}}"
    code, events = built(house, step)
    assert code == 0, events[-1]
    assert facts(house, events)["parameters"] == PARAMETERS["student"]


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ("{teacher: '6', student: '9'}", "steps.distill.features.student: '9' is no layer of the model"),
        ("{teacher: '0', student: '2'}", "gives [1, 32, 8, 8] a sample and '2' [1, 8, 4, 4], the limit is one size"),
    ],
)
def test_layers_that_cannot_be_compared_end_with_3_and_what_can(house: House, features: str, said: str) -> None:
    code, events = built(house, f"distill: {{student: 'model.py:student', features: {features}, {TRAIN}}}")
    assert (code, events[-1]["kind"]) == (3, "recipe")
    assert said in events[-1]["message"]


def test_separable_convolutions_have_fewer_parameters_and_are_distilled_from_the_trained_model(house: House) -> None:
    code, events = built(house, "separable: {}", f"distill: {{{TRAIN}}}")
    assert code == 0, events[-1]
    full, apart = 32 * 64 * 9 + 64, 32 * 9 + 32 * 64 + 64
    assert facts(house, events)["parameters"] == PARAMETERS["source"] - full + apart
    assert facts(house, events)["parameters_before"] == PARAMETERS["source"]


def test_a_separable_model_can_be_pruned(house: House) -> None:
    prune = "prune: {method: structured, amount: 0.5, finetune: {epochs: 1}}"
    code, events = built(house, "separable: {}", f"distill: {{{TRAIN}}}", prune)
    assert code == 0, events[-1]
    assert facts(house, events, "prune")["parameters"] < 0.5 * facts(house, events)["parameters"]


def test_a_layer_that_is_no_full_convolution_ends_with_3_and_those_that_are(house: House) -> None:
    code, events = built(house, "separable: {layers: ['0', '3']}", f"distill: {{{TRAIN}}}")
    assert (code, events[-1]["kind"]) == (3, "recipe")
    assert "steps.separable.layers: ['0']" in events[-1]["message"]
    assert "the limit is one of ['3']" in events[-1]["message"]


def test_the_loss_of_answers_is_what_the_paper_says(house: House) -> None:
    script = house.root / "script.py"
    script.write_text(
        "import torch\n"
        "from model_build.optimize.distill import answers_loss\n"
        "student, teacher = torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 0.0]])\n"
        "labels = torch.tensor([0])\n"
        "for hard in (0.0, 0.25, 1.0):\n"
        "    print(answers_loss(student, teacher, labels, {'temperature': 2.0, 'hard_labels': hard}).item())\n"
    )
    done = house.python(script)
    assert done.returncode == 0, done.stderr
    soft, mixed, hard = map(float, done.stdout.split())
    # By hand: KL of softmax(1.5, 0) from softmax(0.5, 0), times 2 squared; -log softmax(1, 0) of label 0.
    assert soft == pytest.approx(0.36095, abs=1e-4)
    assert hard == pytest.approx(0.31326, abs=1e-4)
    assert mixed == pytest.approx(0.25 * hard + 0.75 * soft, abs=1e-6)
