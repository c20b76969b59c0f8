"""One model through three libraries: trained in PyTorch, taught more in TensorFlow, served from ONNX without either."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import weft
from weft.text.tokenizer import Tokenizer

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("tensorflow")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
keras = pytest.importorskip("keras")
weft_keras = pytest.importorskip("weft.keras")

NUMBERS = {"eins": "one", "zwei": "two", "drei": "three", "vier": "four", "fünf": "five"}
SERVE = """
import json, sys
sys.modules["torch"] = sys.modules["tensorflow"] = None  # as if they were not installed
import weft
translator = weft.load(sys.argv[1])
print(json.dumps([each.text for each in translator.translate(json.loads(sys.argv[2]), beams=2)]))
"""


def test_trained_in_pytorch_taught_in_tensorflow_served_from_onnx(tmp_path: Path) -> None:
    pairs = [([a, b], [NUMBERS[a], NUMBERS[b]]) for a in NUMBERS for b in NUMBERS]
    table = tmp_path / "pairs.tsv"
    lines = [f"{' '.join(source)}\t{' '.join(target)}" for source, target in pairs * 8]
    table.write_text("\n".join(["de\ten", *lines]), encoding="utf-8")
    weft.train(
        "translate",
        train=table,
        from_language="de",
        to_language="en",
        out=tmp_path / "run",
        preset="tiny",
        steps=20,
        overrides={"tokenizer.size": 60, "model.dropout": 0.0},
    )

    model = weft_keras.load(tmp_path / "run")
    tokenizer = Tokenizer.load(tmp_path / "run")
    sources, targets = (tokenizer.encode([" ".join(pair[side]) for pair in pairs * 8]) for side in (0, 1))
    special = model.config.special
    data = weft_keras.pair_batches([[*ids, special.end] for ids in sources], targets, special=special)
    model.compile(keras.optimizers.AdamW(3e-3), loss=weft_keras.CrossEntropy(pad=special.pad))
    history = model.fit(data, steps_per_epoch=10, epochs=6, shuffle=False, verbose=0).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    weft_keras.save(model, tmp_path / "more", like=tmp_path / "run")

    weft.export_model(tmp_path / "more", to="onnx", out=tmp_path / "served")
    asked = [" ".join(source) for source, _ in pairs]
    command = [sys.executable, "-c", SERVE, str(tmp_path / "served"), json.dumps(asked)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    here = weft.load(tmp_path / "more", precision="float32").translate(asked, beams=2)
    assert found == [each.text for each in here]
