"""Marian models give what Hugging Face's MarianMTModel gives, weight for weight and token for token."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor
from transformers import MarianMTModel, PretrainedConfig

from weft.config import ModelConfig
from weft.families import Imported, export_folder, import_folder, marian
from weft.families.table import Op, Rule
from weft.generate.batches import generate
from weft.generate.config import SearchConfig
from weft.models.seq2seq import Seq2Seq

TOLERANCE = 1e-5

NOT_SHARED = {"share_encoder_decoder_embeddings": False}
SHAPES = {
    "shared": {},
    "separate": NOT_SHARED | {"activation_function": "swish", "encoder_layers": 1, "decoder_layers": 3},
    "untied": NOT_SHARED | {"tie_word_embeddings": False, "activation_function": "gelu"},
    "two heads": {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "scale_embedding": False},
    "wide": {"encoder_ffn_dim": 96, "decoder_ffn_dim": 96, "activation_function": "gelu_new"},
}
VARIED = {
    "shared": {"sharp": 5.0},
    "separate": NOT_SHARED | {"sharp": 5.0, "activation_function": "swish", "encoder_layers": 1},
    "deep": NOT_SHARED
    | {"sharp": 5.0, "activation_function": "gelu", "encoder_layers": 1, "decoder_layers": 2},
}
LENGTHS = (2, 4, 7, 11, 16)

Saved = tuple[MarianMTModel, Path]
MakeMarian = Callable[..., MarianMTModel]
SaveMarian = Callable[..., Saved]


def load(imported: Imported) -> Seq2Seq:
    model = Seq2Seq(imported.config.model).eval()
    model.load_state_dict({name: torch.from_numpy(value) for name, value in imported.weights.items()})
    return model


def sentences(count: int, *, seed: int, config: PretrainedConfig) -> list[list[int]]:
    """Random sentences of mixed length; the end token is the first of all, the padding the last."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.tensor(LENGTHS)[torch.randint(len(LENGTHS), (count,), generator=draw)].tolist()
    return [
        [*torch.randint(1, config.pad_token_id, (length,), generator=draw).tolist(), config.eos_token_id]
        for length in lengths
    ]


def padded(rows: list[list[int]], *, pad: int) -> Tensor:
    longest = max(map(len, rows))
    return torch.tensor([row + [pad] * (longest - len(row)) for row in rows])


@torch.no_grad()
def logits(reference: MarianMTModel, model: Seq2Seq) -> tuple[Tensor, Tensor]:
    """Both models' logits for the same sources and targets, with the same padding."""
    config, pad = reference.config, reference.config.pad_token_id
    source = padded(sentences(7, seed=3, config=config), pad=pad)
    target = torch.cat([torch.full((7, 1), pad), padded(sentences(7, seed=4, config=config), pad=pad)], dim=1)
    keep = source != pad
    theirs = reference(input_ids=source, attention_mask=keep, decoder_input_ids=target).logits
    return theirs, model.logits(model(source, target, source_keep=keep))


def agree(theirs: Tensor, ours: Tensor) -> bool:
    return bool((theirs - ours).abs().max() <= TOLERANCE * max(1.0, theirs.abs().max().item()))


@pytest.mark.parametrize("name", SHAPES)
def test_logits(name: str, save_marian: SaveMarian) -> None:
    reference, folder = save_marian(**SHAPES[name])
    theirs, ours = logits(reference, load(import_folder(folder)))
    assert theirs.std() > 1
    assert agree(theirs, ours)


def written(reference: MarianMTModel, sources: list[list[int]], *, beams: int) -> list[list[int]]:
    """What the reference writes, without the special tokens."""
    special = {reference.config.pad_token_id, reference.config.eos_token_id}
    batch = padded(sources, pad=reference.config.pad_token_id)
    keep = batch != reference.config.pad_token_id
    rows = reference.generate(batch, attention_mask=keep, num_beams=beams).tolist()
    return [[token for token in row if token not in special] for row in rows]


def search(model: Seq2Seq, sources: list[list[int]], **options: Any) -> list[list[int]]:
    found = generate(model, sources, SearchConfig(**options))
    return [hypotheses[0].tokens for hypotheses in found]


@pytest.mark.parametrize("beams", [1, 4])
@pytest.mark.parametrize("name", VARIED)
def test_generation_token_for_token(name: str, beams: int, save_marian: SaveMarian) -> None:
    reference, folder = save_marian(**VARIED[name])
    sources = sentences(64, seed=1, config=reference.config)
    theirs = written(reference, sources, beams=beams)
    assert len({tuple(row) for row in theirs}) >= 50
    assert len({len(row) for row in theirs}) >= 5

    imported = import_folder(folder)
    ours = search(load(imported), sources, **imported.config.generation | {"beams": beams})
    assert ours == theirs


