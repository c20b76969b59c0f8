"""Transformer-XL gives the numbers of the paper's own code, weight for weight, and its folders go there and back."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor

from weft.config import GeneratorConfig, ModelConfig
from weft.errors import UserError
from weft.families import transformer_xl
from weft.families.huggingface import write_files
from weft.families.table import Op
from weft.families.transformer_xl import (
    HUGGING_FACE,
    PRESETS,
    REFERENCE,
    export_state,
    export_transformer_xl,
    import_state,
    import_transformer_xl,
    read_model,
    weight_rules,
    write_model,
)
from weft.models.transformer_xl import TransformerXL

DATA = Path(os.environ.get("WEFT_DATA", Path(__file__).parents[3] / "shared" / "data"))
FOLDER = DATA.parent / "golden" / "transformer-xl"
NAMES = ("plain", "pre_norm_clamped", "adaptive", "same_length")
TOLERANCE = 1e-5
Weights = dict[str, NDArray[Any]]

golden = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"there are no vectors at {FOLDER}; WEFT_DATA names the folder beside theirs"
)


def their_config(name: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return fields


def our_config(name: str) -> ModelConfig:
    fields, problems = read_model(their_config(name), layout=REFERENCE)
    assert not problems
    return ModelConfig(**fields)


def model_of(config: ModelConfig, weights: Weights) -> TransformerXL:
    model = TransformerXL(config).eval()
    model.load_state_dict(
        {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in weights.items()}
    )
    return model


def cluster_by_cluster(losses: Tensor, labels: Tensor, config: ModelConfig, *, segments: int) -> Tensor:
    """Losses in the order of the paper's code, which goes through a segment's tokens (T, B) by clusters, as does not matter
    to their mean."""
    numbers = sum((labels >= cluster.first).long() for cluster in config.clusters)
    assert isinstance(numbers, Tensor)
    sorted_ = []
    for loss, number in zip(losses.chunk(segments, dim=1), numbers.chunk(segments, dim=1), strict=True):
        order = number.T.flatten().argsort(stable=True)
        sorted_.append(loss.T.flatten()[order].view(loss.T.shape).T)
    return torch.cat(sorted_, dim=1)


@torch.inference_mode()
def outputs(model: TransformerXL, ids: Tensor, *, segments: int) -> dict[str, Tensor]:
    """By the names of the vectors; what the last layer gives is remembered in no place but theirs."""
    memory, states = None, []
    for segment in torch.chunk(ids[:, :-1], segments, dim=1):
        state, memory = model(segment, memory)
        states.append(state)
    assert memory is not None
    hidden = torch.cat(states, dim=1)
    losses = model.token_losses(hidden, ids[:, 1:], memory.past)
    losses = cluster_by_cluster(losses, ids[:, 1:], model.config, segments=segments)
    layers = [*memory.layers, hidden[:, -memory.length :]]
    return {"hidden": hidden, "token_loss": losses, **{f"mems.{i}": layer for i, layer in enumerate(layers)}}


def farthest(found: dict[str, Tensor], name: str) -> float:
    vectors = load_file(FOLDER / f"{name}.vectors.safetensors")
    assert set(found) == set(vectors) - {"input_ids"}
    return max(float((value - torch.from_numpy(vectors[key])).abs().max()) for key, value in found.items())


def golden_ids(name: str) -> Tensor:
    return torch.from_numpy(load_file(FOLDER / f"{name}.vectors.safetensors")["input_ids"])


@golden
@pytest.mark.parametrize("name", NAMES)
def test_the_papers_own_code_gives_the_same(name: str) -> None:
    config = our_config(name)
    weights = import_state(load_file(FOLDER / f"{name}.weights.safetensors"), config, layout=REFERENCE)
    found = outputs(model_of(config, weights), golden_ids(name), segments=4)
    assert float(found["token_loss"].std()) > 0.1
    assert farthest(found, name) < TOLERANCE


@golden
@pytest.mark.parametrize("name", NAMES)
def test_every_rule_is_needed(name: str) -> None:
    config, ids = our_config(name), golden_ids(name)
    theirs = load_file(FOLDER / f"{name}.weights.safetensors")
    model = model_of(config, import_state(theirs, config, layout=REFERENCE))
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for rule in weight_rules(config, layout=REFERENCE):
        if rule.op is Op.COMPUTED:
            continue
        parameter = parameters[rule.ours]
        before = parameter.detach().clone()
        with torch.no_grad():
            parameter += 0.3 * (torch.arange(parameter.numel()) % 7 - 2).view(parameter.shape)
        assert farthest(outputs(model, ids, segments=4), name) > 100 * TOLERANCE, rule
        with torch.no_grad():
            parameter.copy_(before)
    assert farthest(outputs(model, ids, segments=4), name) < TOLERANCE


@golden
@pytest.mark.parametrize("name", NAMES)
def test_the_papers_weights_go_back_bit_for_bit(name: str) -> None:
    config = our_config(name)
    theirs = load_file(FOLDER / f"{name}.weights.safetensors")
    back = export_state(import_state(theirs, config, layout=REFERENCE), config, layout=REFERENCE)
    assert set(back) == set(theirs) - {"pos_emb.inv_freq"}
    assert all(np.array_equal(back[key], theirs[key]) for key in back)
    fields, problems = write_model(config, layout=REFERENCE)
    assert not problems
    asked = their_config(name)
    assert {key: fields.get(key, value) for key, value in asked.items()} == asked


SMALL = {
    "vocabulary": 30,
    "width": 16,
    "decoder_layers": 2,
    "heads": 2,
    "feed_forward": 24,
    "special": {"pad": 0, "start": 0, "end": 0},
}
SHAPES: dict[str, dict[str, Any]] = {
    "base": {"recurrence": {"memory": 5}, "adaptive": {"cutoffs": (8, 12, 20)}},
    "large": {
        "recurrence": {"memory": 5, "same_length": True, "clamp": 7, "shared_biases": False},
        "adaptive": {"cutoffs": (8, 12, 20), "divide": 2},
    },
    "narrow": {
        "recurrence": {"memory": 5},
        "adaptive": {"cutoffs": (8,), "width": 12, "tie_projections": False},
    },
    "narrow-tied": {"recurrence": {"memory": 5}, "adaptive": {"cutoffs": (8, 20), "width": 12}},
    "untied": {"recurrence": {"memory": 5}, "adaptive": {"cutoffs": (8,), "divide": 2}, "tie": "none"},
    "before": {"recurrence": {"memory": 5}, "adaptive": {}, "norm_place": "before", "head_size": 5},
}


def described(name: str, **changes: Any) -> GeneratorConfig:
    fields = {**PRESETS["transformer-xl-base"].fields, **SMALL, **SHAPES[name], **changes}
    return GeneratorConfig(family="transfo-xl", model=ModelConfig.model_validate(fields))


def drawn(config: GeneratorConfig) -> TransformerXL:
    torch.manual_seed(0)
    model = TransformerXL(config.model).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.4)
    return model


def state_of(model: TransformerXL) -> Weights:
    return {name: value.numpy() for name, value in model.state_dict().items()}


def export(folder: Path, config: GeneratorConfig) -> Path:
    write_files(folder, export_transformer_xl(config, state_of(drawn(config)), tokenizer={}))
    return folder


@pytest.mark.parametrize("name", SHAPES)
def test_folders_go_out_and_come_back(name: str, tmp_path: Path) -> None:
    config = described(name)
    folder = export(tmp_path / "out", config)
    imported = import_transformer_xl(folder)
    normal = imported.config.model.model_dump()
    asked = config.model.model_dump() | {
        "head_size": config.model.head_width,
        "max_length": normal["max_length"],
    }
    assert normal == asked
    before = state_of(drawn(config))
    assert set(imported.weights) == set(before)
    assert all(np.array_equal(imported.weights[key], before[key]) for key in before)
    model_of(imported.config.model, imported.weights)


def test_the_names_are_those_of_hugging_face(tmp_path: Path) -> None:
    folder = export(tmp_path / "out", described("large"))
    names = set(load_file(folder / "model.safetensors"))
    expected = {f"transformer.word_emb.emb_layers.{i}.weight" for i in range(4)}
    expected |= {f"transformer.word_emb.emb_projs.{i}" for i in range(4)}
    expected |= {"crit.cluster_weight", "crit.cluster_bias", "crit.out_projs.0"}
    expected |= {f"crit.out_layers.{i}.bias" for i in range(4)}
    for i in range(2):
        attention = ("qkv_net.weight", "r_net.weight", "o_net.weight", "r_w_bias", "r_r_bias")
        names_of_layer = [f"dec_attn.{each}" for each in (*attention, "layer_norm.weight", "layer_norm.bias")]
        names_of_layer += [
            f"pos_ff.{each}.{kind}"
            for each in ("CoreNet.0", "CoreNet.3", "layer_norm")
            for kind in ("weight", "bias")
        ]
        expected |= {f"transformer.layers.{i}.{each}" for each in names_of_layer}
    assert names == expected
    shared = set(load_file(export(tmp_path / "base", described("base")) / "model.safetensors"))
    assert {"transformer.r_w_bias", "transformer.r_r_bias"} <= shared
    written = json.loads((folder / "config.json").read_text())
    asked = {"model_type": "transfo-xl", "vocab_size": 30, "div_val": 2, "mem_len": 5, "clamp_len": 7}
    asked |= {"untie_r": True, "same_length": True, "cutoffs": [8, 12, 20], "d_embed": 16, "d_head": 8}
    assert {key: written[key] for key in asked} == asked


def test_the_two_layouts_count_the_gates_from_either_end() -> None:
    config = described("base")
    state = state_of(drawn(config))
    paper, face = (export_state(state, config.model, layout=layout) for layout in (REFERENCE, HUGGING_FACE))
    assert np.array_equal(paper["crit.cluster_weight"], face["crit.cluster_weight"][::-1])
    assert np.array_equal(face["crit.cluster_bias"][1], state["output.gate_biases.1"][0])
    assert not np.array_equal(paper["crit.cluster_bias"], face["crit.cluster_bias"])


def change(folder: Path, weights: Weights, *, without: str = "") -> None:
    state = load_file(folder / "model.safetensors") | weights
    kept = {name: value for name, value in state.items() if name != without}
    (folder / "model.safetensors").write_bytes(transformer_xl.encode_weights(kept))


@pytest.mark.parametrize(
    ("weights", "without", "complaint"),
    [
        ({"extra": np.ones(1, np.float32)}, "", "does not have: extra"),
        ({}, "transformer.layers.1.dec_attn.r_net.weight", "missing weights"),
        (
            {"crit.cluster_bias": np.ones(2, np.float32)},
            "",
            r"crit.cluster_bias has shape \(2,\).* says \(3,\)",
        ),
        ({"crit.out_layers.0.weight": np.ones((30, 16), np.float32)}, "", "crit.out_layers.0.weight differs"),
        ({"transformer.layers.1.dec_attn.r_w_bias": np.ones((2, 8), np.float32)}, "", "r_w_bias differs"),
    ],
    ids=str,
)
def test_weights_that_are_not_the_models(
    weights: Weights, without: str, complaint: str, tmp_path: Path
) -> None:
    folder = export(tmp_path / "out", described("base"))
    change(folder, weights, without=without)
    with pytest.raises(UserError, match=complaint):
        import_transformer_xl(folder)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("attn_type", 1, "attn_type = 1"),
        ("tie_projs", [True, True, True, True], "tie_projs = "),
        ("mem_len", 0, "memory: Input should be greater than 0"),
        ("cutoffs", [8, 12, 40], "cutoff 40 is not within the vocabulary of 30"),
        ("clamp_len", "far", "a field is of the wrong type"),
    ],
)
def test_configurations_that_cannot_be_expressed(
    field: str, value: Any, complaint: str, tmp_path: Path
) -> None:
    folder = export(tmp_path / "out", described("base"))
    theirs = json.loads((folder / "config.json").read_text()) | {field: value}
    (folder / "config.json").write_text(json.dumps(theirs))
    with pytest.raises(UserError, match=complaint):
        import_transformer_xl(folder)


def test_a_pickle_is_not_read(tmp_path: Path) -> None:
    folder = export(tmp_path / "out", described("base"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="TransfoXLLMHeadModel.from_pretrained"):
        import_transformer_xl(folder)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"gated": True}, "gated = true"),
        ({"activation": "gelu"}, 'activation = "gelu"'),
        ({"norm": "rms"}, "norm = "),
    ],
)
def test_models_that_the_layout_cannot_express(changes: dict[str, Any], complaint: str) -> None:
    config = described("base", **changes)
    with pytest.raises(UserError, match=complaint):
        export_transformer_xl(config, state_of(drawn(config)), tokenizer={})


# Dai et al. 2019, table 1, says 151M and 257M. The large model of the published script and checkpoint has 285M.
@pytest.mark.parametrize(
    ("name", "expected"), [("transformer-xl-base", 151_107_538), ("transformer-xl-large", 285_170_506)]
)
def test_presets_have_the_published_sizes(name: str, expected: int) -> None:
    with torch.device("meta"):
        model = TransformerXL(ModelConfig(vocabulary=267_735, **PRESETS[name].fields))
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_export_knows_every_field_of_a_model() -> None:
    """A field that the tables do not know would be lost in silence."""
    carried = {field.ours for field in transformer_xl._FIELDS} | set(transformer_xl._OUR_ONLY)
    in_words = {"vocabulary", "tie", "special", "recurrence", "adaptive"}
    refused = {"kv_heads", "query_key_norm", "query_key_value_bias", "window", "segments", "embedding_norm"}
    only_for_training = {"initialisation", "zero_output", "activation_dropout"}
    without_effect = {
        "encoder_layers",
        "pointer",
        "global_every",
        "max_length",
        "position_offset",
        "rotary_base",
        "rotary_scaling",
    }
    assert carried | in_words | refused | only_for_training | without_effect == set(ModelConfig.model_fields)
