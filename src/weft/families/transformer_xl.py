"""Transformer-XL (Dai et al. 2019) as the paper's own PyTorch code holds it, and as Hugging Face's TransfoXLLMHeadModel did.

The two name weights alike but for a prefix. They differ in the gates to the clusters of the softmax: the paper's code counts
them from the last to the first.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from weft.config import LAYER_EPSILON, FolderConfig, GeneratorConfig, ModelConfig
from weft.errors import UserError
from weft.families.decoder_generation import read_search, write_search
from weft.families.decoder_tokenizer import check_size, read_tokenizer, write_tokenizer
from weft.families.huggingface import Imported, encode_json, encode_weights, read_json, read_weights
from weft.families.table import (
    Field,
    Op,
    Preset,
    Rule,
    departures,
    expand,
    make_config,
    read_fields,
    to_ours,
    to_theirs,
    write_fields,
)

__all__ = [
    "ARCHITECTURES",
    "HUGGING_FACE",
    "PRESETS",
    "REFERENCE",
    "Layout",
    "export_state",
    "export_transformer_xl",
    "import_state",
    "import_transformer_xl",
    "read_model",
    "weight_rules",
    "write_model",
]

ARCHITECTURES = ("TransfoXLLMHeadModel",)


class Layout(NamedTuple):
    """What tells the two apart: what stands before the names of all weights but the softmax's, the order of the gates,
    whether tied weights are written once more, and what the configuration calls the vocabulary's size."""

    base: str
    gates_reversed: bool
    writes_tied: bool
    vocabulary: str


REFERENCE = Layout(base="", gates_reversed=True, writes_tied=True, vocabulary="n_token")
HUGGING_FACE = Layout(base="transformer.", gates_reversed=False, writes_tied=False, vocabulary="vocab_size")

_BLOCK = "blocks.{i}."
_LAYER = "{base}layers.{i}."
_RULES = (
    *(
        Rule(_LAYER + "dec_attn.qkv_net.weight", f"{_BLOCK}attention.{name}.weight", part=(number, 3))
        for number, name in enumerate(("query", "key", "value"))
    ),
    Rule(_LAYER + "dec_attn.r_net.weight", _BLOCK + "attention.distance.weight"),
    Rule(_LAYER + "dec_attn.o_net.weight", _BLOCK + "attention.output.weight"),
    Rule(_LAYER + "dec_attn.layer_norm.{n}", _BLOCK + "attention_residual.{place}.{n}"),
    Rule(_LAYER + "pos_ff.CoreNet.0.{n}", _BLOCK + "feed_forward.up.{n}"),
    Rule(_LAYER + "pos_ff.CoreNet.3.{n}", _BLOCK + "feed_forward.down.{n}"),
    Rule(_LAYER + "pos_ff.layer_norm.{n}", _BLOCK + "feed_forward_residual.{place}.{n}"),
    Rule("{base}word_emb.emb_layers.{t}.weight", "embedding.tables.{t}.weight"),
    Rule("{base}word_emb.emb_projs.{p}", "embedding.projections.{p}"),
    Rule("crit.out_layers.{t}.bias", "output.biases.{t}"),
    Rule("{base}pos_emb.inv_freq", "", Op.COMPUTED),
)
_BIASES = {"r_w_bias": "content_bias", "r_r_bias": "distance_bias"}  # u and v of the paper's section 3.3


def weight_rules(model: ModelConfig, *, layout: Layout) -> list[Rule]:
    """The whole weight table of one model."""
    assert model.recurrence is not None
    tables, projections = _counts(model)
    rules = [rule._replace(ours=rule.ours.replace("{place}", model.norm_place)) for rule in _RULES]
    expanded = expand(
        [*rules, *_bias_rules(model.recurrence.shared_biases)],
        base=[layout.base],
        i=range(model.decoder_layers),
        n=("weight", "bias"),
        t=range(tables),
        p=range(min(tables, projections)),
    )
    return [*expanded, *_softmax_rules(model, layout=layout)]


def _bias_rules(shared: bool) -> list[Rule]:
    """Shared ones are the model's, and may stand in each layer once more."""
    rules = []
    for theirs, ours in _BIASES.items():
        if shared:
            rules.append(Rule("{base}" + theirs, f"blocks.0.attention.{ours}"))
            rules.append(Rule(f"{_LAYER}dec_attn.{theirs}", f"blocks.0.attention.{ours}", Op.TIED))
        else:
            rules.append(Rule(f"{_LAYER}dec_attn.{theirs}", f"{_BLOCK}attention.{ours}"))
    return rules


