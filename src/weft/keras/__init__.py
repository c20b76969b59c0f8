"""weft's models in Keras 3, on TensorFlow first: the same folders, the same names, the same numbers; torch is not loaded."""

import os

from weft.errors import UserError

BACKENDS = ("tensorflow", "jax")

_chosen = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
if _chosen not in BACKENDS:
    raise UserError(
        f"KERAS_BACKEND is {_chosen}: weft.keras runs on {' and '.join(BACKENDS)}: set it to one of them before the start"
    )
try:
    import keras
except ImportError as error:
    raise UserError(f"{error.name or 'keras'} is not installed: pip install 'weft[tensorflow]'") from error
if keras.backend.backend() not in BACKENDS:
    raise UserError(
        f"Keras already runs on {keras.backend.backend()}: weft.keras runs on {' and '.join(BACKENDS)}: set KERAS_BACKEND "
        "before Keras is imported"
    )

from weft.keras.attention import MultiHeadAttention  # noqa: E402
from weft.keras.generation import Translator  # noqa: E402
from weft.keras.layers import Embedding, FeedForward, RMSNorm  # noqa: E402
from weft.keras.models import Decoder, Encoder, Seq2Seq  # noqa: E402
from weft.keras.ngram_embedding import NgramEmbedding  # noqa: E402
from weft.keras.positions import (  # noqa: E402
    Alibi,
    LearnedPositions,
    PositionalEncoding,
    Positions,
    RelativeBuckets,
    Rotary,
)
from weft.keras.stack import (  # noqa: E402
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)
from weft.keras.training import CrossEntropy, InverseSquareRoot, pair_batches  # noqa: E402
from weft.keras.transformer_xl import TransformerXL  # noqa: E402
from weft.keras.weights import load, make_model  # noqa: E402
from weft.keras.weights import save_model as save  # noqa: E402

__all__ = [
    "Alibi",
    "CrossEntropy",
    "Decoder",
    "Embedding",
    "Encoder",
    "FeedForward",
    "InverseSquareRoot",
    "LearnedPositions",
    "MultiHeadAttention",
    "NgramEmbedding",
    "PositionalEncoding",
    "Positions",
    "RMSNorm",
    "RelativeBuckets",
    "Rotary",
    "Seq2Seq",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "TransformerXL",
    "Translator",
    "load",
    "make_model",
    "pair_batches",
    "save",
]
