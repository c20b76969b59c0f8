"""GPT-2 (Radford et al. 2019) as Hugging Face's GPT2LMHeadModel holds it.

Matrices are (in, out) there, and one holds those of queries, keys and values side by side.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from weft.config import ModelConfig
from weft.families.decoders import Family
from weft.families.table import ACTIVATIONS, Field, Op, Preset, Rule

__all__ = ["GPT2", "PRESETS"]

_BLOCK = "decoder.blocks.{i}."
_THREE = [
    Rule("{base}h.{i}.attn.c_attn." + kind, f"{_BLOCK}attention.{name}.{kind}", op, (number, 3))
    for kind, op in (("weight", Op.TRANSPOSE), ("bias", Op.SAME))
    for number, name in enumerate(("query", "key", "value"))
]
_RULES = (
    Rule("{base}wte.weight", "embedding.tokens.weight"),
    Rule("{base}wpe.weight", "decoder.position.table.weight"),
    Rule("{base}h.{i}.ln_1.{n}", _BLOCK + "attention_residual.before.{n}"),
    *_THREE,
    Rule("{base}h.{i}.attn.c_proj.weight", _BLOCK + "attention.output.weight", Op.TRANSPOSE),
    Rule("{base}h.{i}.attn.c_proj.bias", _BLOCK + "attention.output.bias"),
    Rule("{base}h.{i}.ln_2.{n}", _BLOCK + "feed_forward_residual.before.{n}"),
    Rule("{base}h.{i}.mlp.c_fc.weight", _BLOCK + "feed_forward.up.weight", Op.TRANSPOSE),
    Rule("{base}h.{i}.mlp.c_fc.bias", _BLOCK + "feed_forward.up.bias"),
    Rule("{base}h.{i}.mlp.c_proj.weight", _BLOCK + "feed_forward.down.weight", Op.TRANSPOSE),
    Rule("{base}h.{i}.mlp.c_proj.bias", _BLOCK + "feed_forward.down.bias"),
    Rule("{base}ln_f.{n}", "decoder.norm.{n}"),
)

# Configuration: config.json, where a key that is left out has the default of GPT2Config.

_FIELDS = (
    Field("vocab_size", "vocabulary", 50257),
    Field("n_embd", "width", 768),
    Field("n_layer", "decoder_layers", 12),
    Field("n_head", "heads", 12),
    Field("n_positions", "max_length", 1024),
    Field("activation_function", "activation", "gelu_new", ACTIVATIONS),
    Field("resid_pdrop", "dropout", 0.1),
    Field("embd_pdrop", "dropout", 0.1),
    Field("attn_pdrop", "attention_dropout", 0.1),
    Field("layer_norm_epsilon", "norm_epsilon", 1e-5),
)


def _read(theirs: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    inner = theirs.get("n_inner")
    if inner is not None:
        return {"feed_forward": inner}, []
    width = theirs.get("n_embd")
    return {"feed_forward": 4 * width if isinstance(width, int) else width}, []


def _write(model: ModelConfig) -> tuple[dict[str, Any], list[str]]:
    problems = []
    if model.kv_heads not in (None, model.heads):
        problems.append(f"kv_heads = {model.kv_heads} beside heads = {model.heads}")
    if model.head_width * model.heads != model.width:
        problems.append(
            f"head_size = {model.head_size} beside width = {model.width} and heads = {model.heads}"
        )
    if model.query_key_value_bias is False:
        problems.append("query_key_value_bias = false (not true)")
    return {"n_inner": model.feed_forward, "layer_norm_epsilon": model.epsilon}, problems


GPT2 = Family(
    name="gpt2",
    title="GPT-2",
    architecture="GPT2LMHeadModel",
    base="transformer.",
    rules=_RULES,
    buffers=("h.{i}.attn.bias", "h.{i}.attn.masked_bias"),
    fields=_FIELDS,
    defaults=MappingProxyType(
        {"n_embd": 768, "tie_word_embeddings": True, "bos_token_id": 50256, "eos_token_id": 50256}
    ),
    their_only=MappingProxyType({"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False}),
    our_only=MappingProxyType(
        {
            "norm": "layer",
            "query_key_norm": False,
            "gated": False,
            "bias": True,
            "position": "learned",
            "position_offset": 0,
            "window": None,
        }
    ),
    read=_read,
    write=_write,
    byte_pairs=True,
)


# What all sizes share (section 2.3): norms before each branch and after the last, learned positions, a feed-forward layer
# of 4 D and heads of 64; activation, ε and dropout as in the published code.
def _preset(*, width: int, layers: int) -> Preset:
    return Preset(
        f"Radford et al. 2019, table 2, {layers} layers",
        {
            "architecture": "decoder",
            "width": width,
            "decoder_layers": layers,
            "heads": width // 64,
            "feed_forward": 4 * width,
            "activation": "gelu_tanh",
            "norm": "layer",
            "norm_place": "before",
            "norm_epsilon": 1e-5,
            "bias": True,
            "position": "learned",
            "max_length": 1024,
            "scale_embedding": False,
            "tie": "two",
            "initialisation": "normal",
            "dropout": 0.1,
            "attention_dropout": 0.1,
        },
    )


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "gpt2": _preset(width=768, layers=12),
        "gpt2-medium": _preset(width=1024, layers=24),
        "gpt2-large": _preset(width=1280, layers=36),
        "gpt2-xl": _preset(width=1600, layers=48),
    }
)
