"""Models of TensorFlow and Keras in whole builds: converted, and held to what TensorFlow answers."""

import shutil
import subprocess
from pathlib import Path

import pytest

from model_build import environment
from model_build.places import ROOT
from tests.model_build.builder import Builder
from tests.model_build.houses import House, open_house

pytestmark = [pytest.mark.build, pytest.mark.timeout(1200)]
RECIPE = """\
version: 1
name: nets
data: data.py:channels_last
sources: [{{client: installed, package: scikit-learn}}]
seed: 7
steps:
  - load: {{format: tensorflow, file: {file}, trust: tensorflow}}
  - quantize: {{method: static-int8}}
gates: {{min_accuracy: 0.8, max_drop: 0.1, max_size_ratio: 1.0, parity: {{atol: 1.0e-4, batches: [1, 2, 7]}}}}
"""
# A convolutional network of Keras, trained on the digits of the split that the gates do not see.
TRAIN = """
import sys
import numpy as np
import tensorflow as tf
tf.keras.utils.set_random_seed(7)
folder, train = sys.argv[1:3]
held = np.load(train)
layers = tf.keras.layers
model = tf.keras.Sequential([
    tf.keras.Input((8, 8, 1)),
    layers.Conv2D(16, 3, padding="same", activation="relu"), layers.BatchNormalization(),
    layers.MaxPooling2D(), layers.Conv2D(32, 3, activation="relu"), layers.Flatten(), layers.Dense(10),
])
loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(tf.keras.optimizers.Adam(3e-3), loss)
model.fit(held["inputs"], held["labels"], epochs=6, verbose=0)
model.save(f"{folder}/model.keras")
model.save(f"{folder}/model.h5")
model.export(f"{folder}/saved", verbose=False)
"""

# The signature that TensorFlow Serving answers by, on the golden set.
ASK = """
import sys
import numpy as np
import tensorflow as tf
golden = np.load(f"{sys.argv[1]}/golden.npz")
serving = tf.saved_model.load(f"{sys.argv[1]}/saved_model").signatures["serving_default"]
((name, _),) = serving.structured_input_signature[1].items()
(answer,) = serving(**{name: tf.constant(golden["inputs"])}).values()
print(float(np.abs(answer.numpy() - golden["outputs"]).max()))
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, builder: Builder) -> House:
    """A house with one Keras model in each of its formats."""
    made = open_house(tmp_path_factory.mktemp("house"), tmp_path_factory.mktemp("cache"), builder)
    folder = made.root / "models" / "nets"
    shutil.copytree(Path(__file__).with_name("nets"), folder)
    python = environment.interpreter(environment.TENSORFLOW, print)
    splits = made.root / "splits.py"
    splits.write_text(
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from data import channels_last; from model_build.data import Sources, save\n"
        "save(channels_last(Sources(7, {})), Path(sys.argv[2]))\n"
    )
    held = made.root / "held"
    held.mkdir()
    done = made.python(splits, folder, held)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [python, "-c", TRAIN, folder, held / "train.npz"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return made


@pytest.mark.parametrize("file", ["model.keras", "model.h5", "saved"])
def test_a_model_of_keras_is_served_as_tensorflow_answers(house: House, file: str) -> None:
    code, events = house.of("nets", RECIPE.format(file=file)).build()
    assert code == 0, events[-1]
    metrics = events[-1]["metrics"]
    assert metrics["source_accuracy"] > 0.9
    assert max(metrics["parity"].values()) < 1e-4


@pytest.mark.parametrize("file", ["model.keras", "saved"])
def test_tensorflow_serving_is_given_the_model_that_the_gates_judged(house: House, file: str) -> None:
    text = RECIPE.format(file=file).replace("  - quantize: {method: static-int8}\n", "")
    code, events = house.of("nets", f"{text}runtime: {{name: tensorflow-serving}}\n").build()
    assert code == 0, events[-1]
    artifact = Path(events[-1]["artifact"])
    assert (artifact / "saved_model" / "variables" / "variables.index").is_file()
    assert (artifact / "saved_model" / "fingerprint.pb").is_file() == (file == "saved")
    python = environment.interpreter(environment.TENSORFLOW, print)
    done = subprocess.run([python, "-c", ASK, artifact], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) < 1e-4


def test_a_file_that_is_no_model_is_refused(house: House) -> None:
    (house.root / "models" / "nets" / "broken.keras").write_bytes(b"no model")
    code, events = house.of("nets", RECIPE.format(file="broken.keras")).build()
    assert (code, events[-1]["kind"]) == (3, "recipe"), events[-1]
    assert "broken.keras cannot be used by TensorFlow (convert)" in events[-1]["message"]


def test_the_program_does_not_know_tensorflow() -> None:
    assert "tensorflow" not in (ROOT / "requirements-build.txt").read_text()
