"""BERT's and RoBERTa's folders: what config.json may say in its several versions, and what is refused."""

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from weft.config import (
    FOLDERS,
    AnswererConfig,
    ClassifierConfig,
    EncoderConfig,
    FillerConfig,
    ModelConfig,
    ReaderConfig,
    TaggerConfig,
)
from weft.errors import UserError
from weft.families import PRESETS, export_folder, import_folder, readers
from weft.families.huggingface import read_weights
from weft.models.encoder import Encoder
from weft.saved import make_model

SMALL = {"vocabulary": 12, "width": 8, "heads": 2, "encoder_layers": 1, "feed_forward": 16, "max_length": 20}
BERT = ModelConfig(**{**PRESETS["bert-mini"].fields, **SMALL})
ROBERTA = ModelConfig(**{**PRESETS["roberta-base"].fields, **SMALL, "special": {"pad": 1, "start": 0}})


def described(task: str, model: ModelConfig = BERT, **fields: Any) -> ReaderConfig:
    heads = {
        "embed": ("pooler",),
        "masked-lm": ("masked",),
        "classify": ("pooler", "classify"),
        "tag": ("tag",),
        "answer": ("answer",),
    }
    labels = {"classify": ("bad", "good"), "tag": ("O", "B-x", "I-x")}
    given: dict[str, Any] = {"heads": heads[task], "labels": labels.get(task, ()), "model": model, **fields}
    config = FOLDERS[task](**given)
    assert isinstance(config, ReaderConfig)
    return config


def weights_of(config: ReaderConfig) -> dict[str, Any]:
    torch.manual_seed(0)
    drawn = make_model(config)
    with torch.no_grad():
        for parameter in drawn.parameters():
            parameter.normal_()
    return {name: value.numpy() for name, value in drawn.state_dict().items()}


def export(folder: Path, config: ReaderConfig) -> Path:
    export_folder(folder, config=config, weights=weights_of(config), tokenizer={})
    return folder


def edit(file: Path, change: dict[str, Any]) -> None:
    """Set keys of a JSON file; None takes a key out."""
    content = json.loads(file.read_text()) | change
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def rename(folder: Path, change: Callable[[str], str], **extra: torch.Tensor) -> None:
    """Give the weights other names, and put more of them in."""
    weights = load_file(folder / "model.safetensors")
    named = {change(name): value for name, value in weights.items()}
    save_file(named | extra, folder / "model.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return export(tmp_path / "theirs", described("masked-lm"))


@pytest.mark.parametrize("model", [BERT, ROBERTA], ids=["bert", "roberta"])
@pytest.mark.parametrize("task", ["embed", "masked-lm", "classify", "tag", "answer"])
def test_there_and_back(task: str, model: ModelConfig, tmp_path: Path) -> None:
    config = described(task, model, **({"normalise": False} if task == "embed" else {}))
    imported = import_folder(export(tmp_path / "theirs", config))
    family = "roberta" if model.position_offset else "bert"
    windows = {"length": 20, "stride": 7} if task == "answer" else {}
    assert imported.config == config.model_copy(update={"family": family, **windows})
    expected = weights_of(config)
    assert imported.weights.keys() == expected.keys()
    assert all(np.array_equal(imported.weights[name], expected[name]) for name in expected)


def test_a_config_of_version_4_and_a_checkpoint_of_the_first_days(folder: Path) -> None:
    """As bert-base-uncased is published: both heads of pretraining, though it is called BertForMaskedLM."""
    expected = import_folder(folder).weights
    edit(
        folder / "config.json",
        {
            "bos_token_id": None,
            "eos_token_id": None,
            "classifier_dropout": None,
            "gradient_checkpointing": False,
            "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
            "initializer_range": 0.02,
            "layer_norm_eps": 1e-12,
            "position_embedding_type": "absolute",
            "pruned_heads": {},
            "torch_dtype": "float32",
            "transformers_version": "4.6.0.dev0",
            "use_cache": True,
        },
    )
    further = {
        "bert.embeddings.position_ids": torch.arange(20)[None],
        "bert.embeddings.token_type_ids": torch.zeros(1, 20, dtype=torch.int64),
        "bert.pooler.dense.weight": torch.ones(8, 8),
        "bert.pooler.dense.bias": torch.ones(8),
        "cls.seq_relationship.weight": torch.ones(2, 8),
        "cls.seq_relationship.bias": torch.ones(2),
        "cls.predictions.decoder.weight": torch.from_numpy(expected["embedding.tokens.weight"]),
        "cls.predictions.decoder.bias": torch.from_numpy(expected["heads.masked.output.bias"]),
    }
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}

    def aged(name: str) -> str:
        for new, before in old.items():
            name = name.replace(new, before)
        return name

    rename(folder, aged, **further)
    assert "cls.predictions.transform.LayerNorm.gamma" in load_file(folder / "model.safetensors")
    imported = import_folder(folder)
    assert imported.config == described("masked-lm", heads=("masked", "pooler", "next"), family="bert")
    assert all(np.array_equal(imported.weights[name], expected[name]) for name in expected)
    assert imported.weights["heads.next.output.weight"].shape == (2, 8)


