"""The graphs in ONNX Runtime's build for the web: every operator of every design is there, and gives the same numbers."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.interchange.test_onnx import (
    BASE,
    DECODER,
    ENCODER,
    ENCODERS,
    SEQ2SEQ,
    WRITES,
    arrays,
    ids,
    make,
    past_of,
    session,
)

from weft.config import FOLDERS, GeneratorConfig, ModelConfig, TranslatorConfig
from weft.interchange.onnx_models import make_graphs

NODE = shutil.which("node") or ""
PACKAGE = Path(os.environ.get("WEFT_NODE_MODULES", "node_modules")).resolve() / "onnxruntime-web"

PROGRAM = """
const fs = require("fs");
const ort = require(process.argv[2]);
ort.env.wasm.numThreads = 1;
async function run() {
  const said = {};
  for (const [name, inputs] of Object.entries(JSON.parse(fs.readFileSync("cases.json")))) {
    const file = new Uint8Array(fs.readFileSync(`${name}.onnx`));
    const model = await ort.InferenceSession.create(file, { executionProviders: ["wasm"] });
    const given = {};
    for (const [input, { type, shape, numbers }] of Object.entries(inputs)) {
      const data = type === "int64" ? BigInt64Array.from(numbers.map(BigInt)) : Float32Array.from(numbers);
      given[input] = new ort.Tensor(type, data, shape);
    }
    const found = Object.entries(await model.run(given));
    said[name] = Object.fromEntries(found.map(([output, each]) => [output, Array.from(each.data, Number)]));
  }
  fs.writeFileSync("said.json", JSON.stringify(said));
}
run();
"""


class Case(NamedTuple):
    file: bytes
    inputs: dict[str, NDArray[Any]]


def cases(*, int8: bool) -> Iterator[Case]:
    for fields in WRITES.values():
        config = GeneratorConfig(model=ModelConfig.model_validate(BASE | DECODER | fields))
        files = make_graphs(config, arrays(make(config)), int8=int8)
        past = past_of(config.model, rows=3)
        yield Case(files["model.onnx"], past | {"ids": ids(3, 9).numpy(), "scored": np.array([9])})
    for fields in [*WRITES.values(), {"pointer": True}]:
        model = ModelConfig.model_validate(BASE | SEQ2SEQ | fields)
        writer = TranslatorConfig(directions=(("de", "en"),), tags=False, model=model)
        files = make_graphs(writer, arrays(make(writer)), int8=int8)
        source = {"source": ids(2, 7).numpy()}
        yield Case(files["encoder.onnx"], source)
        given = session(files, "encoder.onnx")(source) | source | past_of(model, rows=4)
        yield Case(files["decoder.onnx"], given | {"ids": ids(4, 5).numpy(), "scored": np.array([5])})
    for fields in ENCODERS.values():
        model = ModelConfig.model_validate(BASE | ENCODER | fields)
        reader = FOLDERS["masked-lm"].model_validate({"model": model, "heads": ("masked",)})
        given = {"ids": ids(3, 9).numpy(), "places": np.array([[0, 2], [2, 8]])}
        given |= {"segments": ids(3, 9).numpy() % 2} if model.segments else {}
        yield Case(make_graphs(reader, arrays(make(reader)), int8=int8)["model.onnx"], given)


@pytest.mark.slow
@pytest.mark.skipif(
    not NODE or not PACKAGE.is_dir(),
    reason="needs node, and npm's onnxruntime-web in the folder that WEFT_NODE_MODULES names",
)
@pytest.mark.parametrize("int8", [False, True])
def test_the_web_build_runs_every_design(int8: bool, tmp_path: Path) -> None:
    made = {str(number): case for number, case in enumerate(cases(int8=int8))}
    asked = {}
    for name, case in made.items():
        (tmp_path / f"{name}.onnx").write_bytes(case.file)
        asked[name] = {
            each: {"type": array.dtype.name, "shape": array.shape, "numbers": array.ravel().tolist()}
            for each, array in case.inputs.items()
        }
    (tmp_path / "cases.json").write_text(json.dumps(asked))
    (tmp_path / "run.js").write_text(PROGRAM)
    subprocess.run([NODE, "run.js", str(PACKAGE)], cwd=tmp_path, check=True)
    said = json.loads((tmp_path / "said.json").read_text())
    for name, case in made.items():
        for output, expected in session({"it": case.file}, "it")(case.inputs).items():
            found = np.array(said[name][output])
            if (
                int8
            ):  # where a number lies between two whole ones, the last bit decides to which it is rounded
                assert np.abs(found - expected.ravel()).mean() < 0.03 * expected.std() + 1e-4, (name, output)
            else:
                np.testing.assert_allclose(found, expected.ravel(), atol=1e-4, rtol=1e-4)