def _softmax_rules(model: ModelConfig, *, layout: Layout) -> list[Rule]:
    tables, projections = _counts(model)
    tails = len(model.clusters) - 1
    rules = []
    for number in range(tables):
        theirs, tied = f"crit.out_layers.{number}.weight", model.tie != "none"
        own = f"output.weights.{number}"
        rules.append(Rule(theirs, _alias(own, model), Op.TIED) if tied else Rule(theirs, own))
    for number in range(projections):
        theirs, own = f"crit.out_projs.{number}", f"output.projections.{number}"
        ours = _alias(own, model)
        rules.append(Rule(theirs, own) if ours == own else Rule(theirs, ours, Op.TIED))
    for number in range(tails):
        part = (tails - 1 - number if layout.gates_reversed else number, tails)
        rules.append(Rule("crit.cluster_weight", f"output.gates.{number}", part=part))
        rules.append(Rule("crit.cluster_bias", f"output.gate_biases.{number}", part=part))
    return rules


def _counts(model: ModelConfig) -> tuple[int, int]:
    """How many tables the vocabulary has, and how many projections its softmax."""
    return len(model.tables), len(model.clusters) if model.projected else 0


def _alias(name: str, model: ModelConfig) -> str:
    """The name under which the table carries a weight of ours, itself where it is nothing but itself."""
    tables, _ = _counts(model)
    parts = name.split(".")
    match parts:
        case ["output", "weights", number] if model.tie != "none":
            return f"embedding.tables.{number}.weight"
        case ["output", "projections", number] if (
            number != "0" and model.adaptive and model.adaptive.tie_projections
        ):
            return f"embedding.projections.{min(int(number), tables - 1)}"
        case ["blocks", _, "attention", "content_bias" | "distance_bias"] if (
            model.recurrence is not None and model.recurrence.shared_biases
        ):
            return ".".join(["blocks", "0", *parts[2:]])
        case _:
            return name


