"""A trained translator learns on, from the same folder and for as long, in PyTorch and in TensorFlow: the BLEU of both."""

import json
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

import weft
from benchmarks.multi30k import read_lines
from benchmarks.report import Options, Row
from weft.errors import UserError
from weft.models.seq2seq import Seq2Seq
from weft.nn import vocabulary_loss
from weft.pipelines.translator import Translator
from weft.runs.folder import write_folder
from weft.runs.tensors import MODEL, save_tensors
from weft.saved import load_saved

__all__ = ["run"]

MINUTES = 5.0
RATE, DECAY, SMOOTHING, BATCH_TOKENS = 3e-4, 0.01, 0.1, 4096
KEPT = ("tokenizer*.json", "config.json")


def run(options: Options) -> list[Row]:
    """Greedy validation BLEU after the same minutes, one side after the other, on all cores."""
    if options.data is None or options.run is None:
        raise UserError("continuation needs Multi30k (set WEFT_DATA to the data sets' folder) and --run RUN")
    try:
        import weft.keras as ours
    except UserError as error:
        raise UserError(f"continuation needs TensorFlow: {error}") from error
    data, minutes = options.data / "multi30k", options.minutes or MINUTES
    translator = weft.load(options.run, precision="float32")
    if not isinstance(translator, Translator):
        raise UserError(f"{options.run}: continuation needs a translator from German to English")
    tokenizer, special = translator.tokenizer, translator.config.model.special
    sources, targets = (tokenizer.encode(read_lines(data / f"train.{side}.gz")) for side in ("de", "en"))
    read = [[*source, special.end] for source in sources]
    work = options.work / "continuation"
    shutil.rmtree(work, ignore_errors=True)
    before = _bleu(options.run, data)
    steps, bleu = {}, {}
    for name, learn in (("tensorflow", _in_tensorflow), ("pytorch", _in_pytorch)):
        pairs = ours.pair_batches(
            read, targets, special=special, batch_tokens=BATCH_TOKENS
        )  # anew: in the same order
        steps[name] = learn(options.run, pairs, seconds=60 * minutes, out=work / name)
        bleu[name] = _bleu(work / name, data)
    (work / "steps.json").write_text(json.dumps(steps), encoding="utf-8")
    same = f"AdamW at {RATE:g}, float32"
    return [
        Row(
            benchmark="continuation",
            what=f"greedy validation BLEU, {minutes:g} minutes on",
            work=f"Multi30k de-en, {options.run} with {before:.2f} BLEU, the same batches of {BATCH_TOKENS} tokens",
            unit="BLEU",
            weft=bleu["tensorflow"],
            weft_settings=f"weft.keras on TensorFlow, fit, {same}, {steps['tensorflow']} steps",
            peer="weft on PyTorch",
            peer_value=bleu["pytorch"],
            peer_settings=f"a plain loop, {same}, {steps['pytorch']} steps",
        )
    ]


def _bleu(folder: Path, data: Path) -> float:
    translator = weft.load(folder, precision="float32")
    found: float = translator.evaluate(data / "val.{de,en}", beams=1).bleu
    return found


def _in_tensorflow(run: Path, pairs: Iterable[Any], *, seconds: float, out: Path) -> int:
    """Learn for so long, what is compiled included, and write the folder; gives how many steps were made."""
    import keras

    import weft.keras as ours

    class Until(keras.callbacks.Callback):  # type: ignore[misc]
        """Ends training when the time is over."""

        steps = 0
        end = time.monotonic() + seconds

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.steps += 1
            if time.monotonic() > self.end:
                self.model.stop_training = True

    until = Until()
    model = ours.load(run)
    loss = ours.CrossEntropy(pad=model.config.special.pad, smoothing=SMOOTHING)
    optimizer = keras.optimizers.AdamW(RATE, weight_decay=DECAY, epsilon=1e-8, global_clipnorm=1.0)
    model.compile(optimizer, loss=loss, jit_compile=False)
    model.fit(pairs, steps_per_epoch=1_000_000, epochs=1, shuffle=False, verbose=0, callbacks=[until])
    ours.save(model, out, like=run)
    return until.steps


def _in_pytorch(run: Path, pairs: Iterable[Any], *, seconds: float, out: Path) -> int:
    """The same in a plain loop."""
    end, steps = time.monotonic() + seconds, 0
    saved = load_saved(run)
    model = saved.model.train()
    assert isinstance(model, Seq2Seq)
    special = model.config.special
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    for inputs, labels in pairs:
        source, target, wanted = (
            torch.from_numpy(each.numpy()).long() for each in (inputs["source"], inputs["target"], labels)
        )
        real = wanted != special.pad
        hidden = model(source, target, source_keep=source != special.pad)
        weight, bias = model.output.weight, model.output.bias
        loss = vocabulary_loss(hidden[real], wanted[real], weight=weight, bias=bias, smoothing=SMOOTHING)
        optimizer.zero_grad(set_to_none=True)
        (loss.total / loss.count).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
        if time.monotonic() > end:
            break
    files: dict[str, Any] = {path.name: path.read_bytes() for name in KEPT for path in run.glob(name)}
    files[MODEL] = lambda path: save_tensors(path, tensors=dict(model.state_dict()))
    write_folder(out, kind=saved.config.task, files=files)
    return steps
