"""Marian (Junczys-Dowmunt et al. 2018) as Hugging Face's MarianMTModel holds it; the OPUS-MT models are such.

The original Transformer with norms after the residual sum, sines before cosines, and a bias on the output.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.config import FolderConfig, ModelConfig, TranslatorConfig
from weft.errors import UserError
from weft.families.generation import read_generation, read_settings, write_generation
from weft.families.huggingface import Imported, encode_json, encode_weights, read_json, read_weights
from weft.families.table import (
    ACTIVATIONS,
    Field,
    Op,
    Rule,
    check_shapes,
    departures,
    expand,
    make_config,
    only,
    read_fields,
    to_ours,
    to_theirs,
    write_fields,
)
from weft.families.tokenizer_files import read_tokenizer, write_tokenizer

__all__ = ["ARCHITECTURES", "export_marian", "import_marian", "weight_rules"]

ARCHITECTURES = ("MarianMTModel",)

# Weights. {i} is a layer's number, {p} is weight and bias.

_EMBEDDINGS = {
    "three": (
        Rule("model.shared.weight", "source_embedding.tokens.weight"),
        Rule("model.encoder.embed_tokens.weight", "source_embedding.tokens.weight", Op.TIED),
        Rule("model.decoder.embed_tokens.weight", "source_embedding.tokens.weight", Op.TIED),
        Rule("lm_head.weight", "source_embedding.tokens.weight", Op.TIED),
    ),
    "two": (
        Rule("model.encoder.embed_tokens.weight", "source_embedding.tokens.weight"),
        Rule("model.decoder.embed_tokens.weight", "target_embedding.tokens.weight"),
        Rule("lm_head.weight", "target_embedding.tokens.weight", Op.TIED),
    ),
    "none": (
        Rule("model.encoder.embed_tokens.weight", "source_embedding.tokens.weight"),
        Rule("model.decoder.embed_tokens.weight", "target_embedding.tokens.weight"),
        Rule("lm_head.weight", "output.weight"),
    ),
}

_POSITIONS = (
    Rule("model.encoder.embed_positions.weight", "encoder.position.table", Op.COMPUTED),
    Rule("model.decoder.embed_positions.weight", "decoder.position.table", Op.COMPUTED),
)

_ENCODER = (
    Rule("model.encoder.layers.{i}.self_attn.q_proj.{p}", "encoder.blocks.{i}.attention.query.{p}"),
    Rule("model.encoder.layers.{i}.self_attn.k_proj.{p}", "encoder.blocks.{i}.attention.key.{p}"),
    Rule("model.encoder.layers.{i}.self_attn.v_proj.{p}", "encoder.blocks.{i}.attention.value.{p}"),
    Rule("model.encoder.layers.{i}.self_attn.out_proj.{p}", "encoder.blocks.{i}.attention.output.{p}"),
    Rule(
        "model.encoder.layers.{i}.self_attn_layer_norm.{p}", "encoder.blocks.{i}.attention_residual.after.{p}"
    ),
    Rule("model.encoder.layers.{i}.fc1.{p}", "encoder.blocks.{i}.feed_forward.up.{p}"),
    Rule("model.encoder.layers.{i}.fc2.{p}", "encoder.blocks.{i}.feed_forward.down.{p}"),
    Rule(
        "model.encoder.layers.{i}.final_layer_norm.{p}", "encoder.blocks.{i}.feed_forward_residual.after.{p}"
    ),
)

_DECODER = (
    Rule("model.decoder.layers.{i}.self_attn.q_proj.{p}", "decoder.blocks.{i}.attention.query.{p}"),
    Rule("model.decoder.layers.{i}.self_attn.k_proj.{p}", "decoder.blocks.{i}.attention.key.{p}"),
    Rule("model.decoder.layers.{i}.self_attn.v_proj.{p}", "decoder.blocks.{i}.attention.value.{p}"),
    Rule("model.decoder.layers.{i}.self_attn.out_proj.{p}", "decoder.blocks.{i}.attention.output.{p}"),
    Rule(
        "model.decoder.layers.{i}.self_attn_layer_norm.{p}", "decoder.blocks.{i}.attention_residual.after.{p}"
    ),
    Rule("model.decoder.layers.{i}.encoder_attn.q_proj.{p}", "decoder.blocks.{i}.cross.query.{p}"),
    Rule("model.decoder.layers.{i}.encoder_attn.k_proj.{p}", "decoder.blocks.{i}.cross.key.{p}"),
    Rule("model.decoder.layers.{i}.encoder_attn.v_proj.{p}", "decoder.blocks.{i}.cross.value.{p}"),
    Rule("model.decoder.layers.{i}.encoder_attn.out_proj.{p}", "decoder.blocks.{i}.cross.output.{p}"),
    Rule(
        "model.decoder.layers.{i}.encoder_attn_layer_norm.{p}", "decoder.blocks.{i}.cross_residual.after.{p}"
    ),
    Rule("model.decoder.layers.{i}.fc1.{p}", "decoder.blocks.{i}.feed_forward.up.{p}"),
    Rule("model.decoder.layers.{i}.fc2.{p}", "decoder.blocks.{i}.feed_forward.down.{p}"),
    Rule(
        "model.decoder.layers.{i}.final_layer_norm.{p}", "decoder.blocks.{i}.feed_forward_residual.after.{p}"
    ),
)

_OUTPUT_BIAS = {
    True: Rule("final_logits_bias", "output.bias", Op.ROW),
    False: Rule("final_logits_bias", "", Op.COMPUTED),  # all zeros
}

# The names under which our models also know a weight that is tied.
_ALIASES = {
    "three": {
        "target_embedding.tokens.weight": "source_embedding.tokens.weight",
        "output.weight": "source_embedding.tokens.weight",
    },
    "two": {"output.weight": "target_embedding.tokens.weight"},
    "none": {},
}


def weight_rules(config: ModelConfig) -> list[Rule]:
    """The whole weight table of one model."""
    pair = ("weight", "bias")
    return [
        *_EMBEDDINGS[config.tie],
        *_POSITIONS,
        *expand(_ENCODER, i=range(config.encoder_layers), p=pair),
        *expand(_DECODER, i=range(config.decoder_layers), p=pair),
        _OUTPUT_BIAS[config.output_bias],
    ]


# Configuration: config.json, where a key that is left out has the default of MarianConfig.

_FIELDS = (
    Field("vocab_size", "vocabulary", 58101),
    Field("decoder_vocab_size", "vocabulary", None),
    Field("d_model", "width", 1024),
    Field("encoder_layers", "encoder_layers", 12),
    Field("decoder_layers", "decoder_layers", 12),
    Field("encoder_attention_heads", "heads", 16),
    Field("decoder_attention_heads", "heads", 16),
    Field("encoder_ffn_dim", "feed_forward", 4096),
    Field("decoder_ffn_dim", "feed_forward", 4096),
    Field("activation_function", "activation", "gelu", ACTIVATIONS),
    Field("max_position_embeddings", "max_length", 1024),
    Field("scale_embedding", "scale_embedding", False),
    Field("dropout", "dropout", 0.1),
    Field("attention_dropout", "attention_dropout", 0.0),
    Field("activation_dropout", "activation_dropout", 0.0),
)

# (share_encoder_decoder_embeddings, tie_word_embeddings): with the first alone, versions of transformers
# disagree.
_TIES = {(True, True): "three", (False, True): "two", (False, False): "none"}

_SPECIAL = (
    Field("pad_token_id", "pad", 58100),
    Field("decoder_start_token_id", "start", 58100),
    Field("eos_token_id", "end", 0),
)

_DEFAULT_SPECIAL = {field.theirs: field.default for field in _SPECIAL}

# What each side has to hold for the other to express it.
_THEIR_ONLY = {
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
    "is_encoder_decoder": True,
    "is_decoder": False,
    # written by transformers up to version 4.9
    "normalize_before": False,
    "normalize_embedding": False,
    "add_final_layer_norm": False,
    "static_position_embeddings": True,
}
_OUR_ONLY = {
    "architecture": "seq2seq",
    "ngrams": None,
    "pointer": False,
    "norm": "layer",
    "norm_scale": True,
    "norm_place": "after",
    "norm_epsilon": None,
    "embedding_norm": False,
    "query_key_norm": False,
    "query_key_value_bias": None,
    "head_size": None,
    "window": None,
    "gated": False,
    "bias": True,
    "position": "sinusoidal_halves",
}


def import_marian(folder: Path) -> Imported:
    """Read a MarianMTModel's folder.

    Raises UserError that lists the fields in the way where weft cannot express the model, and for weights
    that are missing, unknown, misshapen or a pickle.
    """
    theirs = read_json(folder / "config.json")
    settings = read_settings(folder, {"forced_eos_token_id": 0, **_DEFAULT_SPECIAL, **theirs})
    fields, problems = _read_config(theirs | {name: settings[name] for name in _DEFAULT_SPECIAL})
    search, more = read_generation(settings)
    if problems or more:
        raise UserError(f"{folder}: weft cannot express this Marian model: {'; '.join([*problems, *more])}")
    weights = read_weights(folder, loader=ARCHITECTURES[0])
    bias = weights.get("final_logits_bias")
    config = _make_config(fields | {"output_bias": bias is not None and bool(bias.any())}, folder)
    if "max_length" in search:
        search["max_length"] = min(search["max_length"], config.max_length)
    try:
        ours = to_ours(weight_rules(config), weights)
        check_shapes(ours, config)
        _check_positions(weights, config)
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error
    ours |= {alias: ours[name] for alias, name in _ALIASES[config.tie].items()}
    tokenizer, (source, target) = read_tokenizer(folder, config)
    described = TranslatorConfig(
        family="marian",
        directions=((source or "source", target or "target"),),
        tags=False,
        model=config,
        generation=search,
    )
    return Imported(described, ours, tokenizer)


def export_marian(
    folder: FolderConfig, weights: Mapping[str, NDArray[Any]], *, tokenizer: Mapping[str, bytes]
) -> dict[str, bytes]:
    """The files of a MarianMTModel's folder, by name; the rest is as in `Imported`.

    Raises UserError that lists the fields in the way where Marian's layout cannot express the model.
    """
    assert isinstance(folder, TranslatorConfig)
    config = folder.model
    theirs, problems = _write_config(config)
    search, more = write_generation(folder.generation, config)
    if problems or more:
        raise UserError(
            f"Hugging Face's Marian layout cannot express this model: {'; '.join([*problems, *more])}; "
            "one that it can is trained by --preset vaswani-base --set model.position=sinusoidal_halves"
        )
    own = {name: value for name, value in weights.items() if name not in _ALIASES[config.tie]}
    exported = to_theirs(weight_rules(config), own)
    if not config.output_bias:
        exported["final_logits_bias"] = np.zeros((1, config.vocabulary), np.float32)
    languages = folder.directions[0] if len(folder.directions) == 1 else (None, None)
    return {
        "config.json": encode_json(theirs),
        "generation_config.json": encode_json(search),
        "model.safetensors": encode_weights(exported),
        **write_tokenizer(tokenizer, config, languages=languages),
    }


def _read_config(theirs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The fields of a ModelConfig, all but `output_bias`, and what weft cannot express."""
    theirs = {name: value for name, value in theirs.items() if value is not None}
    theirs.setdefault("decoder_vocab_size", theirs.get("vocab_size", 58101))
    fields, problems = read_fields(_FIELDS, theirs)
    special, more = read_fields(_SPECIAL, theirs | {"eos_token_id": only(theirs.get("eos_token_id"))})
    problems += more + departures(theirs, _THEIR_ONLY)
    ties = [theirs.get(name, True) for name in ("share_encoder_decoder_embeddings", "tie_word_embeddings")]
    tie = next((ours for pair, ours in _TIES.items() if list(pair) == ties), None)
    if tie is None:
        share, tied = map(json.dumps, ties)
        problems.append(f"tie_word_embeddings = {tied} beside share_encoder_decoder_embeddings = {share}")
    return {**_OUR_ONLY, **fields, "tie": tie, "initialisation": "normal", "special": special}, problems