def test_both_heads_of_pretraining_go_out_together(tmp_path: Path) -> None:
    config = described("masked-lm", heads=("masked", "pooler", "next"))
    told = json.loads((export(tmp_path / "theirs", config) / "config.json").read_text())
    assert told["architectures"] == ["BertForPreTraining"]


def test_keys_left_out_have_berts_defaults(folder: Path) -> None:
    names = ("hidden_act", "hidden_dropout_prob", "layer_norm_eps", "type_vocab_size", "pad_token_id")
    edit(folder / "config.json", dict.fromkeys(names))
    model = import_folder(folder).config.model
    assert (model.activation, model.dropout, model.norm_epsilon, model.segments) == ("gelu", 0.1, 1e-12, 2)
    assert model.special.pad == 0


def test_the_encoders_name_may_be_missing_or_there(tmp_path: Path) -> None:
    bare = export(tmp_path / "bare", described("embed"))
    before = import_folder(bare)
    rename(bare, lambda name: f"bert.{name}")
    after = import_folder(bare)
    assert before.config == after.config
    assert all(np.array_equal(before.weights[name], after.weights[name]) for name in before.weights)


@pytest.mark.parametrize(
    ("task", "heads", "known"),
    [
        ("embed", ("pooler",), ("embed", ("pooler",))),
        ("masked-lm", ("masked",), ("masked-lm", ("masked",))),
        ("masked-lm", ("masked", "pooler", "next"), ("masked-lm", ("masked", "pooler", "next"))),
    ],
)
def test_without_an_architecture_the_weights_tell(
    task: str, heads: tuple[str, ...], known: tuple[str, tuple[str, ...]], tmp_path: Path
) -> None:
    folder = export(tmp_path / "theirs", described(task, heads=heads))
    edit(folder / "config.json", {"architectures": None})
    config = import_folder(folder).config
    assert isinstance(config, ReaderConfig)
    assert (config.task, config.heads) == known


def test_a_classifier_without_an_architecture_could_be_of_several(tmp_path: Path) -> None:
    folder = export(tmp_path / "theirs", described("classify"))
    edit(folder / "config.json", {"architectures": None})
    with pytest.raises(UserError, match=r"classifier\.bias may be of several: say which under architectures"):
        import_folder(folder)


def test_a_pooler_left_over_beside_robertas_classifier(tmp_path: Path) -> None:
    folder = export(tmp_path / "theirs", described("classify", ROBERTA))
    expected = import_folder(folder)
    pooler = {"roberta.pooler.dense.weight": torch.ones(8, 8), "roberta.pooler.dense.bias": torch.ones(8)}
    rename(folder, str, **pooler)
    found = import_folder(folder)
    assert found.config == expected.config
    assert np.array_equal(
        found.weights["heads.pooler.dense.weight"], expected.weights["heads.pooler.dense.weight"]
    )


