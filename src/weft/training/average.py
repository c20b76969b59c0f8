"""The mean of a model's weights over the last part of a run (Polyak and Juditsky 1992)."""

import torch
from torch import Tensor, nn

__all__ = ["Average"]


class Average:
    """A running mean: after n weights have been added it is their mean, each counted once."""

    def __init__(self) -> None:
        self.count = 0
        self.tensors: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, model: nn.Module) -> None:
        """Count the model's weights as they are now."""
        self.count += 1
        for name, parameter in model.named_parameters():
            if name in self.tensors:
                self.tensors[name].lerp_(parameter, 1 / self.count)
            else:
                self.tensors[name] = parameter.detach().clone()

    @torch.no_grad()
    def put_into(self, model: nn.Module) -> None:
        """Replace the model's weights by the mean."""
        for name, parameter in model.named_parameters():
            parameter.copy_(self.tensors[name])
