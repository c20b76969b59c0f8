"""An encoder-decoder on PyTorch, as pipelines use it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weft.generate.batches import generate
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis
from weft.inspect.maps import attention
from weft.models.seq2seq import Seq2Seq

__all__ = ["TorchSeq2Seq"]


class TorchSeq2Seq:
    """A `Seq2SeqNetwork` on PyTorch."""

    def __init__(self, model: Seq2Seq) -> None:
        self.model = model.eval()
        self.config = model.config

    def search(self, sources: Sequence[Sequence[int]], config: SearchConfig) -> list[list[Hypothesis]]:
        """See `Seq2SeqNetwork`."""
        return generate(self.model, sources, config)

    def attention(self, source: Sequence[int], target: Sequence[int]) -> NDArray[np.float32]:
        """See `Seq2SeqNetwork`."""
        return attention(self.model, source, target_ids=target).cross
