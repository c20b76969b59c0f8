"""What the tasks that read have in common: where a run begins, what is held out, and how texts become batches."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weft.config import HeadName, ModelConfig, ReaderConfig, ReadingRun
from weft.data.batches import collate, spread
from weft.data.files import at_home
from weft.errors import UserError
from weft.exchange import load_any
from weft.models.encoder import Encoder
from weft.network import Head, Tokens, by_length
from weft.nn.heads import Pooling
from weft.nn.masks import Mask
from weft.saved import Saved
from weft.tasks.masking import MASK
from weft.tasks.task import Batch
from weft.text.encode import Reading
from weft.text.tokenizer import Tokenizer
from weft.text.training import train_tokenizer

__all__ = [
    "FEWEST",
    "Beginning",
    "Reader",
    "collate_readings",
    "hold_out",
    "load_start",
    "read_alone",
    "read_states",
]

Example = TypeVar("Example")
READ_TOKENS = 1024  # that are read together without learning: products with more rows are no faster
FEWEST = 16  # tokens that are read together: a product of fewer rows may round otherwise than one of more

ANSWERS = (
    "classify",
    "tag",
    "answer",
    "next",
)  # heads that answer one question, and are learned anew for another


def load_start(path: str, *, architecture: str = "encoder") -> Saved:
    """The encoder or decoder in a folder, weft's or Hugging Face's, that a run begins with."""
    saved = _load_once(at_home(path).resolve())
    if saved.config.model.kin != architecture or not isinstance(saved.tokenizer, Tokenizer):
        article = "an" if architecture == "encoder" else "a"
        raise UserError(
            f"{path}: a model for the task {saved.config.task}, where {article} {architecture} is needed to begin with"
        )
    return saved


@cache
def _load_once(folder: Path) -> Saved:
    return load_any(folder)


class Beginning:
    """What a run begins with: nothing, or the model of a folder."""

    def __init__(self, run: ReadingRun, *, architecture: str = "encoder") -> None:
        path = run.from_checkpoint
        self.run = run
        self.saved = None if path is None else load_start(path, architecture=architecture)

    @property
    def pooling(self) -> Pooling:
        """How the folder's model makes one vector of a text; the mean, where there is none."""
        if self.saved is None:
            return "mean"
        assert isinstance(self.saved.config, ReaderConfig)
        return self.saved.config.pooling

    @property
    def family(self) -> str:
        """What a model of this run is to others: what it was, or weft's own."""
        return "weft" if self.saved is None else self.saved.config.family

    def make_tokenizer(
        self, texts: Iterable[str], *, special: Sequence[str] = (MASK,), exact: bool = False
    ) -> Tokenizer:
        """The folder's; or the one that the configuration names; or one trained on the texts, with a mask in it."""
        if self.saved is not None:
            assert isinstance(self.saved.tokenizer, Tokenizer)
            return self.saved.tokenizer
        config = self.run.tokenizer
        if config.path is not None:
            return Tokenizer.adopt(at_home(config.path), special=special)
        return train_tokenizer(texts, kind=config.kind, size=config.size, special=special, exact=exact)

    def make_model(
        self, config: ModelConfig, *, heads: Sequence[HeadName], labels: int, pooling: Pooling
    ) -> Encoder:
        """A model with the folder's weights, but for heads that answer another question."""
        model = Encoder(config, heads=heads, labels=labels, pooling=pooling)
        if self.saved is not None:
            own, theirs = model.state_dict(), self.saved.model.state_dict()
            anew = tuple(f"heads.{name}." for name in ANSWERS)
            taken = {name: theirs[name] for name in own.keys() & theirs.keys() if not name.startswith(anew)}
            model.load_state_dict(own | taken)
        return model


