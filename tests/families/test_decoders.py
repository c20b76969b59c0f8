"""Decoders' folders: what config.json may say in its several versions, what is refused, and the presets' published sizes."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from weft.config import GeneratorConfig, ModelConfig
from weft.errors import UserError
from weft.families import _DECODERS, PRESETS, export_folder, import_folder
from weft.families.llama import _every, _slides
from weft.models.decoder import Decoder
from weft.saved import make_model

SMALL = {
    "vocabulary": 12,
    "width": 8,
    "heads": 2,
    "decoder_layers": 2,
    "feed_forward": 12,
    "max_length": 20,
    "special": {"pad": 2, "start": 1, "end": 2},
    "global_every": 0,
}
GPT2 = ModelConfig(**{**PRESETS["gpt2"].fields, **SMALL})
LLAMA = ModelConfig(
    **SMALL,
    architecture="decoder",
    kv_heads=1,
    activation="silu",
    gated=True,
    norm="rms",
    norm_epsilon=1e-5,
    bias=False,
    position="rotary",
    scale_embedding=False,
    tie="none",
    initialisation="normal",
)


def with_(model: ModelConfig, **changes: Any) -> ModelConfig:
    return ModelConfig(**{**model.model_dump(), **changes})


MISTRAL = with_(LLAMA, window=3)
QWEN2 = with_(LLAMA, query_key_value_bias=True)
QWEN3 = with_(LLAMA, query_key_norm=True, head_size=6)
MODELS = {"gpt2": GPT2, "llama": LLAMA, "mistral": MISTRAL, "qwen2": QWEN2, "qwen3": QWEN3}


def described(model: ModelConfig, **fields: Any) -> GeneratorConfig:
    return GeneratorConfig(model=model, **fields)


def weights_of(config: GeneratorConfig) -> dict[str, Any]:
    torch.manual_seed(0)
    drawn = make_model(config)
    with torch.no_grad():
        for parameter in drawn.parameters():
            parameter.normal_()
    return {name: value.numpy() for name, value in drawn.state_dict().items()}


def export(folder: Path, config: GeneratorConfig) -> Path:
    export_folder(folder, config=config, weights=weights_of(config), tokenizer={})
    return folder


def edit(file: Path, change: dict[str, Any], *, without: tuple[str, ...] = ()) -> None:
    content = json.loads(file.read_text()) | change
    file.write_text(json.dumps({name: value for name, value in content.items() if name not in without}))


def rename(folder: Path, change: Callable[[str], str], **extra: torch.Tensor) -> None:
    """Give the weights other names, and put more of them in."""
    weights = load_file(folder / "model.safetensors")
    save_file({change(name): value for name, value in weights.items()} | extra, folder / "model.safetensors")


@pytest.mark.parametrize("name", MODELS)
def test_there_and_back(name: str, tmp_path: Path) -> None:
    """Each model goes out as the first of the families that can express it, and comes back as it was."""
    config = described(MODELS[name])
    folder = export(tmp_path / "theirs", config)
    assert json.loads((folder / "config.json").read_text())["model_type"] == name
    imported = import_folder(folder)
    assert imported.config == config.model_copy(update={"family": name})
    expected = weights_of(config)
    assert imported.weights.keys() == expected.keys()
    assert all(np.array_equal(imported.weights[each], expected[each]) for each in expected)


def test_a_model_goes_out_as_what_it_was(tmp_path: Path) -> None:
    """A Mistral without a window, which Llama's layout could express, too."""
    for name in ("mistral", "llama"):
        folder = export(tmp_path / name, described(LLAMA, family=name))
        assert json.loads((folder / "config.json").read_text())["model_type"] == name
        assert import_folder(folder).config.model == LLAMA


@pytest.mark.parametrize(
    ("every", "layers", "kinds"),
    [(0, 3, "sss"), (1, 3, "fff"), (2, 3, "fsf"), (3, 4, "fssf")],
)
def test_layers_with_a_window(every: int, layers: int, kinds: str, tmp_path: Path) -> None:
    model = with_(QWEN2, window=3, global_every=every, decoder_layers=layers)
    assert "".join("s" if each else "f" for each in _slides(model)) == kinds
    assert _every(_slides(model)) == every
    found = import_folder(export(tmp_path / "out", described(model, family="qwen2"))).config.model
    assert _slides(found) == _slides(model)
    assert found.window == (3 if "s" in kinds else None)