@pytest.mark.parametrize(
    ("change", "labels", "kind"),
    [
        ({}, ("bad", "good"), "single"),
        ({"problem_type": None}, ("bad", "good"), "single"),
        ({"problem_type": "multi_label_classification"}, ("bad", "good"), "multiple"),
        ({"id2label": None}, ("LABEL_0", "LABEL_1"), "single"),
        ({"id2label": None, "num_labels": 2, "problem_type": None}, ("LABEL_0", "LABEL_1"), "single"),
        ({"id2label": {"1": "b", "0": "a"}}, ("a", "b"), "single"),
    ],
)
def test_labels_and_kinds(change: dict[str, Any], labels: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    folder = export(tmp_path / "theirs", described("classify"))
    edit(folder / "config.json", change)
    config = import_folder(folder).config
    assert isinstance(config, ClassifierConfig)
    assert (config.labels, config.kind) == (labels, kind)


def test_one_output_is_a_number(tmp_path: Path) -> None:
    folder = export(tmp_path / "theirs", described("classify", kind="number", labels=("stars",)))
    told = json.loads((folder / "config.json").read_text())
    assert told["problem_type"] == "regression"
    edit(folder / "config.json", {"problem_type": None})
    config = import_folder(folder).config
    assert isinstance(config, ClassifierConfig)
    assert (config.kind, config.labels) == ("number", ("stars",))


@pytest.mark.parametrize(
    ("fields", "scale", "shift"),
    [
        ({"kind": "number", "labels": ("stars",), "mean": 3.5, "deviation": 2.0}, 2.0, 3.5),
        ({"temperature": 4.0}, 0.25, 0.0),
    ],
)
def test_what_is_done_to_scores_goes_into_the_weights(
    fields: dict[str, Any], scale: float, shift: float, tmp_path: Path
) -> None:
    config = described("classify", **fields)
    own, theirs = weights_of(config), read_weights(export(tmp_path / "theirs", config), loader="AutoModel")
    assert np.array_equal(theirs["classifier.weight"], own["heads.classify.output.weight"] * scale)
    assert np.array_equal(theirs["classifier.bias"], own["heads.classify.output.bias"] * scale + shift)
    again = import_folder(tmp_path / "theirs").config
    assert isinstance(again, ClassifierConfig)
    assert (again.mean, again.deviation, again.temperature) == (0.0, 1.0, 1.0)


def test_unused_rows_of_the_positions_come_and_go_with_the_paddings_id(tmp_path: Path) -> None:
    """Row 2 holds the first position here, but is the one behind the padding's id there."""
    for pad, name in ((0, "fewer"), (4, "more")):
        config = described(
            "masked-lm", ROBERTA.model_copy(update={"special": BERT.special.model_copy(update={"pad": pad})})
        )
        folder = export(tmp_path / name, config)
        used = weights_of(config)["encoder.position.table.weight"][2:]
        assert (
            json.loads((folder / "config.json").read_text())["max_position_embeddings"] == len(used) + pad + 1
        )
        found = import_folder(folder)
        assert (found.config.model.position_offset, found.config.model.max_length) == (pad + 1, len(used))
        assert np.array_equal(found.weights["encoder.position.table.weight"][pad + 1 :], used)


# Folders of sentence-transformers.


def sentences(folder: Path, *kinds: str, **pooling: Any) -> Path:
    export(folder, described("embed", normalise=False))
    modules = [
        {"idx": place, "name": str(place), "path": f"{place}_{kind}" if place else "", "type": f"x.y.{kind}"}
        for place, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 8, **pooling}))
    return folder


@pytest.mark.parametrize(
    ("mode", "normalise", "pooling", "length"),
    [
        ("pooling_mode_mean_tokens", True, "mean", 6),
        ("pooling_mode_mean_tokens", False, "mean", None),
        ("pooling_mode_cls_token", True, "first", None),
        ("pooling_mode_cls_token", False, "first", 6),
    ],
)
def test_how_sentence_transformers_makes_vectors(
    mode: str, normalise: bool, pooling: str, length: int | None, tmp_path: Path
) -> None:
    kinds = ("Transformer", "Pooling", *(["Normalize"] if normalise else []))
    folder = sentences(tmp_path / "theirs", *kinds, pooling_mode_max_tokens=False, **{mode: True})
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": length}))
    imported = import_folder(folder)
    assert isinstance(imported.config, EncoderConfig)
    assert (imported.config.pooling, imported.config.normalise) == (pooling, normalise)
    assert imported.config.length == length
    config, weights, tokenizer = imported
    export_folder(tmp_path / "back", config=config, weights=weights, tokenizer=tokenizer)
    assert import_folder(tmp_path / "back").config == config


