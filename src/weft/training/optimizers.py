"""Which parameters go to which optimizer."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import AdamW, Optimizer

from weft.config import TrainConfig
from weft.nn.precision import training_dtype
from weft.training.muon import Muon

__all__ = ["make_optimizers"]

BETAS = (0.9, 0.98)  # Vaswani et al. 2017, section 5.3
EPSILON = 1e-9
HEAD = 1_000_000  # the depth of what stands on the last block


def make_optimizers(model: nn.Module, config: TrainConfig) -> dict[str, Optimizer]:
    """Muon for the matrices inside the blocks and AdamW for all else, or AdamW for everything.

    Embeddings are looked up row by row, norms and biases are vectors, and heads are few rows: their updates are not to be
    orthogonalised. Each group of parameters has a `scale`, by which its learning rate is multiplied: with `layer_decay`
    below 1, what lies deeper learns slower (Howard and Ruder 2018, section 3.2).
    """
    matrices = {
        id(module.weight)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and "blocks" in name.split(".")
    }
    if config.optimizer == "adamw":
        matrices = set()
    adamw = _groups(model, config, wanted=lambda parameter: id(parameter) not in matrices)
    optimizers: dict[str, Optimizer] = {
        "adamw": AdamW(
            adamw,
            lr=config.learning_rate,
            betas=BETAS,
            eps=EPSILON,
            weight_decay=config.weight_decay,
            fused=True,
        )
    }
    if matrices:
        optimizers["muon"] = Muon(
            _groups(model, config, wanted=lambda parameter: id(parameter) in matrices),
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            dtype=training_dtype(config.precision, next(model.parameters()).device.type),
        )
    return optimizers


def _groups(
    model: nn.Module, config: TrainConfig, *, wanted: Callable[[nn.Parameter], bool]
) -> list[dict[str, Any]]:
    """The wanted parameters, those that lie equally deep together."""
    depths = {id(parameter): _depth(name) for name, parameter in model.named_parameters()}
    top = max(depth for depth in depths.values() if depth < HEAD) + 1
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in filter(wanted, model.parameters()):
        scale = config.layer_decay ** (top - min(top, depths[id(parameter)]))
        groups.setdefault(scale, []).append(parameter)
    return [{"params": parameters, "scale": scale} for scale, parameters in groups.items()]


def _depth(name: str) -> int:
    """How far a parameter lies from the embeddings: these are 0, the first block is 1.

    >>> _depth("embedding.tokens.weight"), _depth("encoder.blocks.3.attention.key.weight")
    (0, 4)
    >>> _depth("heads.classify.output.weight") == _depth("encoder.norm.weight") == HEAD
    True
    """
    parts = name.split(".")
    if "blocks" in parts:
        return 1 + int(parts[parts.index("blocks") + 1])
    embeds = any(
        part in ("segments", "position") or part.endswith(("embedding", "embedding_norm", "ngrams"))
        for part in parts
    )
    return 0 if embeds else HEAD