def _make_config(fields: Mapping[str, Any], folder: Path) -> ModelConfig:
    config = make_config(fields, folder / "config.json")
    for field in _SPECIAL:
        number = getattr(config.special, field.ours)
        if not 0 <= number < config.vocabulary:
            raise UserError(
                f"{folder / 'config.json'}: {field.theirs} = {number}, but vocab_size = {config.vocabulary}"
            )
    return config


def _write_config(config: ModelConfig) -> tuple[dict[str, Any], list[str]]:
    ours = config.model_dump()
    theirs, problems = write_fields(_FIELDS, ours)
    special, _ = write_fields(_SPECIAL, ours["special"])
    problems += departures(ours, _OUR_ONLY)
    if config.kv_heads not in (None, config.heads):
        problems.append(f"kv_heads = {config.kv_heads} beside heads = {config.heads}")
    share, tied = next(ties for ties, ours in _TIES.items() if ours == config.tie)
    fixed = {
        "model_type": "marian",
        "architectures": list(ARCHITECTURES),
        **_THEIR_ONLY,
        "forced_eos_token_id": None,
    }
    ties = {"share_encoder_decoder_embeddings": share, "tie_word_embeddings": tied}
    return {**fixed, **theirs, **special, **ties}, problems


def _check_positions(weights: Mapping[str, NDArray[np.float32]], config: ModelConfig) -> None:
    """Raise UserError where a folder's position tables are not the ones that weft computes."""
    rates = 10000.0 ** (-np.arange(0, config.width, 2) / config.width)
    angles = np.arange(config.max_length)[:, None] * rates
    table = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)  # (max_length, D)
    for name in (rule.theirs for rule in _POSITIONS if rule.theirs in weights):
        stored = weights[name]
        if stored.shape != table.shape or not np.allclose(stored, table, rtol=0, atol=1e-3):  # may be float16
            raise UserError(f"{name} holds other positions than Marian's sines and cosines")