@pytest.mark.parametrize(
    ("kinds", "pooling", "named"),
    [
        (
            ("Transformer", "Pooling", "Dense"),
            {"pooling_mode_mean_tokens": True},
            "modules.json with Transformer, Pooling, Dense",
        ),
        (
            ("Transformer", "Pooling"),
            {"pooling_mode_max_tokens": True},
            "1_Pooling/config.json with pooling_mode_max_tokens",
        ),
        (
            ("Transformer", "Pooling"),
            {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
            "_cls_token and pooling_mode_mean",
        ),
        (("Transformer", "Pooling"), {}, "1_Pooling/config.json with no pooling"),
    ],
)
def test_vectors_that_weft_does_not_make(
    kinds: tuple[str, ...], pooling: dict[str, bool], named: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=re.escape(named)):
        import_folder(sentences(tmp_path / "theirs", *kinds, **pooling))


def test_a_length_that_is_none(tmp_path: Path) -> None:
    folder = sentences(tmp_path / "theirs", "Transformer", "Pooling", pooling_mode_mean_tokens=True)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": "many"}')
    with pytest.raises(UserError, match='sentence_bert_config.json with max_seq_length = "many"'):
        import_folder(folder)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({}, "modules.json with  "),
        ([1], "not a list of modules"),
        ([{"type": "x.Transformer", "path": "../elsewhere"}], "not the plain name of a folder"),
    ],
)
def test_modules_that_are_none(modules: object, message: str, tmp_path: Path) -> None:
    folder = export(tmp_path / "theirs", described("embed"))
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(UserError, match=message):
        import_folder(folder)


# What is refused.


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            {"hidden_act": "mish", "is_decoder": True},
            ['hidden_act = "mish" (known: "relu"', "is_decoder = true (not false)"],
        ),
        (
            {"position_embedding_type": "relative_key"},
            ['position_embedding_type = "relative_key" (not "absolute")'],
        ),
        ({"add_cross_attention": True}, ["add_cross_attention = true"]),
        ({"tie_word_embeddings": False}, ["tie_word_embeddings = false (not true)"]),
        ({"pruned_heads": {"0": [1]}}, ['pruned_heads = {"0": [1]}']),
    ],
)
def test_what_weft_cannot_express(change: dict[str, Any], named: list[str], folder: Path) -> None:
    edit(folder / "config.json", change)
    with pytest.raises(UserError, match="cannot express this BERT model") as error:
        import_folder(folder)
    assert all(words in str(error.value) for words in named)


@pytest.mark.parametrize(
    ("task", "change", "named"),
    [
        (
            "classify",
            {"classifier_dropout": 0.2},
            "classifier_dropout = 0.2 beside hidden_dropout_prob = 0.1",
        ),
        (
            "classify",
            {"problem_type": "ranking"},
            'problem_type = "ranking" (known: "single_label_classification"',
        ),
        ("classify", {"problem_type": "regression"}, 'problem_type = "regression" beside 2 labels'),
        (
            "classify",
            {"id2label": {"1": "a", "2": "b"}},
            'id2label = {"1": "a", "2": "b"} (not a name for each number from 0)',
        ),
        ("classify", {"id2label": ["a", "b"]}, 'id2label = ["a", "b"]'),
        ("classify", {"id2label": None, "num_labels": 10**12}, "num_labels = 1000000000000"),
        (
            "tag",
            {"id2label": None, "num_labels": 3},
            'id2label with "LABEL_0", "LABEL_1", "LABEL_2" (a tagger',
        ),
        ("tag", {"id2label": {"0": "O", "1": "B-x", "2": "I-y"}}, 'id2label with "I-y" (a tagger'),
        ("tag", {"id2label": {"0": "B-x", "1": "I-x"}}, 'id2label without "O"'),
        ("answer", {"id2label": {"0": "a", "1": "b", "2": "c"}}, "3 labels (not 2"),
    ],
)
def test_tasks_that_weft_does_not_have(task: str, change: dict[str, Any], named: str, tmp_path: Path) -> None:
    folder = export(tmp_path / "theirs", described(task))
    edit(folder / "config.json", change)
    with pytest.raises(UserError, match=re.escape(named)):
        import_folder(folder)


def test_a_dropout_that_nothing_has_is_no_hindrance(tmp_path: Path) -> None:
    folder = export(tmp_path / "theirs", described("answer"))
    edit(folder / "config.json", {"classifier_dropout": 0.2})
    assert isinstance(import_folder(folder).config, AnswererConfig)


