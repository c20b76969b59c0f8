"""Writing a model as CTranslate2 runs it: its specification filled, quantised and saved by its own library."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.config import FolderConfig, ModelConfig
from weft.errors import UserError, suggest
from weft.interchange.ctranslate2_layout import ACTIVATIONS, obstacles, to_variables
from weft.interchange.extras import need

__all__ = ["QUANTIZATIONS", "export_ctranslate2", "spell"]

QUANTIZATIONS = (
    "float32",
    "int8",
    "int8_float32",
    "int8_float16",
    "int8_bfloat16",
    "int16",
    "float16",
    "bfloat16",
)
"""What it can hold weights in; "int8" leaves open what the rest is computed in."""


def export_ctranslate2(
    folder: FolderConfig,
    weights: Mapping[str, NDArray[Any]],
    *,
    pieces: Sequence[str],
    quantization: str = "float32",
) -> dict[str, bytes]:
    """The files that CTranslate2 loads, by name; `pieces` spell the model's ids.

    Raises UserError for a model that its specification cannot express, with the fields that stand in the way, and for a
    quantization that it does not know.
    """
    if quantization not in QUANTIZATIONS:
        raise UserError(
            f'no quantization "{quantization}"{suggest(quantization, QUANTIZATIONS)} (there are: {", ".join(QUANTIZATIONS)})'
        )
    config = folder.model
    problems = obstacles(config)
    heads = list(getattr(folder, "heads", ()))
    if heads:
        problems.append(f"heads = {', '.join(heads)} (an encoder's own states alone)")
    if problems:
        raise UserError(f"CTranslate2 cannot express this model: {'; '.join(problems)}")
    need("ctranslate2", extra="ctranslate2")
    spec = _specification(config)
    for name, value in to_variables(config, weights).items():
        _set(spec, name, np.array(value, order="C"))
    _describe(spec, folder, pieces)
    spec.validate()
    spec.optimize(quantization=quantization)
    with TemporaryDirectory() as aside:
        spec.save(aside)
        return {path.name: path.read_bytes() for path in Path(aside).iterdir()}


def _specification(config: ModelConfig) -> Any:
    """An empty specification of this shape."""
    from ctranslate2.specs import attention_spec, common_spec, transformer_spec

    squared = config.activation == "relu_squared"
    shape: dict[str, Any] = {
        "pre_norm": config.norm_place == "before",
        "activation": common_spec.Activation(0 if squared else ACTIVATIONS.index(config.activation)),
        "layernorm_embedding": config.embedding_norm,
        "relative_attention_bias": config.position == "t5",
        "ffn_glu": config.gated or squared,
        "rms_norm": config.norm == "rms",
        "num_heads_kv": config.kv_heads,
        "head_dim": config.head_size,
        "qk_norm": config.query_key_norm,
    }
    if config.position == "rotary":
        shape |= {"rotary_dim": 0, "rotary_interleave": False, "rotary_base": config.rotary_base}
        if config.rotary_scaling is not None:
            shape["rotary_scaling_type"] = attention_spec.RotaryScalingType.Linear
            shape["rotary_scaling_factor"] = config.rotary_scaling.factor
    encoder = decoder = None
    if config.encoder_layers:
        encoder = transformer_spec.TransformerEncoderSpec(
            config.encoder_layers,
            config.heads,
            num_source_embeddings=2 if config.segments else 1,
            embeddings_merge=common_spec.EmbeddingsMerge.ADD,
            **shape,
        )
        encoder.scale_embeddings = config.scale_embedding
    if config.decoder_layers:
        decoder = transformer_spec.TransformerDecoderSpec(
            config.decoder_layers,
            config.heads,
            with_encoder_attention=encoder is not None,
            alibi=config.position == "alibi",
            alignment_heads=config.heads,  # all of the last layer's
            **shape,
        )
        decoder.scale_embeddings = config.scale_embedding
    if encoder is not None and decoder is not None:
        return transformer_spec.TransformerSpec(encoder, decoder)
    if decoder is not None:
        return transformer_spec.TransformerDecoderModelSpec(decoder)
    return transformer_spec.TransformerEncoderModelSpec(encoder)


def _set(spec: Any, name: str, value: NDArray[Any]) -> None:
    """Put a variable in its place: `layer_3` is an item of a list."""
    *path, last = name.split("/")
    for part in path:
        if hasattr(spec, part):
            spec = getattr(spec, part)
        else:
            attribute, _, number = part.rpartition("_")
            spec = getattr(spec, attribute)[int(number)]
    setattr(spec, last, value)


def _describe(spec: Any, folder: FolderConfig, pieces: Sequence[str]) -> None:
    """The vocabulary, and which of its tokens the search needs to know."""
    config = folder.model
    spelled = spell(pieces, config.vocabulary)
    special = config.special
    named = {"bos": special.start, "eos": special.end, "unk": _unknown(pieces, special.pad)}
    if config.architecture == "seq2seq":
        spec.config.decoder_start_token = spelled[special.start]
        spec.config.add_source_eos = getattr(folder, "ends_source", True)
        spec.register_source_vocabulary(spelled)
        spec.register_target_vocabulary(spelled)
    else:
        spec.register_vocabulary(spelled)
    for name, number in named.items():
        setattr(spec.config, f"{name}_token", spelled[number])
    spec.config.layer_norm_epsilon = config.norm_epsilon


def _unknown(pieces: Sequence[str], otherwise: int) -> int:
    """The id of what stands for the unknown; a vocabulary that spells everything has none, and is never asked."""
    return next((number for number, piece in enumerate(pieces) if piece in ("<unk>", "[UNK]")), otherwise)


def spell(pieces: Sequence[str], count: int) -> list[str]:
    """A piece for each of `count` ids, no two alike: those that the tokenizer does not use are numbered."""
    spelled = list(pieces[:count]) + [""] * (count - len(pieces))
    met: set[str] = set()
    for number, piece in enumerate(spelled):
        if not piece or piece in met:
            spelled[number] = f"<unused{number}>"
        met.add(spelled[number])
    return spelled
