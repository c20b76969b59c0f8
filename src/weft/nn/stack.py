"""Blocks, and stacks of them: the body of every model but Transformer-XL."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypedDict, Unpack

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from weft.config import ModelConfig
from weft.nn.attention import Attention
from weft.nn.cache import KVCache, LayerCache
from weft.nn.dropout import Dropout
from weft.nn.feed_forward import FeedForward
from weft.nn.masks import Mask, Run
from weft.nn.norms import make_norm
from weft.nn.positions import Position, Positions, make_position

__all__ = ["Block", "Residual", "Stack"]


class Residual(nn.Module):
    """x + dropout(branch(norm(x))) with the norm before (Xiong et al. 2020), or norm(x + dropout(branch(x))) with it after
    (Vaswani et al. 2017, section 3.1). Nothing else knows which."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        before = config.norm_place == "before"
        self.before = make_norm(config, config.width) if before else nn.Identity()
        self.after = nn.Identity() if before else make_norm(config, config.width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, branch: Callable[[Tensor], Tensor]) -> Tensor:
        summed: Tensor = self.after(x + self.dropout(branch(self.before(x))))
        return summed


class SelfAttention(TypedDict, total=False):
    """What every block's self-attention is told alike, made once by the stack."""

    position: Position | None
    positions: Positions | None
    mask: Bool[Tensor, "#B 1 #T S"] | None
    causal: bool
    bias: Float[Tensor, "H T S"] | None
    runs: Sequence[Run]


class Block(nn.Module):
    """Self-attention, cross-attention where there is a memory, and the feed-forward layer, each with its residual."""

    def __init__(self, config: ModelConfig, *, cross: bool) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.attention_residual = Residual(config)
        self.cross = Attention(config) if cross else None
        self.cross_residual = Residual(config) if cross else None
        self.feed_forward = FeedForward(config)
        self.feed_forward_residual = Residual(config)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        memory: Float[Tensor, "M S D"] | Sequence[Float[Tensor, "_ _ D"]] | None = None,
        *,
        memory_mask: Bool[Tensor, "M 1 1 S"] | None = None,
        cache: LayerCache | None = None,
        **self_attention: Unpack[SelfAttention],
    ) -> Float[Tensor, "B T D"]:
        x = self.attention_residual(x, lambda y: self.attention(y, cache=cache, **self_attention))
        if self.cross is not None and self.cross_residual is not None:
            cross = self.cross
            x = self.cross_residual(x, lambda y: cross(y, memory, mask=memory_mask, cache=cache))
        out: Tensor = self.feed_forward_residual(x, self.feed_forward)
        return out


class Stack(nn.Module):
    """`layers` blocks, and a final norm where norms come before their branches."""

    def __init__(self, config: ModelConfig, *, layers: int, causal: bool, cross: bool) -> None:
        super().__init__()
        self.causal = causal
        self.window = config.window
        self.global_every = config.global_every
        self.position = make_position(config, causal=causal)
        self.embedding_norm = make_norm(config, config.width) if config.embedding_norm else nn.Identity()
        self.blocks = nn.ModuleList(Block(config, cross=cross) for _ in range(layers))
        self.norm = make_norm(config, config.width) if config.norm_place == "before" else nn.Identity()
        self.dropout = Dropout(config.dropout)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        memory: Float[Tensor, "M S D"] | Sequence[Float[Tensor, "_ _ D"]] | None = None,
        *,
        mask: Mask | None = None,
        memory_keep: Bool[Tensor, "M S"] | None = None,
        positions: Int[Tensor, "B T"] | None = None,
        cache: KVCache | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Embedded tokens to hidden states.

        `mask` defaults to the stack's own (causal or not). `positions` are needed only where they differ from row to
        row (packed documents, or the runs of a mask). With `cache`, `x` holds the new tokens alone.
        """
        mask = mask or Mask(causal=self.causal)
        past = cache.length if cache is not None else 0
        length = past + max((length for _, length in mask.runs), default=x.shape[1])
        keys = torch.arange(length, device=x.device)
        at = slice(past, length) if positions is None else positions
        views = [mask] if self.window is None else [mask, replace(mask, window=self.window)]
        runs = [view.split(device=x.device) for view in views]
        visible = [None if view.runs else view.build(x.shape[1], length, device=x.device) for view in views]
        memory_visible = None if memory_keep is None else memory_keep[:, None, None, :]
        bias = self.position.bias(keys[past:], keys)

        x = self.dropout(self.embedding_norm(self.position.embed(x, at)))
        for index, block in enumerate(self.blocks):
            view = 0 if self.global_every and index % self.global_every == 0 else -1
            x = block(
                x,
                memory,
                memory_mask=memory_visible,
                cache=cache.layers[index] if cache is not None else None,
                position=self.position,
                positions=at,
                mask=visible[view],
                causal=views[view].only_causal,
                bias=bias,
                runs=runs[view],
            )
        out: Tensor = self.norm(x)
        return out