def test_robertas_masked_head_has_gelu_alone(tmp_path: Path) -> None:
    other = ROBERTA.model_copy(update={"activation": "relu"})
    assert isinstance(import_folder(export(tmp_path / "tag", described("tag", other))).config, TaggerConfig)
    with pytest.raises(UserError, match=r'activation = "relu" \(not "gelu"\)'):
        export(tmp_path / "masked", described("masked-lm", other))
    folder = export(tmp_path / "theirs", described("masked-lm", ROBERTA))
    edit(folder / "config.json", {"hidden_act": "relu"})
    with pytest.raises(UserError, match=r'RoBERTa model: activation = "relu" \(not "gelu"\)'):
        import_folder(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": "wide"}, r"config\.json: width: Input should be a valid integer"),
        ({"hidden_size": 9}, "width 9 is not a multiple of heads 2"),
        (
            {"hidden_size": 16},
            r"bert\.embeddings\.word_embeddings\.weight has shape \(12, 8\), but the configuration says \(12, 16\)",
        ),
        ({"intermediate_size": 8}, r"layer\.0\.intermediate\.dense\.weight has shape \(16, 8\), .* \(8, 8\)"),
        ({"max_position_embeddings": 21}, r"position_embeddings\.weight has shape \(20, 8\), .* \(21, 8\)"),
        ({"type_vocab_size": 1}, r"token_type_embeddings\.weight has shape \(2, 8\), .* \(1, 8\)"),
        ({"num_hidden_layers": 2}, r"missing weights: bert\.encoder\.layer\.1\.attention"),
        ({"architectures": ["BertForPreTraining"]}, r"missing weights: bert\.pooler\.dense\.bias"),
        ({"architectures": ["BertForQuestionAnswering"]}, r"missing weights: qa_outputs\.bias"),
        ({"architectures": ["BertForMultipleChoice"]}, '"BertForMultipleChoice" is none that weft imports'),
        ({"pad_token_id": 12}, "pad_token_id = 12, but vocab_size = 12"),
        ({"pad_token_id": "0"}, r"special\.pad: Input should be a valid integer"),
    ],
)
def test_a_config_that_does_not_fit(change: dict[str, Any], message: str, folder: Path) -> None:
    edit(folder / "config.json", change)
    with pytest.raises(UserError, match=message):
        import_folder(folder)


def test_labels_and_weights_that_disagree(tmp_path: Path) -> None:
    folder = export(tmp_path / "theirs", described("classify"))
    edit(folder / "config.json", {"id2label": {"0": "a", "1": "b", "2": "c"}})
    with pytest.raises(
        UserError, match=r"classifier\.weight has shape \(2, 8\), but the configuration says \(3, 8\)"
    ):
        import_folder(folder)


def test_a_table_without_a_position(tmp_path: Path) -> None:
    folder = export(tmp_path / "theirs", described("tag", ROBERTA))
    edit(folder / "config.json", {"max_position_embeddings": 2})
    with pytest.raises(UserError, match="max_position_embeddings = 2, of which the first 2 are never used"):
        import_folder(folder)


def test_a_pickle_is_refused_with_the_class_that_converts_it(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"BertForMaskedLM\.from_pretrained\(.*\)\.save_pretrained\('NEW'\)"):
        import_folder(folder)


def test_an_integer_that_is_no_buffer(folder: Path) -> None:
    rename(folder, str, **{"cls.predictions.bias": torch.zeros(12, dtype=torch.int64)})
    with pytest.raises(UserError, match=r"cls\.predictions\.bias is of type I64"):
        import_folder(folder)


def test_tied_weights_that_differ(folder: Path) -> None:
    rename(folder, str, **{"cls.predictions.decoder.weight": torch.zeros(12, 8)})
    with pytest.raises(UserError, match=r"cls\.predictions\.decoder\.weight differs from the weight"):
        import_folder(folder)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"position": "rotary"}, 'position = "rotary" (not "learned")'),
        ({"norm": "rms", "norm_scale": False}, 'norm = "rms" (not "layer"); norm_scale = false (not true)'),
        ({"norm_place": "before"}, 'norm_place = "before" (not "after")'),
        ({"gated": True, "bias": False}, "gated = true (not false); bias = false (not true)"),
        ({"window": 5}, "window = 5 (not null)"),
        ({"embedding_norm": False}, "embedding_norm = false (not true)"),
        ({"query_key_norm": True}, "query_key_norm = true"),
        ({"scale_embedding": True}, "scale_embedding = true"),
        ({"output_bias": False}, "output_bias = false"),
        ({"activation_dropout": 0.1}, "activation_dropout = 0.1"),
        ({"tie": "none"}, 'tie = "none"'),
        ({"segments": 0}, "segments = 0"),
        ({"kv_heads": 1}, "kv_heads = 1 beside heads = 2"),
    ],
)
def test_what_the_layout_cannot_express(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    model = ModelConfig(**{**BERT.model_dump(), **change})
    with pytest.raises(UserError, match="BERT layout cannot express this model.*--preset bert-mini") as error:
        export(tmp_path / "out", described("masked-lm", model))
    assert named in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (described("classify", heads=("classify",)), 'heads = ["classify"] (not ["pooler", "classify"])'),
        (described("classify", pooling="mean"), 'pooling = "mean" (not "first")'),
        (described("masked-lm", ROBERTA, heads=("masked", "pooler", "next")), 'heads with "next"'),
        (described("tag", heads=("tag", "answer")), 'heads with "answer"'),
    ],
)
def test_heads_that_the_layout_cannot_express(config: ReaderConfig, named: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="layout cannot express this model") as error:
        export(tmp_path / "out", config)
    assert named in str(error.value)
    assert not list(tmp_path.iterdir())


