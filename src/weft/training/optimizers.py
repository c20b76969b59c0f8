"""Which parameters go to which optimizer."""

from typing import cast

from torch import nn
from torch.optim import AdamW, Optimizer

from weft.config import TrainConfig
from weft.nn.precision import training_dtype
from weft.training.muon import Muon

__all__ = ["make_optimizers"]

BETAS = (0.9, 0.98)  # Vaswani et al. 2017, section 5.3
EPSILON = 1e-9


def make_optimizers(model: nn.Module, config: TrainConfig) -> dict[str, Optimizer]:
    """Muon for the matrices inside the blocks and AdamW for all else, or AdamW for everything.

    Embeddings are looked up row by row, and norms and biases are vectors: their updates are not to be orthogonalised.
    """
    embedded = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    matrices = [
        cast(nn.Parameter, module.weight)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and id(module.weight) not in embedded and name != "output"
    ]
    if config.optimizer == "adamw":
        matrices = []
    ours = {id(parameter) for parameter in matrices}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in ours]
    optimizers: dict[str, Optimizer] = {
        "adamw": AdamW(
            rest,
            lr=config.learning_rate,
            betas=BETAS,
            eps=EPSILON,
            weight_decay=config.weight_decay,
            fused=True,
        )
    }
    if matrices:
        optimizers["muon"] = Muon(
            matrices,
            lr=config.learning_rate,
            weight_decay=config.weight_decay,
            dtype=training_dtype(config.precision, rest[0].device.type),
        )
    return optimizers
