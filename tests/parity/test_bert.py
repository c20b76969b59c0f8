"""BERT and RoBERTa models give what Hugging Face's give, head by head and weight for weight."""

from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file
from torch import Tensor
from transformers import PreTrainedModel

from weft.config import FOLDERS, ModelConfig, ReaderConfig
from weft.errors import UserError
from weft.families import Imported, export_folder, import_folder, readers
from weft.families.bert import BERT
from weft.families.roberta import ROBERTA
from weft.families.table import Op, Rule
from weft.models.encoder import Encoder
from weft.nn.masks import Mask
from weft.saved import make_model

TOLERANCE = 1e-5
ARCHITECTURES = (*BERT.architectures, *ROBERTA.architectures)
LENGTHS = (3, 4, 7, 7, 11, 20, 30)

SHAPES = {
    "plain": {},
    "narrow": {"num_attention_heads": 2, "num_hidden_layers": 3, "layer_norm_eps": 1e-3, "hidden_size": 32},
    "tanh": {"hidden_act": "gelu_new", "intermediate_size": 100, "type_vocab_size": 3, "pad_token_id": 4},
}

MakeReader = Callable[..., PreTrainedModel]
Outputs = dict[str, Tensor]


def suits(architecture: str, shape: str) -> bool:
    """RoBERTa's masked head has GELU whatever its layers have, which weft cannot express."""
    return (architecture, shape) != ("RobertaForMaskedLM", "tanh")


CASES = [
    (architecture, shape) for architecture in ARCHITECTURES for shape in SHAPES if suits(architecture, shape)
]


def load(imported: Imported) -> Encoder:
    assert isinstance(imported.config, ReaderConfig)
    model = make_model(imported.config).eval()
    model.load_state_dict({name: torch.from_numpy(value) for name, value in imported.weights.items()})
    assert isinstance(model, Encoder)
    return model


def batch(reference: PreTrainedModel) -> tuple[Tensor, Tensor, Tensor]:
    """Random ids (B, T) and segments (B, T) of texts of mixed length, and which are no padding."""
    config, draw = reference.config, torch.Generator().manual_seed(3)
    keep = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    ids = torch.randint(5, config.vocab_size, keep.shape, generator=draw)
    segments = torch.randint(0, config.type_vocab_size, keep.shape, generator=draw)
    return torch.where(keep, ids, config.pad_token_id), segments * keep, keep


@torch.no_grad()
def their_outputs(reference: PreTrainedModel) -> Outputs:
    ids, segments, keep = batch(reference)
    found = reference(input_ids=ids, token_type_ids=segments, attention_mask=keep.long())
    outputs = {name: value for name, value in found.items() if isinstance(value, Tensor)}
    return {name: value[keep] if value.shape[:2] == keep.shape else value for name, value in outputs.items()}


@torch.no_grad()
def our_outputs(reference: PreTrainedModel, model: Encoder) -> Outputs:
    ids, segments, keep = batch(reference)
    states = model(ids, segments=segments, mask=Mask(keep=keep))
    pooled, tokens = model.pooled(states, keep=keep), states[keep]
    match type(reference).__name__.removeprefix("Bert").removeprefix("Roberta"):
        case "Model":
            return {"last_hidden_state": tokens, "pooler_output": pooled}
        case "ForMaskedLM":
            return {"logits": model.masked.logits(model.masked(tokens))}
        case "ForPreTraining":
            masked = model.masked.logits(model.masked(tokens))
            return {"prediction_logits": masked, "seq_relationship_logits": model.heads["next"](pooled)}
        case "ForSequenceClassification":
            return {"logits": model.heads["classify"](pooled)}
        case "ForTokenClassification":
            return {"logits": model.heads["tag"](tokens)}
        case _:
            first, last = model.heads["answer"](tokens).unbind(-1)
            return {"start_logits": first, "end_logits": last}


def agree(theirs: Outputs, ours: Outputs) -> bool:
    assert theirs.keys() == ours.keys()
    return all(
        bool((theirs[name] - ours[name]).abs().max() <= TOLERANCE * max(1.0, theirs[name].abs().max().item()))
        for name in theirs
    )


def save(reference: PreTrainedModel, folder: Path) -> Path:
    reference.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("architecture", "shape"), CASES)
def test_every_head(architecture: str, shape: str, make_reader: MakeReader, tmp_path: Path) -> None:
    reference = make_reader(architecture, **SHAPES[shape])
    theirs = their_outputs(reference)
    ours = our_outputs(reference, load(import_folder(save(reference, tmp_path / "theirs"))))
    for output in theirs.values():
        assert output.std(0).mean() > 0.1  # from one text or token to the next
    assert agree(theirs, ours)


def export(imported: Imported, folder: Path) -> Path:
    config, weights, tokenizer = imported
    export_folder(folder, config=config, weights=weights, tokenizer=tokenizer)
    return folder


@pytest.mark.parametrize(("architecture", "shape"), CASES)
def test_there_and_back(architecture: str, shape: str, make_reader: MakeReader, tmp_path: Path) -> None:
    reference = make_reader(architecture, **SHAPES[shape])
    folder = save(reference, tmp_path / "theirs")
    imported = import_folder(folder)
    back = export(imported, tmp_path / "back")
    before, after = (load_file(each / "model.safetensors") for each in (folder, back))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name].view(np.uint32), after[name].view(np.uint32)) for name in before)

    loaded, report = getattr(transformers, architecture).from_pretrained(back, output_loading_info=True)
    assert not any(report.values()), report
    assert agree(their_outputs(reference), their_outputs(loaded.eval()))
    assert type(transformers.AutoConfig.from_pretrained(back)) is type(reference.config)
    for key in ("id2label", "label2id", "num_labels", "pad_token_id", "layer_norm_eps", "hidden_act"):
        assert getattr(loaded.config, key) == getattr(reference.config, key)
    assert import_folder(back).config == imported.config


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_shards(dtype: torch.dtype, make_reader: MakeReader, tmp_path: Path) -> None:
    reference = make_reader("BertForPreTraining").to(dtype)
    reference.save_pretrained(tmp_path / "theirs", max_shard_size="20KB")
    assert len(list((tmp_path / "theirs").glob("model-*.safetensors"))) > 3
    imported = import_folder(tmp_path / "theirs")
    assert agree(their_outputs(reference.float()), our_outputs(reference, load(imported)))