def hold_out(
    examples: Sequence[Example], *, share: float, seed: int, labels: Sequence[Sequence[str]] | None = None
) -> tuple[list[Example], list[Example]]:
    """The examples without a share of them, and that share: drawn by the seed, at least one, in their order.

    With the `labels` of each example, every label has its part in the share as far as that goes, and keeps an example at
    the least: fewer are held out where that asks for it, and none where every example is some label's last.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(examples), generator=generator).tolist()
    count = max(1, round(share * len(examples)))
    held = set(order[:count] if labels is None else _evenly(order, labels, count=count))
    return (
        [example for number, example in enumerate(examples) if number not in held],
        [example for number, example in enumerate(examples) if number in held],
    )


def _evenly(order: Sequence[int], labels: Sequence[Sequence[str]], *, count: int) -> list[int]:
    """Up to `count` of the numbers, evenly spread over their labels, but none that is the first with one of its labels."""
    seen: set[str] = set()
    free = []
    for number in order:
        if seen.issuperset(labels[number]):
            free.append(number)
        seen.update(labels[number])
    free.sort(key=lambda number: tuple(labels[number]))  # equals stay in the order drawn
    return [free[place] for place in spread(len(free), count=count)]


def collate_readings(readings: Sequence[Reading], *, pad: int) -> Batch:
    """ids (B, T) and segments (B, T), filled up at the end."""
    ids = collate([reading.ids for reading in readings], pad_id=pad)
    segments = collate([reading.segments for reading in readings], pad_id=0)
    return {"ids": torch.from_numpy(ids), "segments": torch.from_numpy(segments)}


def read_states(model: Encoder, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """Hidden states (B, T, D) of a batch, and which tokens are real (None: all)."""
    keep: Tensor | None = batch["ids"] != model.config.special.pad
    if keep is not None and bool(keep.all()):
        keep = None
    segments = batch["segments"].clamp(max=max(0, model.config.segments - 1))
    return model(batch["ids"], segments=segments, mask=Mask(keep=keep)), keep


class Reader:
    """An encoder on PyTorch as a `Network`."""

    def __init__(self, model: Encoder) -> None:
        self.model = model.eval()
        self.config = model.config
        if "answer" in model.heads:
            model.heads["answer"].float()  # whatever the encoder computes in: see `point`

    def ask(
        self,
        head: Head,
        ids: Sequence[Tokens],
        segments: Sequence[Tokens],
        *,
        places: Sequence[Sequence[int]] | None = None,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """See `Network.ask`."""
        with torch.inference_mode():
            for rows, states in read_alone(self.model, ids, segments):
                if places is not None:
                    at = [(row, place) for row, number in enumerate(rows) for place in places[number]]
                    scores = self._masked(states, torch.tensor(at, device=states.device).view(-1, 2))
                else:
                    scores = self._answer(head, states)
                yield rows, scores.float().cpu().numpy()

    def _answer(self, head: Head, states: Tensor) -> Tensor:
        if head == "states":
            return states
        of_text = self.model.pooled(states) if head == "classify" else states
        scores: Tensor = self.model.heads[head](of_text.float() if head == "answer" else of_text)
        return scores

    def _masked(self, states: Tensor, at: Tensor) -> Tensor:
        """What the tokens at places (M, 2) of rows were, (M, V)."""
        asked = at[torch.arange(max(len(at), FEWEST), device=at.device) % max(1, len(at))]
        hidden = self.model.masked(states[asked[:, 0], asked[:, 1]])
        return self.model.masked.logits(hidden)[: len(at)]


def read_alone(
    model: Encoder, ids: Sequence[Tokens], segments: Sequence[Tokens]
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """The numbers of texts that are equally long, and their hidden states (R, T, D), the longest texts first.

    What a text gets does not depend on the others. Texts of several lengths go through the layers' products as one row of
    tokens, without padding; in attention alone each length is by itself.
    """
    for chunk in by_length([len(each) for each in ids], tokens=READ_TOKENS):
        size = sum(len(ids[number]) for number in chunk)
        filled = [*chunk, *[chunk[-1]] * -(-max(0, FEWEST - size) // max(1, len(ids[chunk[-1]])))]
        lengths = [len(ids[number]) for number in filled]
        runs = [(len(list(group)), length) for length, group in groupby(lengths)]
        states = model(
            _row([ids[number] for number in filled], model.device),
            segments=_row([segments[number] for number in filled], model.device).clamp(
                max=max(0, model.config.segments - 1)
            ),
            mask=Mask(runs=runs),
            positions=_row([range(length) for length in lengths], model.device),
        )[0]
        begin = 0
        for (texts, length), part in zip(runs, states.split([a * b for a, b in runs]), strict=True):
            numbers = chunk[begin : begin + texts]
            yield numbers, part.unflatten(0, (texts, length))[: len(numbers)]
            begin += texts


def _row(columns: Sequence[Tokens], device: torch.device) -> Tensor:
    """Texts one after the other, (1, N)."""
    every = np.concatenate([np.asarray(column, dtype=np.int64) for column in columns])
    return torch.from_numpy(every)[None].to(device)
