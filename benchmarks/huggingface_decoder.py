"""The peer Hugging Face transformers, writing: GPT-2, trained by a plain loop and going on with a prompt."""

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.huggingface import Way
from benchmarks.machine import fast_dtypes, matmul_precision, seconds_of

__all__ = ["Shape", "Training", "fastest_training", "make_model", "write"]


class Shape(NamedTuple):
    """What decides the arithmetic of a decoder; its feed-forward layers are four times as wide."""

    vocabulary: int
    width: int
    heads: int
    layers: int
    length: int

    def __str__(self) -> str:
        return f"{self.layers} layers of {self.width}, {self.heads} heads, V {self.vocabulary}, rows of {self.length}"


class Training:
    """A GPT2LMHeadModel with its optimizer: its own loss, fused AdamW, clipped gradients."""

    def __init__(self, shape: Shape, *, way: Way, rate: float) -> None:
        self.way = way
        self.model = make_model(shape, way=way).float().train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, weight_decay=0.1, fused=True)

    def __str__(self) -> str:
        return f"{self.way}, fused AdamW"

    def step(self, rows: Tensor) -> float:
        """One step of optimisation on rows (B, T + 1); gives the loss per token."""
        with matmul_precision("medium"):
            self.optimizer.zero_grad(set_to_none=True)
            with self._autocast():
                logits = self.model(input_ids=rows[:, :-1]).logits
                loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), rows[:, 1:].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
            self.optimizer.step()
        return float(loss.detach())

    def _autocast(self) -> AbstractContextManager[object]:
        wanted = self.way.dtype == torch.bfloat16
        return torch.autocast("cpu", dtype=torch.bfloat16) if wanted else nullcontext()


def fastest_training(shape: Shape, rows: Tensor) -> Way:
    """The fastest way of a training step on this machine, by a small timing."""
    ways = [Way(dtype, attention) for dtype in fast_dtypes() for attention in ("sdpa", "eager")]
    seconds = {
        way: seconds_of(partial(Training(shape, way=way, rate=1e-4).step, rows), times=1) for way in ways
    }
    return min(ways, key=lambda way: seconds[way])


def make_model(shape: Shape, *, way: Way) -> GPT2LMHeadModel:
    """A model with random weights, the same ones each time."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=shape.vocabulary,
        n_embd=shape.width,
        n_head=shape.heads,
        n_layer=shape.layers,
        n_positions=shape.length,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation=way.attention,
    )
    return GPT2LMHeadModel(config).to(way.dtype).eval()


@torch.inference_mode()
def write(model: GPT2LMHeadModel, prompt: Tensor, *, tokens: int) -> list[int]:
    """The likeliest token each time, from a prompt (1, P)."""
    out = model.generate(
        prompt, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0
    )
    found: list[int] = out[0, prompt.shape[1] :].tolist()
    return found