def test_export_knows_every_field_of_a_model() -> None:
    """A field that the tables do not know would be lost in silence."""
    carried = {field.ours for field in readers._FIELDS} | set(readers._OUR_ONLY)
    checked = {"tie", "special", "kv_heads", "position_offset"}
    only_for_the_start_of_training = {"initialisation", "zero_output"}
    # Which an encoder, a model without a window and one without rotary positions do not have.
    rotary = {"rotary_base", "rotary_scaling"}
    of_others = {"decoder_layers", "global_every", "recurrence", "adaptive", "ngrams", "pointer", *rotary}
    assert carried | checked | only_for_the_start_of_training | of_others == set(ModelConfig.model_fields)


def test_an_epsilon_left_unsaid_is_the_norms_own(tmp_path: Path) -> None:
    folder = export(tmp_path / "theirs", described("tag", BERT.model_copy(update={"norm_epsilon": None})))
    drawn = Encoder(BERT.model_copy(update={"norm_epsilon": None}))
    assert (
        json.loads((folder / "config.json").read_text())["layer_norm_eps"] == drawn.encoder.embedding_norm.eps
    )


KEYS = [field.theirs for field in readers._FIELDS]
KEYS += [
    "pad_token_id",
    "eos_token_id",
    "id2label",
    "num_labels",
    "problem_type",
    "classifier_dropout",
    "architectures",
]
GARBAGE = (
    st.none()
    | st.booleans()
    | st.integers(-2, 40)
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.integers())
    | st.dictionaries(st.sampled_from(["0", "1", "x"]), st.none() | st.text(max_size=2))
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("garbage") / "theirs", described("classify", ROBERTA))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.dictionaries(st.sampled_from(KEYS), GARBAGE, min_size=1, max_size=3))
def test_garbage_is_read_or_refused(changes: dict[str, Any], template: Path) -> None:
    """Whatever config.json holds, an import either gives a model or says why not."""
    file = template / "config.json"
    before = file.read_text()
    try:
        file.write_text(json.dumps(json.loads(before) | changes))
        with contextlib.suppress(UserError):
            imported = import_folder(template)
            weights = {name: torch.from_numpy(value) for name, value in imported.weights.items()}
            make_model(imported.config).load_state_dict(weights)
    finally:
        file.write_text(before)


# Presets.


@pytest.mark.parametrize(
    ("preset", "vocabulary", "parameters"),
    [
        ("bert-tiny", 30_522, 4_385_920),
        ("bert-mini", 30_522, 11_170_560),
        ("bert-small", 30_522, 28_763_648),
        ("bert-medium", 30_522, 41_373_184),
        ("bert-base", 30_522, 109_482_240),
        ("bert-large", 30_522, 335_141_888),
        ("roberta-base", 50_265, 124_645_632),
        ("roberta-large", 50_265, 355_359_744),
    ],
)
def test_presets_have_the_published_sizes(preset: str, vocabulary: int, parameters: int) -> None:
    """With the pooler, counted by torch on the model itself, of which nothing is allocated."""
    with torch.device("meta"):
        model = Encoder(ModelConfig(vocabulary=vocabulary, **PRESETS[preset].fields), heads=("pooler",))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize("preset", [name for name in PRESETS if "bert" in name])
def test_presets_can_be_exported(preset: str, tmp_path: Path) -> None:
    assert re.search(r"20\d\d, (section|table) \d", PRESETS[preset].source)
    model = ModelConfig(**{**PRESETS[preset].fields, **SMALL})
    family = import_folder(export(tmp_path / "out", described("masked-lm", model))).config.family
    assert preset.startswith(family)
    assert isinstance(described("masked-lm", model), FillerConfig)