def test_another_pattern_of_windows_is_refused(tmp_path: Path) -> None:
    folder = export(tmp_path / "out", described(QWEN2, family="qwen2"))
    kinds = ["sliding_attention", "full_attention"]
    edit(folder / "config.json", {"use_sliding_window": True, "sliding_window": 3, "layer_types": kinds})
    with pytest.raises(UserError, match=r"cannot express this Qwen2 model: layer_types = .*each nth layer"):
        import_folder(folder)


def test_names_of_the_first_days_and_masks_as_weights(tmp_path: Path) -> None:
    """As gpt2 is published: no `transformer.` in front, and the triangle of each layer's mask among the weights."""
    folder = export(tmp_path / "theirs", described(GPT2))
    expected = import_folder(folder)
    masks = {
        f"h.{layer}.attn.{name}": value
        for layer in range(2)
        for name, value in (
            ("bias", torch.ones(1, 1, 20, 20, dtype=torch.bool).tril()),
            ("masked_bias", torch.tensor(-1e4)),
        )
    }
    rename(folder, lambda name: name.removeprefix("transformer."), **masks)
    edit(folder / "config.json", {"n_ctx": 20}, without=("pad_token_id", "n_inner", "tie_word_embeddings"))
    edit(folder / "config.json", {"n_inner": 12, "pad_token_id": None})
    found = import_folder(folder)
    assert found.config == expected.config
    assert all(np.array_equal(found.weights[name], expected.weights[name]) for name in expected.weights)


def test_angles_as_weights(tmp_path: Path) -> None:
    folder = export(tmp_path / "theirs", described(LLAMA))
    angles = {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": torch.ones(2) for layer in range(2)}
    rename(folder, str, **angles)
    assert import_folder(folder).config.model == LLAMA


def test_keys_left_out_have_the_families_defaults(tmp_path: Path) -> None:
    folder = export(tmp_path / "gpt2", described(with_(GPT2, feed_forward=32)))
    names = ("n_inner", "activation_function", "layer_norm_epsilon", "tie_word_embeddings", "attn_pdrop")
    edit(folder / "config.json", {}, without=names)
    assert import_folder(folder).config.model == with_(GPT2, feed_forward=32)
    folder = export(tmp_path / "mistral", described(MISTRAL))
    edit(folder / "config.json", {}, without=("sliding_window", "head_dim", "rope_parameters", "rope_theta"))
    assert import_folder(folder).config.model == with_(LLAMA, window=4096)
    edit(folder / "config.json", {"sliding_window": None})  # which says that there is none
    assert import_folder(folder).config.model == LLAMA


# Rotary positions.


@pytest.mark.parametrize(
    ("parameters", "attention"),
    [
        ({}, 0.1 * np.log(4) + 1),
        ({"attention_factor": 1.5}, 1.5),
        ({"mscale": 0.7, "mscale_all_dim": 0.3}, (0.07 * np.log(4) + 1) / (0.03 * np.log(4) + 1)),
    ],
)
def test_how_sharp_yarn_is(parameters: dict[str, float], attention: float, tmp_path: Path) -> None:
    folder = export(tmp_path / "out", described(LLAMA))
    told = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 5, **parameters}
    edit(folder / "config.json", {"rope_scaling": told, "rope_theta": 1e6})
    model = import_folder(folder).config.model
    assert model.rotary_base == 1e6
    assert model.rotary_scaling is not None
    assert model.rotary_scaling.attention == pytest.approx(attention)
    assert (model.rotary_scaling.fast, model.rotary_scaling.original_length) == (32, 5)
    again = import_folder(export(tmp_path / "again", described(model))).config.model
    assert again == model


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            {"rope_type": "dynamic", "factor": 2.0},
            'rope_type = "dynamic" (known: "default", "linear", "llama3"',
        ),
        ({"rope_type": "longrope", "factor": 2.0}, 'rope_type = "longrope"'),
        ({"rope_type": ["yarn"]}, 'rope_type = ["yarn"]'),
        ({"rope_type": "llama3", "factor": 2.0}, "rope_scaling without low_freq_factor"),
        ({"rope_type": "yarn"}, "rope_scaling without factor"),
        ({"rope_type": "yarn", "factor": 2.0, "truncate": False}, "rope_scaling with truncate = false"),
        ({"rope_type": "linear", "factor": 2.0, "extra": 1}, "rope_scaling with extra = 1"),
        ({"full_attention": {"rope_type": "default"}}, "rope_scaling with full_attention"),
        ({"rope_type": "default", "partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5 (not 1.0)"),
        ([1], "rope_scaling = [1]"),
    ],
)
def test_rotary_positions_that_weft_does_not_have(change: object, named: str, tmp_path: Path) -> None:
    folder = export(tmp_path / "out", described(LLAMA))
    edit(folder / "config.json", {"rope_scaling": change})
    with pytest.raises(UserError, match="cannot express this Llama model") as error:
        import_folder(folder)
    assert named in str(error.value)


