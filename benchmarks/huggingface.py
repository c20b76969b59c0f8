"""The peer Hugging Face transformers: MarianMT, trained by a plain loop and decoded by its own `generate`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from transformers import GenerationConfig, MarianConfig, MarianMTModel
from transformers.utils import logging

from benchmarks.machine import fast_dtypes, matmul_precision, seconds_of
from benchmarks.multi30k import END, PAD, START, Batch, pad

__all__ = ["Shape", "Training", "Way", "fastest_training", "generate", "make_model", "translate"]

logging.set_verbosity_error()  # it warns of token ids that this model's tokenizer does not use


class Shape(NamedTuple):
    """What decides the arithmetic of a model."""

    vocabulary: int
    width: int
    feed_forward: int
    heads: int
    encoder_layers: int
    decoder_layers: int

    def __str__(self) -> str:
        layers = f"{self.encoder_layers}+{self.decoder_layers} layers"
        return f"{layers} of {self.width}, feed-forward {self.feed_forward}, V {self.vocabulary}"


class Way(NamedTuple):
    """How a model is computed; what is fastest depends on the machine."""

    dtype: torch.dtype
    attention: str

    def __str__(self) -> str:
        kind = "bfloat16" if self.dtype == torch.bfloat16 else "float32 (matmul precision medium)"
        return f"{kind}, {self.attention} attention"


def make_model(shape: Shape, *, dropout: float, attention: str, seed: int = 0) -> MarianMTModel:
    """A freshly initialised MarianMT with one embedding for both sides and the output."""
    torch.manual_seed(seed)
    config = MarianConfig(
        vocab_size=shape.vocabulary,
        d_model=shape.width,
        encoder_layers=shape.encoder_layers,
        decoder_layers=shape.decoder_layers,
        encoder_ffn_dim=shape.feed_forward,
        decoder_ffn_dim=shape.feed_forward,
        encoder_attention_heads=shape.heads,
        decoder_attention_heads=shape.heads,
        activation_function="relu",
        dropout=dropout,
        scale_embedding=True,
        pad_token_id=PAD,
        bos_token_id=START,
        eos_token_id=END,
        forced_eos_token_id=None,
        decoder_start_token_id=START,
        attn_implementation=attention,
    )
    return MarianMTModel(config)


class Training:
    """A model with its optimizer: label-smoothed cross-entropy, fused AdamW, clipped gradients."""

    def __init__(self, shape: Shape, *, dropout: float, way: Way, rate: float) -> None:
        self.way = way
        self.model = make_model(shape, dropout=dropout, attention=way.attention).train()
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=rate, betas=(0.9, 0.98), eps=1e-9, weight_decay=0.01, fused=True
        )

    def __str__(self) -> str:
        return f"{self.way}, fused AdamW"

    def step(self, batch: Batch) -> float:
        """One step of optimisation; gives the loss per target token."""
        with matmul_precision("medium"):
            self.optimizer.zero_grad(set_to_none=True)
            with self._autocast():
                loss = self._loss(batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
            self.optimizer.step()
        return loss.item()

    def _loss(self, batch: Batch) -> Tensor:
        start = batch.target.new_full((len(batch.target), 1), START)
        # Without a mask the decoder takes the causal kernel. No real token sees its padding.
        logits = self.model(
            input_ids=batch.source,
            attention_mask=batch.source != PAD,
            decoder_input_ids=torch.cat([start, batch.target[:, :-1]], dim=1),
            use_cache=False,
        ).logits  # (B, T, V)
        return functional.cross_entropy(
            logits.flatten(0, 1), batch.target.flatten(), ignore_index=PAD, label_smoothing=0.1
        )

    def _autocast(self) -> AbstractContextManager[object]:
        wanted = self.way.dtype == torch.bfloat16
        return torch.autocast("cpu", dtype=torch.bfloat16) if wanted else nullcontext()


def fastest_training(shape: Shape, batch: Batch, *, dropout: float) -> Way:
    """The fastest way of a training step on this machine, by a small timing."""
    ways = [Way(dtype, attention) for dtype in fast_dtypes() for attention in ("sdpa", "eager")]
    trainings = {way: Training(shape, dropout=dropout, way=way, rate=1e-4) for way in ways}
    return min(ways, key=lambda way: seconds_of(lambda: trainings[way].step(batch), times=2))


def translate(
    model: MarianMTModel, sources: Sequence[Sequence[int]], *, beams: int, rows: int = 64
) -> list[list[int]]:
    """The translations' tokens in the order of the sources, which are decoded sorted by length."""
    order = sorted(range(len(sources)), key=lambda row: -len(sources[row]))
    outputs: list[list[int]] = [[] for _ in sources]
    for first in range(0, len(order), rows):
        chosen = order[first : first + rows]
        longest = len(sources[chosen[0]]) * 2 + 10
        ids = generate(model, pad([sources[row] for row in chosen]), beams=beams, longest=longest)
        for row, tokens in zip(chosen, ids.tolist(), strict=True):
            outputs[row] = [token for token in tokens[1:] if token not in (PAD, END)]
    return outputs


def generate(model: MarianMTModel, source: Tensor, *, beams: int, longest: int, shortest: int = 0) -> Tensor:
    """A batch's translations: rows of the start token and `shortest` to `longest` more."""
    config = GenerationConfig(
        num_beams=beams,
        do_sample=False,
        min_new_tokens=shortest or None,
        max_new_tokens=longest,
        pad_token_id=PAD,
        bos_token_id=START,
        eos_token_id=END,
        decoder_start_token_id=START,
    )
    with torch.inference_mode(), matmul_precision("medium"):
        return model.generate(input_ids=source, attention_mask=source != PAD, generation_config=config)