# All matrices of these models are of one size, but for heads that tell two things apart, and so are all vectors: only the
# numbers tell them apart.
SQUARE = {
    "vocab_size": 32,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "max_position_embeddings": 32,
    "type_vocab_size": 32,
}
LABELLED = {"id2label": {number: f"B-{number}" if number else "O" for number in range(32)}}
WHOLE = ("BertForPreTraining", "RobertaForMaskedLM")  # the others' encoders are the same


def square(architecture: str, make_reader: MakeReader) -> PreTrainedModel:
    labelled = "Sequence" in architecture or "Token" in architecture
    return make_reader(architecture, **SQUARE, **(LABELLED if labelled else {}))


def table(architecture: str) -> list[Rule]:
    family = BERT if architecture in BERT.architectures else ROBERTA
    described = family.architectures[architecture]
    config = FOLDERS[described.task](
        heads=described.heads,
        model=ModelConfig(
            architecture="encoder", vocabulary=32, width=32, encoder_layers=1, heads=4, feed_forward=32
        ),
    )
    assert isinstance(config, ReaderConfig)
    return readers.weight_rules(config, described, family=family, base=f"{family.name}.")


DISTURBED = [
    (architecture, rule.theirs)
    for architecture in ARCHITECTURES
    if not architecture.endswith("Model")
    for rule in table(architecture)
    if rule.op is Op.SAME and (architecture in WHOLE or not rule.ours.startswith(("e", "s")))
]


@pytest.mark.parametrize("family", [BERT, ROBERTA], ids=["bert", "roberta"])
def test_all_rules_are_disturbed(family: readers.Family) -> None:
    for rule in [*readers._ENCODER, *(rule for each in family.architectures.values() for rule in each.rules)]:
        found = [
            name for _, name in DISTURBED if matches(rule.theirs.replace("{base}", family.name + "."), name)
        ]
        assert found or rule.op is not Op.SAME


def matches(pattern: str, name: str) -> bool:
    return fnmatch(name, pattern.replace("{i}", "*").replace("{p}", "*"))


@pytest.fixture(scope="module")
def squares(make_reader: MakeReader, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each architecture, saved."""
    return {
        each: save(square(each, make_reader), tmp_path_factory.mktemp("square")) for each in ARCHITECTURES
    }


@pytest.fixture(scope="module")
def expected(squares: dict[str, Path]) -> dict[str, tuple[PreTrainedModel, Outputs]]:
    loaded = {each: getattr(transformers, each).from_pretrained(squares[each]).eval() for each in squares}
    return {each: (reference, their_outputs(reference)) for each, reference in loaded.items()}


Expected = dict[str, tuple[PreTrainedModel, Outputs]]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_undisturbed_table(architecture: str, squares: dict[str, Path], expected: Expected) -> None:
    reference, theirs = expected[architecture]
    assert agree(theirs, our_outputs(reference, load(import_folder(squares[architecture]))))


@pytest.mark.parametrize(("architecture", "name"), DISTURBED)
def test_disturbed_table(
    architecture: str,
    name: str,
    squares: dict[str, Path],
    expected: Expected,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Exchanging what any one entry of the table leads to with its neighbour is seen, at the latest in an output."""
    shapes = {
        each: value.shape for each, value in load_file(squares[architecture] / "model.safetensors").items()
    }
    rules = readers.weight_rules

    def exchanged(*arguments: Any, **named: Any) -> list[Rule]:
        held = [rule for rule in rules(*arguments, **named) if rule.op is Op.SAME]
        alike = [rule for rule in held if len(shapes[rule.theirs]) == len(shapes[name])]
        alike.sort(key=lambda rule: shapes[rule.theirs] != shapes[name])  # neighbours of its own size first
        place = next(place for place, rule in enumerate(alike) if rule.theirs == name)
        one, other = alike[place].ours, alike[(place + 1) % len(alike)].ours
        swap = {one: other, other: one}
        return [rule._replace(ours=swap.get(rule.ours, rule.ours)) for rule in held]

    monkeypatch.setattr(readers, "weight_rules", exchanged)
    reference, theirs = expected[architecture]
    with suppress(UserError):  # of another shape
        assert not agree(theirs, our_outputs(reference, load(import_folder(squares[architecture]))))


@pytest.mark.parametrize(
    ("architecture", "name"),
    [
        (each, name)
        for each, name in DISTURBED
        if name.endswith(("dense.weight", "query.weight", "key.weight", "value.weight"))
    ],
)
def test_transposed_entry(
    architecture: str,
    name: str,
    squares: dict[str, Path],
    expected: Expected,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So is a matrix that is taken the wrong way round."""
    rules = readers.weight_rules

    def turned(*arguments: Any, **named: Any) -> list[Rule]:
        held = rules(*arguments, **named)
        return [rule._replace(op=Op.TRANSPOSE) if rule.theirs == name else rule for rule in held]

    monkeypatch.setattr(readers, "weight_rules", turned)
    reference, theirs = expected[architecture]
    assert not agree(theirs, our_outputs(reference, load(import_folder(squares[architecture]))))
