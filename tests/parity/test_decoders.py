"""GPT-2, Llama and its kin give what Hugging Face's give, weight for weight, and go back as they came."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file
from torch import Tensor
from transformers import PreTrainedModel

from weft.errors import UserError
from weft.families import _DECODERS, Imported, decoders, export_folder, import_folder
from weft.families.table import Op, Rule
from weft.models.decoder import Decoder
from weft.saved import make_model

TOLERANCE = 1e-5
FAMILIES = {family.name: family for family in _DECODERS}
LENGTH = 40

LINEAR = {"rope_type": "linear", "rope_theta": 300.0, "factor": 2.5}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 100.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
    "beta_fast": 3.0,
}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", {}),
    "gpt2-untied": ("gpt2", {"tie_word_embeddings": False, "n_inner": 40, "activation_function": "relu"}),
    "llama": ("llama", {"rms_norm_eps": 1e-3}),
    "llama-3": (
        "llama",
        {"num_key_value_heads": 2, "tie_word_embeddings": True, "head_dim": 16, "rope_parameters": LLAMA3},
    ),
    "llama-biased": ("llama", {"rope_parameters": LINEAR, "attention_bias": True, "mlp_bias": True}),
    "mistral": ("mistral", {"sliding_window": 5, "num_key_value_heads": 2}),
    "mistral-wide": ("mistral", {"sliding_window": None, "num_key_value_heads": 4, "head_dim": 8}),
    "qwen2": ("qwen2", {"num_key_value_heads": 2, "rope_parameters": YARN}),
    "qwen2-window": (
        "qwen2",
        {"num_key_value_heads": 4, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", {"num_key_value_heads": 1, "head_dim": 32, "tie_word_embeddings": True}),
    "qwen3-window": (
        "qwen3",
        {
            "num_key_value_heads": 2,
            "head_dim": 12,
            "use_sliding_window": True,
            "sliding_window": 3,
            "layer_types": ["full_attention", "sliding_attention", "full_attention"],
        },
    ),
}


def random_decoder(name: str, **settings: Any) -> PreTrainedModel:
    """A model of the family whose every weight is random, biases and norms included."""
    small = {
        "vocab_size": 64,
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 40,
        "max_position_embeddings": 64,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if name == "gpt2":
        del small["intermediate_size"]
    made = transformers.CONFIG_MAPPING[name](**{**small, **settings})
    torch.manual_seed(0)
    model = getattr(transformers, FAMILIES[name].architecture)(made).eval()
    with torch.no_grad():
        for each, parameter in model.named_parameters():
            if parameter.dim() == 1 and each.endswith("weight"):
                parameter.uniform_(0.5, 1.5)
            elif each.endswith("bias"):
                parameter.normal_(std=0.3)
            elif "embed" in each or "wte" in each or "wpe" in each:
                parameter.normal_()
            else:
                parameter.normal_(std=1.5 * model.config.hidden_size**-0.5)
    return model


def ids(vocabulary: int) -> Tensor:
    return torch.randint(vocabulary, (3, LENGTH), generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def their_logits(reference: PreTrainedModel) -> Tensor:
    logits: Tensor = reference(ids(reference.config.vocab_size)).logits
    return logits


@torch.no_grad()
def our_logits(imported: Imported) -> Tensor:
    model = make_model(imported.config).eval()
    assert isinstance(model, Decoder)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in imported.weights.items()})
    return model.logits(model(ids(imported.config.model.vocabulary)))


def agree(theirs: Tensor, ours: Tensor) -> bool:
    return bool((theirs - ours).abs().max() <= TOLERANCE * max(1.0, theirs.abs().max().item()))


def save(reference: PreTrainedModel, folder: Path) -> Path:
    reference.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=CASES)
def saved(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Tensor]:
    """A family's name, a folder of its, and the logits of the model in it."""
    name, settings = CASES[request.param]
    reference = random_decoder(name, **settings)
    return name, save(reference, tmp_path_factory.mktemp("theirs") / "model"), their_logits(reference)


def test_logits(saved: tuple[str, Path, Tensor]) -> None:
    name, folder, theirs = saved
    imported = import_folder(folder)
    assert imported.config.family == name
    assert theirs.std(dim=(0, 1)).mean() > 0.1  # from one token to the next
    assert agree(theirs, our_logits(imported))


def test_there_and_back(saved: tuple[str, Path, Tensor], tmp_path: Path) -> None:
    name, folder, theirs = saved
    imported = import_folder(folder)
    config, weights, tokenizer = imported
    back = tmp_path / "back"
    export_folder(back, config=config, weights=weights, tokenizer=tokenizer)
    before, after = (load_file(each / "model.safetensors") for each in (folder, back))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key].view(np.uint32), after[key].view(np.uint32)) for key in before)

    made = getattr(transformers, FAMILIES[name].architecture)
    loaded, report = made.from_pretrained(back, output_loading_info=True)
    assert not any(report.values()), report
    assert torch.equal(their_logits(loaded.eval()), theirs)
    told = transformers.AutoConfig.from_pretrained(folder)
    keys = ("eos_token_id", "bos_token_id", "pad_token_id", "tie_word_embeddings", "attention_dropout")
    assert all(getattr(loaded.config, key, 0) == getattr(told, key, 0) for key in keys)
    assert import_folder(back).config == config


