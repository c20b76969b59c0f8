"""Texts as vectors."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from weft.config import EncoderConfig, ReaderConfig
from weft.errors import UserError
from weft.inspect import Inspected, Text, inspect_reading
from weft.models.encoder import Encoder
from weft.nn.heads import pool
from weft.nn.inference import Precision
from weft.pipelines.texts import checked_texts, kind_of
from weft.tasks.reading import read_alone
from weft.text.encode import read_texts
from weft.text.tokenizer import Tokenizer

__all__ = ["Embedder", "embed", "too_long"]

SHOWN = 40  # characters of a text that is named in an error


class Embedder:
    """An encoder and its tokenizer."""

    def __init__(
        self,
        config: EncoderConfig,
        *,
        model: Encoder,
        tokenizer: Tokenizer,
        precision: Precision = "float32",
    ) -> None:
        self.config = config
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.precision = precision

    def embed(self, text: str | Sequence[str], *, truncate: bool = False) -> NDArray[np.float32]:
        """The vector (D,) of a text, or those (N, D) of a list, in its order.

        Raises UserError for a text that is longer than the model takes, unless `truncate` asks for its beginning alone.
        """
        return embed(text, model=self.model, tokenizer=self.tokenizer, config=self.config, truncate=truncate)

    def inspect(self, text: str, *, out: Path | str) -> Inspected:
        """Write a page that shows all attention behind a text's vector."""
        if not isinstance(text, str):
            raise UserError(f"a text is wanted, not {kind_of(text)}")
        (read,) = read_texts(self.tokenizer, [text], maximum=self.config.maximum, cut=False)
        if read.over:
            raise UserError(
                f"the text is longer than the {self.config.maximum} tokens the model takes: split it"
            )
        return inspect_reading(
            self.model,
            read,
            tokenizer=self.tokenizer,
            question=None,
            answer=None,
            title="A text as a vector",
            said=[],
            texts=[Text("Text", text)],
            facts={},
            out=out,
        )


def too_long(texts: Sequence[str], *, tokenizer: Tokenizer, config: ReaderConfig) -> list[int]:
    """The numbers, from 0, of the texts that are longer than the model takes."""
    readings = read_texts(tokenizer, texts, maximum=config.maximum, cut=True)
    return [number for number, reading in enumerate(readings) if reading.over]


@torch.inference_mode()
def embed(
    text: str | Sequence[str], *, model: Encoder, tokenizer: Tokenizer, config: ReaderConfig, truncate: bool
) -> NDArray[np.float32]:
    """What `Embedder.embed` gives, from any encoder: its hidden states pooled as its configuration says, without a head.

    No vector depends on the others. Each is made as long as 1, unless the
    configuration says that it is not.
    """
    texts = checked_texts(text)
    readings = read_texts(tokenizer, texts, maximum=config.maximum, cut=truncate)
    for each, reading in zip(texts, readings, strict=True):
        if reading.over and not truncate:
            raise UserError(
                f'"{each[:SHOWN]}…" has {len(reading.ids):,} tokens, more than the {config.maximum:,} that the '
                "model takes: split it, or ask with truncate for its beginning alone"
            )
    vectors = torch.empty(len(texts), config.model.width)
    ids, segments = [each.ids for each in readings], [each.segments for each in readings]
    for rows, states in read_alone(model, ids, segments):
        vectors[torch.from_numpy(rows)] = pool(states.float(), keep=None, pooling=config.pooling).cpu()
    if not isinstance(config, EncoderConfig) or config.normalise:
        vectors = torch.nn.functional.normalize(vectors, dim=-1)
    found: NDArray[np.float32] = vectors.numpy()
    return found[0] if isinstance(text, str) else found
