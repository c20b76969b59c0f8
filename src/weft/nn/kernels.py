"""Attention kernels: `attend` is the only place that knows one."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from weft.nn.dropout import drop
from weft.nn.masks import Run
from weft.nn.taps import Tap

__all__ = ["Kernel", "attend", "choose_kernel"]

Kernel = Literal["plain", "blocks", "sdpa"]

# Up to this many scores a head, three plain products beat PyTorch's flash kernel on a CPU, forward and backward.
PLAIN_SCORES = 128 * 128
# In bfloat16 and causal, products block by block beat it by more than two, up to this many: then memory matters.
BLOCK = 128  # queries
BLOCKS_SCORES = 1024 * 1024
LINE = 16  # numbers in a cache line, of four bytes each


def choose_kernel(q: Tensor, *, keys: int, causal: bool, weights_wanted: bool) -> Kernel:
    """The kernel for a call: the plain one where somebody looks at the weights, else the fastest."""
    queries = q.shape[2]
    scores = queries * keys
    if weights_wanted:
        return "plain"
    if q.device.type == "cpu":
        if causal and queries == keys and q.dtype == torch.bfloat16 and scores <= BLOCKS_SCORES:
            return "blocks"
        if scores <= PLAIN_SCORES:
            return "plain"
    return "sdpa"


def attend(
    q: Float[Tensor, "B H T K"],
    k: Float[Tensor, "B G S K"],
    v: Float[Tensor, "B G S K"],
    *,
    mask: Bool[Tensor, "#B 1 #T S"] | None = None,
    causal: bool = False,
    bias: Float[Tensor, "H _ _"] | Float[Tensor, "B H T S"] | None = None,
    dropout: float = 0.0,
    tap: Tap | None = None,
    runs: Sequence[Run] = (),
    kernel: Kernel | None = None,
) -> Float[Tensor, "B H T K"]:
    """softmax(q kᵀ / √K + bias) v (Vaswani et al. 2017, section 3.2.1), with G heads of keys and values for H of queries.

    A query that may see no key gets zeros. `causal` says that `mask` is nothing but the causal one, which lets a
    kernel skip what it hides. `tap` is handed the weights, (B, H, T, S). With `runs` the one row holds several texts, and
    each attends to itself alone, by the run's own mask.
    """
    if runs:
        return _each_run(
            q, k, v, runs=runs, causal=causal, bias=bias, dropout=dropout, tap=tap, kernel=kernel
        )
    wanted = tap is not None and tap.wanted
    kernel = kernel or choose_kernel(
        q, keys=k.shape[2], causal=causal and bias is None, weights_wanted=wanted
    )
    if kernel == "plain":
        return _plain(q, k, v, mask=mask, bias=bias, dropout=dropout, tap=tap)
    if kernel == "blocks":
        return _blocks(q, k, v, dropout=dropout)
    additive = None if bias is None else (bias if bias.dim() == 4 else bias[None]).to(q.dtype)
    if additive is not None and mask is not None:
        additive = additive.masked_fill(~mask, float("-inf"))
    use_causal = causal and additive is None and q.shape[2] == k.shape[2]
    return functional.scaled_dot_product_attention(
        q,
        k,
        v,
        attn_mask=None if use_causal else (mask if additive is None else additive),
        dropout_p=dropout,
        is_causal=use_causal,
        enable_gqa=k.shape[1] != q.shape[1],
    )


def _each_run(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    runs: Sequence[Run],
    causal: bool,
    bias: Tensor | None,
    dropout: float,
    tap: Tap | None,
    kernel: Kernel | None,
) -> Tensor:
    """The texts of a row (1, H, N, K), those of one length together."""
    sizes = [run.texts * run.length for run in runs]
    mixed = []
    for run, *parts in zip(runs, *(torch.split(each[0], sizes, dim=1) for each in (q, k, v)), strict=True):
        texts = [part.unflatten(1, (run.texts, run.length)).transpose(0, 1) for part in parts]
        near = None if bias is None else bias[:, : run.length, : run.length]
        found = attend(
            *texts, mask=run.visible, causal=causal, bias=near, dropout=dropout, tap=tap, kernel=kernel
        )
        mixed.append(found.transpose(1, 2).flatten(0, 1))  # (texts · length, H, K)
    return torch.cat(mixed)[None].transpose(1, 2)


def _blocks(q: Tensor, k: Tensor, v: Tensor, *, dropout: float) -> Tensor:
    """Causal attention, the queries in blocks that are shown the keys up to their end."""
    rows, heads, length, head_width = q.shape
    k, v = _for_each_head(k, v, heads=heads)
    flat = [each.reshape(rows * heads, length, head_width) for each in (q, k, v)]
    hidden = q.new_full((length, length), float("-inf")).triu(1)
    mixed = []
    for begin in range(0, length, BLOCK):
        end = min(begin + BLOCK, length)
        queries, keys, values = flat[0][:, begin:end], flat[1][:, :end], flat[2][:, :end]
        scores = torch.baddbmm(hidden[begin:end, :end], queries, keys.mT, alpha=head_width**-0.5)
        mixed.append(drop(scores.softmax(-1), dropout) @ values)
    return torch.cat(mixed, dim=1).view(rows, heads, length, head_width)


def _for_each_head(k: Tensor, v: Tensor, *, heads: int) -> tuple[Tensor, Tensor]:
    """Keys and values of groups, repeated for the heads that share them."""
    if k.shape[1] == heads:
        return k, v
    return k.repeat_interleave(heads // k.shape[1], dim=1), v.repeat_interleave(heads // v.shape[1], dim=1)


def _plain(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    mask: Tensor | None,
    bias: Tensor | None,
    dropout: float,
    tap: Tap | None,
) -> Tensor:
    """The reference kernel."""
    heads, head_width = q.shape[1], q.shape[3]
    k, v = _for_each_head(k, v, heads=heads)
    keys = k.shape[2]
    if q.shape[2] > 1 and keys % LINE and k.device.type == "cpu" and not torch.is_grad_enabled():
        # A product may round by where in a cache line its result begins: let it be the same place for every row of the
        # batch, for what a row gives must not depend on its number.
        k = functional.pad(k, (0, 0, 0, -keys % LINE))
    scores = ((q * head_width**-0.5) @ k.transpose(-1, -2))[..., :keys]  # (B, H, T, S)
    if bias is not None:
        scores = scores + bias.to(scores.dtype)
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0.0)  # a row that sees nothing: zeros, not an average
    if tap is not None:
        weights = tap(weights)
    return drop(weights, dropout) @ v