@pytest.mark.parametrize("setting", ["banned", "renormalise", "min_length", "force_end", "max_length"])
def test_each_setting_of_generation_counts(setting: str, save_marian: SaveMarian) -> None:
    reference, folder = save_marian(**VARIED["shared"])
    sources = sentences(16, seed=1, config=reference.config)
    imported = import_folder(folder)
    others = {name: value for name, value in imported.config.generation.items() if name != setting}
    assert search(load(imported), sources, **others | {"beams": 4}) != written(reference, sources, beams=4)


def export(imported: Imported, folder: Path) -> None:
    config, weights, tokenizer = imported
    export_folder(folder, config=config, weights=weights, tokenizer=tokenizer)


@pytest.mark.parametrize("name", SHAPES)
def test_there_and_back(name: str, save_marian: SaveMarian, tmp_path: Path) -> None:
    reference, folder = save_marian(**SHAPES[name])
    imported = import_folder(folder)
    export(imported, tmp_path / "back")
    before, after = (load_file(each / "model.safetensors") for each in (folder, tmp_path / "back"))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name].view(np.uint32), after[name].view(np.uint32)) for name in before)

    loaded, report = MarianMTModel.from_pretrained(tmp_path / "back", output_loading_info=True)
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    theirs, ours = logits(loaded.eval(), load(imported))
    assert agree(theirs, logits(reference, load(imported))[0])
    assert agree(theirs, ours)

    told, kept = loaded.generation_config.to_dict(), reference.generation_config.to_dict()
    for setting in ("bad_words_ids", "forced_eos_token_id", "max_length", "min_length", "renormalize_logits"):
        assert told[setting] == kept[setting] is not None
    again = import_folder(tmp_path / "back")
    assert again.config == imported.config


# All matrices of this model are of one size, and so are all vectors: only the numbers tell them apart.
SQUARE = {
    "vocab_size": 32,
    "d_model": 32,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "encoder_layers": 1,
    "pad_token_id": 31,
    "decoder_start_token_id": 31,
}
TIES = {
    "three": {"share_encoder_decoder_embeddings": True},
    "two": {"share_encoder_decoder_embeddings": False},
    "none": {"share_encoder_decoder_embeddings": False, "tie_word_embeddings": False},
}
SQUARE_CONFIG = ModelConfig(
    vocabulary=32,
    width=32,
    encoder_layers=1,
    decoder_layers=1,
    heads=4,
    feed_forward=32,
    tie="none",
    output_bias=True,
)
CARRIED = [
    (tie, rule.theirs)
    for tie in TIES
    for rule in marian.weight_rules(SQUARE_CONFIG.model_copy(update={"tie": tie}))
    if rule.op in (Op.SAME, Op.ROW) and (tie == "none" or ".layers." not in rule.theirs)
]


@pytest.fixture(scope="module")
def squares(make_marian: MakeMarian, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Saved]:
    saved = {}
    for tie, settings in TIES.items():
        reference, folder = make_marian(**SQUARE, **settings), tmp_path_factory.mktemp(tie)
        reference.save_pretrained(folder)
        saved[tie] = (reference, folder)
    return saved


@pytest.mark.parametrize("tie", TIES)
def test_undisturbed_table(tie: str, squares: dict[str, Saved]) -> None:
    reference, folder = squares[tie]
    assert agree(*logits(reference, load(import_folder(folder))))


@pytest.mark.parametrize(("tie", "name"), CARRIED)
def test_disturbed_table(
    tie: str, name: str, squares: dict[str, Saved], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exchanging what any one entry of the weight table leads to with its neighbour is seen in the logits."""
    reference, folder = squares[tie]
    shapes = {each: value.squeeze().ndim for each, value in load_file(folder / "model.safetensors").items()}
    table = marian.weight_rules

    def exchanged(config: ModelConfig) -> list[Rule]:
        rules = table(config)
        alike = [rule for rule in rules if shapes.get(rule.theirs) == shapes[name] and rule.op is not Op.TIED]
        place = next(place for place, rule in enumerate(alike) if rule.theirs == name)
        one, other = alike[place].ours, alike[(place + 1) % len(alike)].ours
        swap = {one: other, other: one}
        return [rule._replace(ours=swap.get(rule.ours, rule.ours)) for rule in rules]

    monkeypatch.setattr(marian, "weight_rules", exchanged)
    assert not agree(*logits(reference, load(import_folder(folder))))


@pytest.mark.parametrize(
    "name",
    [name for tie, name in CARRIED if tie == "none" and name.endswith("weight") and "norm" not in name],
)
def test_transposed_entry(name: str, squares: dict[str, Saved], monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a matrix that is taken the wrong way round."""
    reference, folder = squares["none"]
    table = marian.weight_rules
    monkeypatch.setattr(
        marian,
        "weight_rules",
        lambda config: [
            rule._replace(op=Op.TRANSPOSE) if rule.theirs == name else rule for rule in table(config)
        ],
    )
    assert not agree(*logits(reference, load(import_folder(folder))))
