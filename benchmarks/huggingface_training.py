"""The peer's training run as a process of its own: MarianMT on Multi30k, German to English, raw text to BLEU.

    python -m benchmarks.huggingface_training --data DIR/multi30k --out FILE.json

The file is written once, at the end: settings, and for each epoch the seconds since the process started.
"""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated

import cyclopts
import sacrebleu
import torch
from torch.optim.lr_scheduler import LambdaLR

from benchmarks.huggingface import Shape, Training, Way, translate
from benchmarks.machine import processor, seconds_since_start, versions
from benchmarks.multi30k import Pairs, batches, encode, read_lines, train_bpe

__all__ = ["Settings", "epochs", "train"]

VALIDATION, TEST = "val", "test_2016_flickr"
TELL_EVERY = 50  # steps


@dataclass(frozen=True)
class Settings:
    """All that decides the outcome of the run; the defaults are the run that weft is compared with."""

    epochs: int = 9
    bpe: int = 8000
    layers: int = 3
    width: int = 256
    feed_forward: int = 1024
    heads: int = 4
    dropout: float = 0.3
    batch_tokens: int = 2048
    rate: float = 1e-3
    warmup: int = 400
    seed: int = 0
    dtype: str = "float32"
    attention: str = "sdpa"
    steps: int | None = None
    """Stop after so many steps: to try the trainer out."""

    @property
    def shape(self) -> Shape:
        """The size of the model."""
        return Shape(self.bpe, self.width, self.feed_forward, self.heads, self.layers, self.layers)

    @property
    def way(self) -> Way:
        """How the model is computed."""
        return Way(getattr(torch, self.dtype), self.attention)


def train(
    *, data: Path, out: Path, settings: Annotated[Settings, cyclopts.Parameter(name="*")] = Settings()
) -> None:
    """Train, validate after every epoch, stop the clock, read the test set, and write it all down."""
    text = {
        (part, language): read_lines(data / f"{part}.{language}{'.gz' if part == 'train' else ''}")
        for part in ("train", VALIDATION, TEST)
        for language in ("de", "en")
    }
    tokenizer = train_bpe([*text["train", "de"], *text["train", "en"]], size=settings.bpe)
    pairs = list(zip(*(encode(tokenizer, text["train", language]) for language in ("de", "en")), strict=True))
    training = Training(settings.shape, dropout=settings.dropout, way=settings.way, rate=settings.rate)

    def bleu(part: str, *, beams: int) -> float:
        training.model.eval()
        outputs = translate(training.model, encode(tokenizer, text[part, "de"]), beams=beams)
        training.model.train()
        texts = [output.strip() for output in tokenizer.decode_batch(outputs)]
        return sacrebleu.corpus_bleu(texts, [text[part, "en"]]).score

    timeline: list[dict[str, float]] = []
    for loss in epochs(training, pairs, settings=settings):
        scores = {"loss": loss, "bleu": bleu(VALIDATION, beams=1)}
        timeline.append(scores | {"seconds": seconds_since_start()})
        print(json.dumps(timeline[-1]), flush=True)
    record = {
        "settings": asdict(settings),
        "bleu": timeline[-1]["bleu"],
        "seconds": timeline[-1]["seconds"],
        "test_bleu_beam_5": bleu(TEST, beams=5),
        "timeline": timeline,
        "processor": processor(),
        "versions": versions(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = out.with_suffix(".part")
    aside.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    aside.replace(out)


def epochs(training: Training, pairs: Pairs, *, settings: Settings) -> Iterator[float]:
    """Train; gives each epoch's mean loss. The rate rises in a straight line and then falls to zero."""
    plan = [
        list(batches(pairs, tokens=settings.batch_tokens, seed=settings.seed + epoch))
        for epoch in range(settings.epochs)
    ]
    total = min(sum(map(len, plan)), settings.steps or sys.maxsize)
    schedule = LambdaLR(
        training.optimizer,
        lambda step: min((step + 1) / settings.warmup, (total - step) / max(1, total - settings.warmup)),
    )
    done = 0
    for epoch in plan:
        losses = []
        for batch in epoch[: total - done]:
            losses.append(training.step(batch))
            schedule.step()
            done += 1
            if done % TELL_EVERY == 0:
                latest = mean(losses[-TELL_EVERY:])
                print(
                    f"step {done}/{total} loss {latest:.3f} after {seconds_since_start():.0f} s", flush=True
                )
        if losses:
            yield mean(losses)


if __name__ == "__main__":
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    cyclopts.run(train)
