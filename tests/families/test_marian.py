"""Marian's folders: what config.json may say in its several versions, and what is refused."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weft.config import ModelConfig, TranslatorConfig
from weft.errors import UserError
from weft.exchange import export_model
from weft.families import export_folder, import_folder, marian
from weft.families.huggingface import encode_weights, read_weights
from weft.generate.config import SearchConfig
from weft.models.seq2seq import Seq2Seq

CONFIG = ModelConfig(
    vocabulary=12,
    width=8,
    encoder_layers=2,
    decoder_layers=1,
    heads=2,
    feed_forward=16,
    norm_place="after",
    position="sinusoidal_halves",
    max_length=20,
    output_bias=True,
    initialisation="normal",
    special={"pad": 11, "start": 11, "end": 0},  # type: ignore[arg-type]
)


def weights_of(config: ModelConfig) -> dict[str, Any]:
    torch.manual_seed(0)
    return {name: torch.randn(value.shape).numpy() for name, value in Seq2Seq(config).state_dict().items()}


def described(config: ModelConfig, **generation: Any) -> TranslatorConfig:
    return TranslatorConfig(directions=(("a", "b"),), tags=False, model=config, generation=generation)


def export(folder: Path, config: ModelConfig = CONFIG, **generation: Any) -> Path:
    export_folder(
        folder,
        config=described(config, **generation),
        weights=weights_of(config),
        tokenizer={},
    )
    return folder


def edit(file: Path, change: dict[str, Any]) -> None:
    """Set keys of a JSON file; None takes a key out."""
    content = json.loads(file.read_text()) | change
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return export(tmp_path / "theirs")


def test_there_and_back(tmp_path: Path) -> None:
    options = {"beams": 6, "banned": ((11,),), "force_end": True, "max_length": 15, "renormalise": True}
    imported = import_folder(export(tmp_path / "theirs", **options))
    assert imported.config.family == "marian"
    assert imported.config.model == CONFIG
    assert imported.config.generation == options
    assert SearchConfig(**imported.config.generation).banned == ((11,),)
    state = Seq2Seq(imported.config.model)
    state.load_state_dict({name: torch.from_numpy(value) for name, value in imported.weights.items()})
    assert np.array_equal(
        imported.weights["output.weight"], weights_of(CONFIG)["source_embedding.tokens.weight"]
    )


def test_a_config_of_version_4(folder: Path) -> None:
    """As published OPUS-MT models have it: generation in config.json, and keys of several ages."""
    (folder / "generation_config.json").unlink()
    edit(
        folder / "config.json",
        {
            "_num_labels": 3,
            "activation_function": "swish",
            "add_bias_logits": False,
            "add_final_layer_norm": False,
            "bad_words_ids": [[11]],
            "bos_token_id": 0,
            "classif_dropout": 0.0,
            "forced_eos_token_id": 0,
            "id2label": {"0": "LABEL_0"},
            "max_length": 512,
            "normalize_before": False,
            "normalize_embedding": False,
            "num_beams": 6,
            "num_hidden_layers": 2,
            "static_position_embeddings": True,
            "torch_dtype": "float16",
            "transformers_version": "4.22.0",
        },
    )
    imported = import_folder(folder)
    assert imported.config.model.activation == "silu"
    # No output is longer than there are positions.
    assert imported.config.generation == {"beams": 6, "banned": ((11,),), "force_end": True, "max_length": 20}


def test_an_old_folder_forces_the_end_unasked(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    edit(folder / "config.json", {"forced_eos_token_id": None})
    assert import_folder(folder).config.generation == {"force_end": True, "banned": ()}


def test_keys_left_out_have_marians_defaults(folder: Path) -> None:
    names = ("activation_function", "dropout", "scale_embedding", "decoder_vocab_size", "tie_word_embeddings")
    edit(folder / "config.json", dict.fromkeys(names))
    config = import_folder(folder).config.model
    assert (config.activation, config.dropout, config.scale_embedding, config.tie) == (
        "gelu",
        0.1,
        False,
        "three",
    )


def test_ids_of_generation_come_first(folder: Path) -> None:
    edit(
        folder / "generation_config.json",
        {"decoder_start_token_id": 5, "eos_token_id": [3], "forced_eos_token_id": 3},
    )
    imported = import_folder(folder)
    assert (imported.config.model.special.start, imported.config.model.special.end) == (5, 3)
    assert imported.config.generation["force_end"]


def test_the_end_is_never_banned(folder: Path) -> None:
    edit(folder / "generation_config.json", {"bad_words_ids": [[11], [0], [3, 4]]})
    assert import_folder(folder).config.generation["banned"] == ((11,), (3, 4))


def test_zero_output_bias_is_none(folder: Path, tmp_path: Path) -> None:
    weights = read_weights(folder, loader="AutoModel")
    weights["final_logits_bias"][:] = 0
    (folder / "model.safetensors").write_bytes(encode_weights(weights))
    imported = import_folder(folder)
    assert not imported.config.model.output_bias
    again = export(tmp_path / "again", imported.config.model)
    assert np.array_equal(read_weights(again, loader="AutoModel")["final_logits_bias"], np.zeros((1, 12)))


def test_other_names_of_tied_weights_and_stored_positions(folder: Path) -> None:
    weights = read_weights(folder, loader="AutoModel")
    rates = 10000.0 ** (-np.arange(0, 8, 2) / 8)
    angles = np.arange(20)[:, None] * rates
    table = np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
    shared = weights.pop("model.shared.weight")
    extra = {"lm_head.weight": shared, "model.decoder.embed_tokens.weight": shared}
    positions = {f"model.{side}.embed_positions.weight": table for side in ("encoder", "decoder")}
    (folder / "model.safetensors").write_bytes(encode_weights(weights | extra | positions))
    assert np.array_equal(import_folder(folder).weights["source_embedding.tokens.weight"], shared)
    positions["model.decoder.embed_positions.weight"] = table[::-1]
    (folder / "model.safetensors").write_bytes(encode_weights(weights | extra | positions))
    with pytest.raises(UserError, match=r"decoder\.embed_positions\.weight holds other positions"):
        import_folder(folder)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"activation_function": "mish"}, ['activation_function = "mish" (known: "relu"']),
        ({"decoder_attention_heads": 4}, ["decoder_attention_heads = 4 beside encoder_attention_heads = 2"]),
        (
            {"decoder_ffn_dim": 8, "encoder_layerdrop": 0.1},
            ["decoder_ffn_dim = 8", "encoder_layerdrop = 0.1"],
        ),
        ({"decoder_vocab_size": 13}, ["decoder_vocab_size = 13 beside vocab_size = 12"]),
        (
            {"tie_word_embeddings": False},
            ["tie_word_embeddings = false beside share_encoder_decoder_embeddings"],
        ),
        ({"normalize_before": True}, ["normalize_before = true (not false)"]),
        ({"add_final_layer_norm": True}, ["add_final_layer_norm = true"]),
        ({"static_position_embeddings": False}, ["static_position_embeddings = false"]),
    ],
)
def test_what_weft_cannot_express(change: dict[str, Any], named: list[str], folder: Path) -> None:
    edit(folder / "config.json", change)
    with pytest.raises(UserError, match="cannot express this Marian model") as error:
        import_folder(folder)
    assert all(words in str(error.value) for words in named)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"do_sample": True}, "do_sample = true"),
        ({"forced_eos_token_id": 4}, "forced_eos_token_id = 4 beside eos_token_id = 0"),
        ({"bad_words_ids": [3]}, "bad_words_ids = [3]"),
        ({"max_length": "long"}, 'max_length = "long"'),
        ({"encoder_repetition_penalty": 2.0}, "encoder_repetition_penalty = 2.0"),
    ],
)
def test_a_search_that_weft_does_not_have(change: dict[str, Any], named: str, folder: Path) -> None:
    edit(folder / "generation_config.json", change)
    with pytest.raises(UserError, match=re.escape(named)):
        import_folder(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d_model": "wide"}, r"config\.json: width: Input should be a valid integer"),
        ({"d_model": 9}, "width 9 is not a multiple of heads 2"),
        ({"d_model": 16}, r"has shape \(12, 8\), but the configuration says \(12, 16\)"),
        ({"encoder_layers": 3}, r"missing weights: model\.encoder\.layers\.2\.fc1\.bias"),
        ({"encoder_layers": 1}, r"does not have: model\.encoder\.layers\.1\.fc1\.bias.* and 11 more"),
        ({"pad_token_id": 12}, "pad_token_id = 12, but vocab_size = 12"),
    ],
)
def test_a_config_that_does_not_fit(change: dict[str, Any], message: str, folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    edit(folder / "config.json", change)
    with pytest.raises(UserError, match=message):
        import_folder(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model_type": "marain"},
            r'"marain" is no family that weft imports \(did you mean "marian"\?\) \(known: marian',
        ),
        (
            {"model_type": "t5", "architectures": None},
            r'"t5" is no family .* \(known: marian, bert, roberta, .*\)',
        ),
        ({"model_type": None, "architectures": None}, "a config.json without a model_type"),
        ({"model_type": ["marian"]}, "no family that weft imports"),
        ({"architectures": "MarianMTModel"}, "architectures is no list of names"),
        ({"architectures": [["MarianMTModel"]]}, "architectures is no list of names"),
        ({"architectures": ["MarianModel"]}, '"MarianModel" is none that weft imports.*known: MarianMTModel'),
    ],
)
def test_families_that_weft_does_not_know(change: dict[str, Any], message: str, folder: Path) -> None:
    edit(folder / "config.json", change)
    with pytest.raises(UserError, match=message):
        import_folder(folder)


def test_the_architecture_tells_the_family(folder: Path) -> None:
    edit(folder / "config.json", {"model_type": None})
    assert import_folder(folder).config.family == "marian"


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        import_folder(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"no config\.json in it"):
        import_folder(tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"position": "rotary"}, 'position = "rotary" (not "sinusoidal_halves")'),
        ({"position": "sinusoidal"}, 'position = "sinusoidal"'),
        ({"norm": "rms", "norm_scale": False}, 'norm = "rms" (not "layer"); norm_scale = false (not true)'),
        ({"norm_place": "before"}, 'norm_place = "before"'),
        ({"gated": True}, "gated = true"),
        ({"bias": False}, "bias = false"),
        ({"query_key_norm": True}, "query_key_norm = true"),
        ({"embedding_norm": True}, "embedding_norm = true"),
        ({"norm_epsilon": 1e-12}, "norm_epsilon = 1e-12"),
        ({"window": 3}, "window = 3"),
        ({"kv_heads": 1}, "kv_heads = 1 beside heads = 2"),
    ],
)
def test_what_marians_layout_cannot_express(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    config = ModelConfig(**{**CONFIG.model_dump(), **change, "special": CONFIG.special})
    with pytest.raises(UserError, match="layout cannot express this model") as error:
        export(tmp_path / "out", config)
    assert named in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_search_that_hugging_face_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(UserError, match='scoring = "gnmt"'):
        export(tmp_path / "out", scoring="gnmt")
    assert not list(tmp_path.iterdir())


def test_export_knows_every_field_of_a_model() -> None:
    """A field that this table does not know would be lost in silence."""
    carried = {field.ours for field in marian._FIELDS} | set(marian._OUR_ONLY)
    checked = {"tie", "output_bias", "special", "kv_heads"}
    only_for_the_start_of_training = {"initialisation", "zero_output"}
    # Learned positions, encoders, windows, rotary positions.
    of_others = {
        "position_offset",
        "segments",
        "global_every",
        "rotary_base",
        "rotary_scaling",
        "recurrence",
        "adaptive",
    }
    assert carried | checked | only_for_the_start_of_training | of_others == set(ModelConfig.model_fields)


def test_unknown_layouts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'no layout "hugingface" \(did you mean "huggingface"\?\)'):
        export_model(tmp_path, out=tmp_path / "out", to="hugingface")


KEYS = [field.theirs for field in marian._FIELDS] + ["pad_token_id", "eos_token_id", "tie_word_embeddings"]
GARBAGE = (
    st.none()
    | st.booleans()
    | st.integers(-2, 40)
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers())
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("garbage") / "theirs")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.dictionaries(st.sampled_from(KEYS), GARBAGE, min_size=1, max_size=3), generation=st.booleans()
)
def test_garbage_is_read_or_refused(changes: dict[str, Any], generation: bool, template: Path) -> None:
    """Whatever config.json holds, an import either gives a model or says why not."""
    file = template / ("generation_config.json" if generation else "config.json")
    before = file.read_text()
    try:
        file.write_text(json.dumps(json.loads(before) | changes))
        with contextlib.suppress(UserError):
            imported = import_folder(template)
            weights = {name: torch.from_numpy(value) for name, value in imported.weights.items()}
            Seq2Seq(imported.config.model).load_state_dict(weights)
    finally:
        file.write_text(before)