def _shapes(model: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Every weight of a model, by our names, and its shape."""
    width, inner, hidden = model.width, model.heads * model.head_width, model.feed_forward
    per_block: dict[str, tuple[int, ...]] = {
        **{f"attention.{name}.weight": (inner, width) for name in ("query", "key", "value", "distance")},
        "attention.output.weight": (width, inner),
        **{f"attention.{name}": (model.heads, model.head_width) for name in _BIASES.values()},
        "feed_forward.up.weight": (hidden, width),
        "feed_forward.up.bias": (hidden,),
        "feed_forward.down.weight": (width, hidden),
        "feed_forward.down.bias": (width,),
    }
    for branch in ("attention", "feed_forward"):
        for kind in ("weight", "bias"):
            per_block[f"{branch}_residual.{model.norm_place}.{kind}"] = (width,)
    shapes = {
        f"blocks.{i}.{name}": shape for i in range(model.decoder_layers) for name, shape in per_block.items()
    }
    tables, projections = _counts(model)
    for number, cluster in enumerate(model.clusters):
        size = cluster.end - cluster.first if tables > 1 else model.vocabulary
        if number < tables:
            shapes[f"embedding.tables.{number}.weight"] = (size, cluster.width)
            shapes[f"output.weights.{number}"] = (size, cluster.width)
            shapes[f"output.biases.{number}"] = (size,)
        if number < projections:
            shapes[f"output.projections.{number}"] = (width, cluster.width)
        if number < min(tables, projections):
            shapes[f"embedding.projections.{number}"] = (width, cluster.width)
        if number:
            shapes[f"output.gates.{number - 1}"] = (1, model.clusters[0].width)
            shapes[f"output.gate_biases.{number - 1}"] = (1,)
    return shapes


def import_state(
    weights: Mapping[str, NDArray[Any]], model: ModelConfig, *, layout: Layout
) -> dict[str, NDArray[Any]]:
    """A state dict of theirs as ours, in which every name stands, those of one and the same weight too.

    Raises UserError where weights are missing, unknown or misshapen, or where names of one weight disagree.
    """
    rules = weight_rules(model, layout=layout)
    shapes = _shapes(model)
    for rule in rules:
        if rule.op is Op.COMPUTED or rule.theirs not in weights:
            continue
        first, *rest = shapes[rule.ours]
        expected = (first if rule.part is None else first * rule.part[1], *rest)
        if weights[rule.theirs].shape != expected:
            raise UserError(
                f"{rule.theirs} has shape {weights[rule.theirs].shape}, but the configuration says {expected}"
            )
    carried = to_ours(rules, weights)
    return {name: carried[_alias(name, model)] for name in shapes}


def export_state(
    weights: Mapping[str, NDArray[Any]], model: ModelConfig, *, layout: Layout
) -> dict[str, NDArray[Any]]:
    """Our weights as a state dict of theirs: the inverse of `import_state`."""
    rules = weight_rules(model, layout=layout)
    own = {name: value for name, value in weights.items() if _alias(name, model) == name}
    theirs = to_theirs(rules, own, join=np.concatenate)
    if layout.writes_tied:  # but for biases, of which the paper's code has one alone
        tied = [rule for rule in rules if rule.op is Op.TIED and rule.theirs.startswith("crit.")]
        theirs |= {rule.theirs: own[rule.ours] for rule in tied}
    return theirs


# Configuration: config.json, where a key that is left out has the default of TransfoXLConfig.

_FIELDS = (
    Field("d_model", "width", 1024),
    Field("n_layer", "decoder_layers", 18),
    Field("n_head", "heads", 16),
    Field("d_head", "head_size", 64),
    Field("d_inner", "feed_forward", 4096),
    Field("pre_lnorm", "norm_place", False, MappingProxyType({False: "after", True: "before"})),
    Field("dropout", "dropout", 0.1),
    Field("dropatt", "attention_dropout", 0.0),
    Field("layer_norm_epsilon", "norm_epsilon", 1e-5),
)
_THEIR_ONLY = MappingProxyType({"attn_type": 0, "sample_softmax": -1, "ext_len": 0, "adaptive": True})
_OUR_ONLY = MappingProxyType(
    {
        "architecture": "transformer-xl",
        "activation": "relu",
        "gated": False,
        "norm": "layer",
        "norm_scale": True,
        "bias": True,
        "position": "none",
        "scale_embedding": True,
        "output_bias": True,
        "ngrams": None,
    }
)
_CUTOFFS = (20_000, 40_000, 200_000)

Fields = tuple[dict[str, Any], list[str]]
"""The fields that are expressed, and what stands in the way."""


def read_model(theirs: Mapping[str, Any], *, layout: Layout) -> Fields:
    """The fields of a ModelConfig by the fields of their configuration."""
    fields, problems = read_fields(_FIELDS, theirs)
    problems += departures(theirs, _THEIR_ONLY)
    cutoffs = theirs.get("cutoffs", list(_CUTOFFS))
    clamp = theirs.get("clamp_len", 1000)
    wide = theirs.get("d_embed", 1024)
    tied, more = _read_tied(theirs, len(cutoffs))
    ours = {
        **_OUR_ONLY,
        **fields,
        "vocabulary": theirs.get(layout.vocabulary, 267_735),
        "activation_dropout": fields["dropout"],
        "tie": "two" if theirs.get("tie_weight", theirs.get("tie_word_embeddings", True)) else "none",
        "initialisation": "normal",
        "recurrence": {
            "memory": theirs.get("mem_len", 1600),
            "same_length": theirs.get("same_length", True),
            "clamp": clamp if clamp > 0 else None,
            "shared_biases": not theirs.get("untie_r", True),
        },
        "adaptive": {
            "cutoffs": tuple(cutoffs),
            "divide": theirs.get("div_val", 4),
            "width": None if wide == fields["width"] else wide,
            "tie_projections": tied,
        },
    }
    return ours, problems + more


def _read_tied(theirs: Mapping[str, Any], tails: int) -> tuple[bool, list[str]]:
    """Whether the projections of all clusters but the first are tied; other choices are no model of ours."""
    all_but_first = theirs.get("proj_share_all_but_first", True)
    told = theirs.get("tie_projs", [False] + [all_but_first] * tails)
    for tied in (True, False):
        if list(told) == [False] + [tied] * tails:
            return tied, []
    return False, [f"tie_projs = {json.dumps(told)}"]


def write_model(model: ModelConfig, *, layout: Layout) -> Fields:
    """The fields of their configuration by ours."""
    ours = model.model_dump() | {
        "head_size": model.head_width,
        "norm_epsilon": model.epsilon,
    }
    theirs, problems = write_fields(_FIELDS, ours)
    problems += departures(ours, _OUR_ONLY)
    recurrence, clusters = model.recurrence, model.clusters
    if recurrence is not None and recurrence.pointer:
        problems.append(f"recurrence.pointer = {recurrence.pointer} (not 0)")
    if problems or recurrence is None:
        return theirs, problems
    tied = model.adaptive is None or model.adaptive.tie_projections
    further = {
        layout.vocabulary: model.vocabulary,
        "d_embed": clusters[0].width,
        "cutoffs": [cluster.first for cluster in clusters[1:]],
        "div_val": 1 if model.adaptive is None else model.adaptive.divide,
        "tie_projs": [False] + [tied] * (len(clusters) - 1),
        "mem_len": recurrence.memory,
        "same_length": recurrence.same_length,
        "clamp_len": recurrence.clamp or -1,
        "untie_r": not recurrence.shared_biases,
    }
    return theirs | further, problems


def import_transformer_xl(folder: Path) -> Imported:
    """Read a folder of one of the two layouts, told apart by the names of the weights.

    Raises UserError that lists the fields in the way where weft cannot express the model, and for weights that are
    missing, unknown, misshapen or a pickle.
    """
    path = folder / "config.json"
    theirs = read_json(path)
    weights = read_weights(folder, loader=ARCHITECTURES[0])
    prefixed = any(name.startswith(HUGGING_FACE.base) for name in weights)
    layout = HUGGING_FACE if prefixed else REFERENCE
    try:
        fields, problems = read_model(theirs, layout=layout)
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: a field is of the wrong type ({error})") from error
    search, more = read_search(folder)
    if problems or more:
        raise UserError(
            f"{folder}: weft cannot express this Transformer-XL model: {'; '.join([*problems, *more])}"
        )
    end = theirs.get("eos_token_id", 0)
    model = make_config({**fields, "special": {"pad": end, "start": end, "end": end}}, path)
    tokenizer = read_tokenizer(folder, byte_pairs=False)
    if tokenizer is not None:
        check_size(tokenizer, model, folder)
    try:
        ours = import_state(weights, model, layout=layout)
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error
    described = GeneratorConfig(
        family="transfo-xl",
        model=model,
        prefix=() if tokenizer is None else tokenizer.prefix,
        generation=search,
    )
    return Imported(described, ours, {} if tokenizer is None else tokenizer.files)


def export_transformer_xl(
    config: FolderConfig, weights: Mapping[str, NDArray[Any]], *, tokenizer: Mapping[str, bytes]
) -> dict[str, bytes]:
    """The files of a folder of Hugging Face's layout, by name; a UserError lists the fields in the way."""
    assert isinstance(config, GeneratorConfig)
    theirs, problems = write_model(config.model, layout=HUGGING_FACE)
    search, more = write_search(config)
    if problems or more:
        raise UserError(
            "Hugging Face's Transformer-XL layout cannot express this model: "
            f"{'; '.join([*problems, *more])}; one that it can is trained by --preset transformer-xl-base"
        )
    fixed = {
        "model_type": "transfo-xl",
        "architectures": list(ARCHITECTURES),
        "eos_token_id": config.model.special.end,
        "tie_word_embeddings": config.model.tie != "none",
        "proj_share_all_but_first": config.model.adaptive is None or config.model.adaptive.tie_projections,
    }
    state = export_state(weights, config.model, layout=HUGGING_FACE)
    return {
        "config.json": encode_json({**theirs, **fixed}),
        "generation_config.json": encode_json(search),
        "model.safetensors": encode_weights(state),
        **write_tokenizer(tokenizer, config.model, prefix=config.prefix),
    }


def _preset(source: str, **fields: Any) -> Preset:
    """What both sizes share: norms after each branch, the cutoffs for WikiText-103's 267,735 words, embedding and softmax
    tied, and memory and distances as for evaluation, which training may shorten."""
    shared = {
        **_OUR_ONLY,
        "norm_place": "after",
        "norm_epsilon": LAYER_EPSILON,
        "tie": "two",
        "initialisation": "normal",
    }
    return Preset(source, {**shared, **fields})


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "transformer-xl-base": _preset(
            "Dai et al. 2019, table 1, standard; run_wt103_base.sh of the published code",
            width=410,
            decoder_layers=16,
            heads=10,
            feed_forward=2100,
            dropout=0.1,
            activation_dropout=0.1,
            attention_dropout=0.0,
            recurrence={"memory": 150},
            adaptive={"cutoffs": _CUTOFFS},
        ),
        "transformer-xl-large": _preset(
            "Dai et al. 2019, table 1, large; run_wt103_large.sh of the published code",
            width=1024,
            decoder_layers=18,
            heads=16,
            feed_forward=4096,
            dropout=0.2,
            activation_dropout=0.2,
            attention_dropout=0.2,
            recurrence={"memory": 384},
            adaptive={"cutoffs": _CUTOFFS, "divide": 4},
        ),
    }
)
