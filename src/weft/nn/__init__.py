"""The bricks. In every shape: B batch, T query length, S key length, D model width, H heads, G heads of keys and values,
K head width, F feed-forward width, V vocabulary."""

from weft.nn.attention import Attention
from weft.nn.cache import KVCache, LayerCache
from weft.nn.dropout import Dropout
from weft.nn.embedding import Embedding
from weft.nn.feed_forward import FeedForward
from weft.nn.kernels import attend
from weft.nn.loss import Loss, vocabulary_loss
from weft.nn.masks import Mask
from weft.nn.positions import Alibi, Learned, Position, RelativeBuckets, Rotary, Sinusoidal
from weft.nn.stack import Block, Residual, Stack
from weft.nn.taps import Tap, listen

__all__ = [
    "Alibi",
    "Attention",
    "Block",
    "Dropout",
    "Embedding",
    "FeedForward",
    "KVCache",
    "LayerCache",
    "Learned",
    "Loss",
    "Mask",
    "Position",
    "RelativeBuckets",
    "Residual",
    "Rotary",
    "Sinusoidal",
    "Stack",
    "Tap",
    "attend",
    "listen",
    "vocabulary_loss",
]
