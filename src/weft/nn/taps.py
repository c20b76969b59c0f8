"""Look inside a model without changing its forward: a tap is an identity that can be listened to."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

__all__ = ["Tap", "listen"]


class Tap(nn.Module):
    """Passes its input on. While somebody listens, `wanted` is true and kernels that skip the value must make it."""

    @property
    def wanted(self) -> bool:
        return bool(self._forward_hooks)

    def forward(self, value: Tensor) -> Tensor:
        return value


@contextmanager
def listen(model: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Collect what flows through every tap of `model`, by the tap's module name, one tensor for each call.

    Attention weights come as (B, H, T, S), whatever kernel the model otherwise runs.
    """
    heard: dict[str, list[Tensor]] = {}

    def keep(name: str) -> object:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            heard.setdefault(name, []).append(output.detach())

        return hook

    taps = [(name, module) for name, module in model.named_modules() if isinstance(module, Tap)]
    handles = [tap.register_forward_hook(keep(name)) for name, tap in taps]  # type: ignore[arg-type]
    try:
        yield heard
    finally:
        for handle in handles:
            handle.remove()