def test_a_config_of_version_4(saved: tuple[str, Path, Tensor], tmp_path: Path) -> None:
    """`rope_theta` beside `rope_scaling`, of which the kind was first called `type`."""
    name, folder, theirs = saved
    if name == "gpt2":
        pytest.skip("has no rotary positions")
    expected = import_folder(folder)
    config = json.loads((folder / "config.json").read_text())
    rotary = config.pop("rope_parameters")
    old = {"rope_theta": rotary.pop("rope_theta"), "rope_scaling": None}
    if (kind := rotary.pop("rope_type")) != "default":
        old["rope_scaling"] = {**rotary, "type": kind}
    (tmp_path / "config.json").write_text(json.dumps(config | old))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    found = import_folder(tmp_path)
    assert found.config == expected.config
    assert agree(theirs, our_logits(found))


@pytest.mark.parametrize(("name", "dtype"), [("gpt2", torch.float16), ("llama", torch.bfloat16)])
def test_half_precision_and_shards(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    reference = random_decoder(name).to(dtype)
    reference.save_pretrained(tmp_path / "theirs", max_shard_size="30KB")
    assert len(list((tmp_path / "theirs").glob("model-*.safetensors"))) > 3
    whole = type(reference).from_pretrained(tmp_path / "theirs", dtype=torch.float32).eval()
    assert agree(their_logits(whole), our_logits(import_folder(tmp_path / "theirs")))


# All matrices of these models are of one size, and all vectors: only the numbers tell them apart.
SQUARE = {
    "vocab_size": 64,
    "hidden_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
OWN: dict[str, dict[str, Any]] = {
    "gpt2": {"n_inner": 64},
    "llama": {"attention_bias": True, "mlp_bias": True},
    "mistral": {"num_key_value_heads": 1},
    "qwen2": {"num_key_value_heads": 1},
    "qwen3": {"num_key_value_heads": 1, "head_dim": 64},
}


def square(name: str) -> PreTrainedModel:
    inner = {} if name == "gpt2" else {"intermediate_size": 64}
    return random_decoder(name, **SQUARE, **inner, **OWN[name])


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Tensor, list[Rule]]]:
    """A square model of each family, its logits and its table."""
    found = {}
    for name, family in FAMILIES.items():
        reference = square(name)
        folder = save(reference, tmp_path_factory.mktemp("square") / name)
        model = import_folder(folder).config.model
        rules = decoders.weight_rules(model, family=family, base=family.base)
        found[name] = (folder, their_logits(reference), rules)
    return found


Squares = dict[str, tuple[Path, Tensor, list[Rule]]]


@pytest.mark.parametrize("name", FAMILIES)
def test_undisturbed_table(name: str, squares: Squares) -> None:
    folder, theirs, rules = squares[name]
    assert {rule.theirs for rule in rules} == load_file(folder / "model.safetensors").keys()
    assert agree(theirs, our_logits(import_folder(folder)))


@pytest.mark.parametrize("name", FAMILIES)
def test_any_one_rule_disturbed(name: str, squares: Squares, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exchanging what any one entry of the table leads to with its neighbour is seen, at the latest in the logits."""
    folder, theirs, rules = squares[name]
    dimensions = {rule.ours: value.ndim for rule, value in _ours(rules, folder)}
    for place, one in enumerate(rules):
        alike = [rule for rule in rules if dimensions[rule.ours] == dimensions[one.ours]]
        other = alike[(alike.index(one) + 1) % len(alike)]
        swap = {one.ours: other.ours, other.ours: one.ours}
        changed = [rule._replace(ours=swap.get(rule.ours, rule.ours)) for rule in rules]
        monkeypatch.setattr(decoders, "weight_rules", lambda *_, rules=changed, **__: rules)
        with suppress(UserError):
            assert not agree(theirs, our_logits(import_folder(folder))), (place, one)


@pytest.mark.parametrize("name", FAMILIES)
def test_any_one_matrix_turned(name: str, squares: Squares, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, theirs, rules = squares[name]
    turn = {Op.SAME: Op.TRANSPOSE, Op.TRANSPOSE: Op.SAME}
    dimensions = {rule.ours: value.ndim for rule, value in _ours(rules, folder)}
    for place, one in enumerate(rules):
        if dimensions[one.ours] < 2:
            continue
        changed = [*rules[:place], one._replace(op=turn[one.op]), *rules[place + 1 :]]
        monkeypatch.setattr(decoders, "weight_rules", lambda *_, rules=changed, **__: rules)
        with suppress(UserError):  # of another shape
            assert not agree(theirs, our_logits(import_folder(folder))), one


def _ours(rules: list[Rule], folder: Path) -> list[tuple[Rule, Any]]:
    weights = load_file(folder / "model.safetensors")
    return [(rule, weights[rule.theirs]) for rule in rules]