# What is refused.


@pytest.mark.parametrize(
    ("name", "change", "named"),
    [
        ("gpt2", {"activation_function": "tanh"}, 'activation_function = "tanh" (known: "relu"'),
        ("gpt2", {"embd_pdrop": 0.3}, "embd_pdrop = 0.3 beside resid_pdrop = 0.1"),
        ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights = false (not true)"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx = true"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention = true (not false)"),
        ("gpt2", {"tie_word_embeddings": None}, "tie_word_embeddings = null"),
        ("llama", {"quantization_config": {"bits": 4}}, 'quantization_config = {"bits": 4}'),
        ("llama", {"attention_bias": True}, "attention_bias = true beside mlp_bias = false"),
        ("llama", {"hidden_act": "mish"}, 'hidden_act = "mish"'),
        ("mistral", {"layer_types": ["full_attention", "sliding_attention"]}, "layer_types = "),
        ("qwen3", {"attention_bias": True}, "attention_bias = true (not false)"),
    ],
)
def test_what_weft_cannot_express(name: str, change: dict[str, Any], named: str, tmp_path: Path) -> None:
    folder = export(tmp_path / "theirs", described(MODELS[name]))
    edit(folder / "config.json", change)
    with pytest.raises(UserError, match="weft cannot express this") as error:
        import_folder(folder)
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": 9, "head_dim": None}, r"config\.json: .*width 9 is not a multiple of heads 2"),
        ({"vocab_size": "many"}, r"config\.json: vocabulary: Input should be a valid integer"),
        ({"eos_token_id": 12}, r"config\.json: eos_token_id = 12, but vocab_size = 12"),
        ({"pad_token_id": -1}, r"config\.json: pad_token_id = -1, but vocab_size = 12"),
        ({"eos_token_id": None}, r"config\.json: no eos_token_id"),
        ({"architectures": ["LlamaForTokenClassification"]}, "none that weft imports"),
        (
            {"model_type": "lama", "architectures": None},
            r'no family that weft imports \(did you mean "llama"',
        ),
    ],
)
def test_configurations_that_are_none(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = export(tmp_path / "theirs", described(LLAMA))
    (folder / "generation_config.json").unlink()
    edit(folder / "config.json", change)
    with pytest.raises(UserError, match=message):
        import_folder(folder)


@pytest.mark.parametrize(
    ("name", "weight", "shape", "message"),
    [
        ("gpt2", "transformer.h.1.attn.c_attn.weight", (8, 25), r"has shape \(8, 25\), .* says \(8, 24\)"),
        ("gpt2", "transformer.h.0.mlp.c_fc.weight", (12, 8), r"has shape \(12, 8\), .* says \(8, 12\)"),
        ("gpt2", "transformer.h.0.attn.c_attn.bias", (8,), r"has shape \(8,\), .* says \(24,\)"),
        ("gpt2", "transformer.wpe.weight", (21, 8), r"has shape \(21, 8\), .* says \(20, 8\)"),
        ("llama", "model.layers.0.self_attn.k_proj.weight", (8, 8), r"has shape \(8, 8\), .* says \(4, 8\)"),
        ("qwen3", "model.layers.1.self_attn.q_norm.weight", (8,), r"has shape \(8,\), .* says \(6,\)"),
        ("qwen3", "model.layers.0.self_attn.o_proj.weight", (8, 8), r"has shape \(8, 8\), .* says \(8, 12\)"),
    ],
)
def test_damaged_weights(
    name: str, weight: str, shape: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    folder = export(tmp_path / "theirs", described(MODELS[name]))
    rename(folder, str, **{weight: torch.zeros(shape)})
    with pytest.raises(UserError, match=f"^{re.escape(str(folder))}: {re.escape(weight)} {message}"):
        import_folder(folder)


@pytest.mark.parametrize(
    ("change", "extra", "message"),
    [
        (lambda name: name.replace("lm_head", "head"), {}, "does not have: head.weight"),
        (
            str,
            {"model.layers.0.self_attn.q_proj.bias": torch.zeros(8)},
            "does not have: model.layers.0.self_attn.q",
        ),
        (lambda name: name.replace("layers.1", "layers.2"), {}, "weights that this family does not have"),
    ],
)
def test_weights_of_another_model(
    change: Callable[[str], str], extra: dict[str, torch.Tensor], message: str, tmp_path: Path
) -> None:
    folder = export(tmp_path / "theirs", described(LLAMA))
    rename(folder, change, **extra)
    with pytest.raises(UserError, match=message):
        import_folder(folder)


def test_a_missing_weight_and_a_tied_one_that_is_not(tmp_path: Path) -> None:
    folder = export(tmp_path / "theirs", described(LLAMA))
    weights = load_file(folder / "model.safetensors")
    output = weights.pop("lm_head.weight")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"missing weights: lm_head\.weight"):
        import_folder(folder)
    edit(folder / "config.json", {"tie_word_embeddings": True})
    assert import_folder(folder).config.model.tie == "two"
    save_file(weights | {"lm_head.weight": output}, folder / "model.safetensors")
    with pytest.raises(UserError, match=r"lm_head\.weight differs from the weight"):
        import_folder(folder)


@pytest.mark.parametrize(
    ("model", "change", "named"),
    [
        (GPT2, {"norm_scale": False}, "GPT-2 layout, .*norm_scale = false"),
        (GPT2, {"norm_place": "after"}, 'norm_place = "after"'),
        (GPT2, {"scale_embedding": True}, "scale_embedding = true"),
        (GPT2, {"kv_heads": 1}, "kv_heads = 1 beside heads = 2"),
        (GPT2, {"query_key_value_bias": False}, "query_key_value_bias = false"),
        (GPT2, {"head_size": 6}, "head_size = 6 beside width = 8"),
        (GPT2, {"position_offset": 2}, "position_offset = 2"),
        (GPT2, {"output_bias": True}, "output_bias = true"),
        (LLAMA, {"gated": False}, "gated = false"),
        (LLAMA, {"position": "alibi"}, 'position = "alibi"'),
        (LLAMA, {"embedding_norm": True}, "embedding_norm = true"),
        (QWEN3, {"query_key_value_bias": True}, "query_key_norm = true"),
        (LLAMA, {"bias": True, "query_key_value_bias": False}, "query_key_value_bias = false"),
        (LLAMA, {"window": 3, "global_every": 2, "bias": True}, "window = 3 with global_every = 2"),
    ],
)
def test_what_no_layout_can_express(
    model: ModelConfig, change: dict[str, Any], named: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="cannot express this model.*--preset gpt2") as error:
        export(tmp_path / "out", described(with_(model, **change)))
    assert re.search(named, str(error.value))
    assert not list(tmp_path.iterdir())


def test_export_knows_every_field_of_a_model() -> None:
    """A field that the tables do not know would be lost in silence."""
    in_words = {
        *("feed_forward", "kv_heads", "head_size", "query_key_value_bias", "norm_epsilon", "rotary_base"),
        *("rotary_scaling", "window", "global_every", "bias", "tie", "special", "norm_scale", "norm_place"),
        *("architecture", "embedding_norm", "scale_embedding", "output_bias", "ngrams"),
    }
    only_for_training = {
        "initialisation",
        "zero_output",
        "dropout",
        "attention_dropout",
        "activation_dropout",
    }
    # Of encoders, of GPT-2, and of Transformer-XL.
    of_others = {"encoder_layers", "segments", "position_offset", "recurrence", "adaptive", "pointer"}
    for family in _DECODERS:
        carried = {field.ours for field in family.fields} | set(family.our_only)
        assert carried | in_words | only_for_training | of_others == set(ModelConfig.model_fields)


# Special tokens and how to generate.


def test_several_ends(tmp_path: Path) -> None:
    folder = export(tmp_path / "out", described(LLAMA))
    edit(folder / "config.json", {"eos_token_id": [7, 5]})
    edit(folder / "generation_config.json", {"eos_token_id": [5, 9]})
    config = import_folder(folder).config
    assert isinstance(config, GeneratorConfig)
    assert (config.model.special.end, config.ends) == (7, (5, 9))
    again = import_folder(export(tmp_path / "again", config)).config
    assert again == config


@pytest.mark.parametrize("special", [{"pad": 2, "start": 2, "end": 2}, {"pad": 0, "start": 1, "end": 2}])
def test_padding_may_be_absent(special: dict[str, int], tmp_path: Path) -> None:
    config = described(with_(LLAMA, special=special), family="llama")
    folder = export(tmp_path / "out", config)
    told = json.loads((folder / "config.json").read_text())
    assert (
        told["pad_token_id"] == (special["pad"] or None if special["pad"] == 2 else 0) or special["pad"] == 2
    )
    assert (told["pad_token_id"] is None) == (special["pad"] == special["end"])
    assert import_folder(folder).config == config


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({}, {}),
        ({"temperature": 0.6}, {}),  # which greedy search does not use
        (
            {"do_sample": True, "temperature": 0.6, "top_p": 0.9},
            {"sample": True, "temperature": 0.6, "top_k": 50, "top_p": 0.9, "min_p": 0.0},
        ),
        (
            {"num_beams": 4, "max_new_tokens": 9, "repetition_penalty": 1.1, "max_length": 30},
            {"beams": 4, "max_length": 9, "repetition_penalty": 1.1},
        ),
        ({"bad_words_ids": [[3, 4]]}, {"banned": ((3, 4),)}),
    ],
)
def test_how_a_folder_wants_to_be_sampled_from(
    theirs: dict[str, Any], ours: dict[str, Any], tmp_path: Path
) -> None:
    folder = export(tmp_path / "out", described(LLAMA))
    edit(folder / "generation_config.json", theirs)
    config = import_folder(folder).config
    assert isinstance(config, GeneratorConfig)
    assert config.generation == ours
    assert import_folder(export(tmp_path / "again", config)).config == config


def test_ways_to_generate_that_weft_has_not(tmp_path: Path) -> None:
    folder = export(tmp_path / "out", described(LLAMA))
    edit(
        folder / "generation_config.json",
        {"encoder_repetition_penalty": 2.0, "do_sample": True, "num_beams": 4},
    )
    with pytest.raises(
        UserError,
        match=r"encoder_repetition_penalty = 2.0 \(not 1.0\); num_beams = 4 beside do_sample = true",
    ):
        import_folder(folder)


# Presets.


@pytest.mark.parametrize(
    ("preset", "count"),
    [
        ("gpt2", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("gpt2-large", 774_030_080),
        ("gpt2-xl", 1_557_611_200),
    ],
)
def test_presets_have_the_published_sizes(preset: str, count: int) -> None:
    """Those of the published checkpoints; the paper's table 2 tells other ones, which its authors have since corrected."""
    with torch.device("meta"):
        model = Decoder(ModelConfig(vocabulary=50257, **PRESETS[preset].fields))
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    assert "table 2" in PRESETS[preset].source
