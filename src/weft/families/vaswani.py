"""The models of "Attention Is All You Need" (Vaswani et al. 2017)."""

from collections.abc import Mapping
from types import MappingProxyType

from weft.families.table import Preset

__all__ = ["PRESETS"]


# What all rows of table 3 share: norms after the residual sum (section 3.1), sines and cosines (3.5), one
# matrix for both embeddings and the output, scaled by √D (3.4). The paper's projections of attention have no
# biases and its feed-forward layers do; weft has both or neither, so that these presets carry 0.06 % more
# parameters.
_SHARED = {
    "norm": "layer",
    "norm_place": "after",
    "position": "sinusoidal",
    "activation": "relu",
    "bias": True,
    "scale_embedding": True,
    "tie": "three",
    "initialisation": "xavier",
}

_BASE = {"width": 512, "feed_forward": 2048, "heads": 8, "dropout": 0.1}
_BIG = {"width": 1024, "feed_forward": 4096, "heads": 16, "dropout": 0.3}
_LAYERS = {"encoder_layers": 6, "decoder_layers": 6}

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "vaswani-base": Preset("Vaswani et al. 2017, table 3, base", {**_SHARED, **_LAYERS, **_BASE}),
        "vaswani-big": Preset("Vaswani et al. 2017, table 3, big", {**_SHARED, **_LAYERS, **_BIG}),
    }
)
