"""The processes that train one model together, as `torchrun` starts them; usually one."""

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

__all__ = ["World"]


class World:
    """This process's place among all, and what they say to each other."""

    def __init__(self) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        self._started_here = self.size > 1 and not dist.is_initialized()
        if self._started_here:
            dist.init_process_group()  # gloo for tensors on the CPU, nccl for those on a GPU

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def agree(self, decide: Any) -> Any:
        """What the leading process says, for all."""
        if self.size == 1:
            return decide
        box = [decide]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def sum_gradients(self, model: nn.Module) -> None:
        """Add up all processes' gradients: each has divided its loss by the count of the whole batch.

        A process that had no share of a small batch adds nothing.
        """
        if self.size == 1:
            return
        gradients = []
        for parameter in model.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def sum(self, value: float) -> float:
        """A number added up over all processes."""
        if self.size == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(tensor)
        return float(tensor)

    def wait(self) -> None:
        """Until all are here."""
        if self.size > 1:
            dist.barrier()

    def close(self) -> None:
        """Part, where this object brought them together."""
        if self._started_here:
            dist.destroy_process_group()
