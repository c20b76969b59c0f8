"""The encoder-decoder: what it may not see, and that all roads give the same numbers."""

from typing import Any

import pytest
import torch
from torch.nn import functional

from weft.config import ModelConfig
from weft.models.seq2seq import Seq2Seq
from weft.nn import listen

POSITIONS = ["sinusoidal", "sinusoidal_halves", "learned", "rotary", "alibi", "t5", "none"]


def make(**fields: Any) -> Seq2Seq:
    shape = {
        "vocabulary": 60,
        "width": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "heads": 4,
        "feed_forward": 48,
    }
    torch.manual_seed(0)
    return Seq2Seq(ModelConfig(**{**shape, "max_length": 40, **fields})).eval()


SOURCE = torch.randint(3, 60, (4, 9), generator=torch.Generator().manual_seed(1))
TARGET = torch.randint(3, 60, (4, 7), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("ngrams", [None, {"longest": 3, "rows": 40}])
def test_cached_equals_uncached(position: str, ngrams: dict[str, int] | None) -> None:
    model = make(position=position, kv_heads=2, query_key_norm=True, ngrams=ngrams)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "ngrams" in name:
                weight.normal_(std=0.3)
    whole = model(SOURCE, TARGET)
    memory, cache = model.encode(SOURCE), model.new_cache(7)
    steps = [model.decode(TARGET[:, :3], memory, cache=cache)]
    steps += [model.decode(TARGET[:, i : i + 1], memory, cache=cache) for i in range(3, 7)]
    torch.testing.assert_close(torch.cat(steps, dim=1), whole)


@pytest.mark.parametrize("position", POSITIONS)
def test_no_token_sees_a_later_one(position: str) -> None:
    model = make(position=position)
    changed = TARGET.clone()
    changed[:, 4:] = 5
    before, after = model(SOURCE, TARGET), model(SOURCE, changed)
    assert torch.equal(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


@pytest.mark.parametrize("position", POSITIONS)
def test_padding_changes_nothing(position: str) -> None:
    model = make(position=position, ngrams={"longest": 3, "rows": 40})
    padded = functional.pad(SOURCE, (0, 3))
    keep = functional.pad(torch.ones_like(SOURCE, dtype=torch.bool), (0, 3))
    torch.testing.assert_close(model(padded, TARGET, source_keep=keep), model(SOURCE, TARGET))


@pytest.mark.parametrize("position", ["sinusoidal", "learned", "rotary", "alibi", "t5"])
def test_positions_matter(position: str) -> None:
    """Without positions, an encoder gives the same states in another order."""

    def turned(model: Seq2Seq) -> bool:
        states = model.encode(SOURCE).states
        backwards = model.encode(SOURCE.flip(1)).states.flip(1)
        return torch.allclose(states, backwards, atol=1e-5)

    assert turned(make(position="none"))
    # ALiBi and T5's buckets of this short length are symmetric only where weights are; reorder unevenly
    model = make(position=position)
    order = torch.tensor([3, 0, 7, 1, 8, 2, 6, 5, 4])
    states, mixed = model.encode(SOURCE).states, model.encode(SOURCE[:, order]).states
    assert not torch.allclose(states[:, order], mixed, atol=1e-4)


def test_beams_share_their_sentences_memory() -> None:
    model = make()
    beams = TARGET.repeat_interleave(3, dim=0)
    memory = model.encode(SOURCE)
    torch.testing.assert_close(model.decode(beams, memory)[::3], model(SOURCE, TARGET))
    keep = torch.ones_like(SOURCE, dtype=torch.bool)
    padded = model.encode(SOURCE, keep=keep)
    torch.testing.assert_close(model.decode(beams, padded)[1::3], model(SOURCE, TARGET))


CHOICES: list[dict[str, Any]] = [
    {"norm": "rms"},
    {"norm": "rms", "norm_scale": False},
    {"norm_place": "after"},
    {"query_key_norm": True},
    {"bias": False},
    {"scale_embedding": False},
    {"activation": "gelu"},
    {"activation": "gelu_tanh"},
    {"activation": "silu"},
    {"activation": "relu_squared"},
    {"gated": True},
    {"kv_heads": 1},
    {"kv_heads": 2},
    {"tie": "two"},
    {"tie": "none"},
    {"initialisation": "normal"},
    {"zero_output": True},
    *({"position": position} for position in POSITIONS[1:]),
]


@pytest.mark.parametrize("fields", CHOICES, ids=str)
def test_every_choice_changes_the_result(fields: dict[str, Any]) -> None:
    plain, other = make()(SOURCE, TARGET), make(**fields)(SOURCE, TARGET)
    assert other.isfinite().all()
    assert not torch.allclose(plain, other, atol=1e-4)


@pytest.mark.parametrize("name", ["dropout", "attention_dropout", "activation_dropout"])
def test_every_dropout_acts_in_training_alone(name: str) -> None:
    model = make(**{name: 0.5})
    assert torch.equal(model(SOURCE, TARGET), model(SOURCE, TARGET))
    model.train()
    assert not torch.allclose(model(SOURCE, TARGET), model(SOURCE, TARGET))


def test_an_output_bias_is_added() -> None:
    model = make(output_bias=True)
    hidden = model(SOURCE, TARGET)
    before = model.logits(hidden)
    with torch.no_grad():
        model.output.bias += torch.arange(60.0)
    torch.testing.assert_close(model.logits(hidden), before + torch.arange(60.0))


def test_tying_shares_matrices() -> None:
    three, two, none = make(tie="three"), make(tie="two"), make(tie="none")
    assert three.source_embedding is three.target_embedding
    assert two.source_embedding is not two.target_embedding
    assert two.output.weight is two.target_embedding.tokens.weight
    assert none.output.weight is not none.target_embedding.tokens.weight


def test_listening_hears_every_head_and_changes_nothing() -> None:
    model = make()
    silent = model(SOURCE, TARGET)
    with listen(model) as heard:
        listened = model(SOURCE, TARGET)
    assert torch.equal(silent, listened)
    shapes = {name: tuple(weights[0].shape) for name, weights in heard.items()}
    assert shapes == {
        **{f"encoder.blocks.{i}.attention.weights": (4, 4, 9, 9) for i in range(2)},
        **{f"decoder.blocks.{i}.attention.weights": (4, 4, 7, 7) for i in range(2)},
        **{f"decoder.blocks.{i}.cross.weights": (4, 4, 7, 9) for i in range(2)},
    }
    for weights in heard.values():
        torch.testing.assert_close(weights[0].sum(-1), torch.ones(weights[0].shape[:-1]))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"width": 30}, "width 30 is not a multiple of heads 4"),
        ({"kv_heads": 3}, "heads 4 is not a multiple of kv_heads 3"),
        ({"width": 12, "position": "rotary"}, "even head width"),
        ({"dropout": 1.0}, "less than 1"),
        ({"nrom": "rms"}, "Extra inputs"),
    ],
)
def test_impossible_shapes_are_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        make(**fields)
