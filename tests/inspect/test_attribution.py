"""What an answer rests on: the scores add up, and they find what decides."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from weft.config import ModelConfig, SpecialTokens
from weft.errors import UserError
from weft.inspect.attribution import Attribution, Target, attribute, log_odds
from weft.models.encoder import Encoder
from weft.nn.inference import Precision, convert
from weft.nn.int8 import has_int8

MASK = 3
DECISIVE = 7
TEXT = [1, 9, 12, DECISIVE, 5, 17, 2]
HIDDEN = [1, MASK, MASK, MASK, MASK, MASK, 2]
SEGMENTS = [0] * len(TEXT)


def make_model(**fields: object) -> Encoder:
    torch.manual_seed(4)
    shape: dict[str, object] = {"vocabulary": 20, "width": 16, "encoder_layers": 2, "heads": 2}
    shape |= {
        "architecture": "encoder",
        "feed_forward": 24,
        "special": SpecialTokens(mask=MASK),
        "tie": "two",
    }
    config = ModelConfig.model_validate(shape | fields)
    return Encoder(config, heads=("pooler", "classify"), labels=3, pooling="mean").eval()


def label(model: Encoder, number: int) -> Target:
    return lambda states: log_odds(model.heads["classify"](model.pooled(states)), [number])


def explain(model: Encoder, number: int, **changes: object) -> Attribution:
    arguments: dict[str, object] = {"segments": SEGMENTS, "hidden": HIDDEN, "target": label(model, number)}
    return attribute(model, TEXT, **(arguments | changes))  # type: ignore[arg-type]


@torch.inference_mode()
def ask(model: Encoder, ids: list[int], number: int) -> float:
    return float(label(model, number)(model(torch.tensor([ids]))))


@pytest.fixture(scope="module")
def toy() -> Encoder:
    """A model that has learned that a text is of label 1 if the decisive word is in it, else of label 0."""
    model = make_model(dropout=0.1, activation="gelu").train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        ids = torch.randint(4, 20, (16, 5))
        ids[ids == DECISIVE] = 8
        labels = torch.arange(16) % 2
        ids[labels == 1, torch.randint(5, (8,))] = DECISIVE
        row = functional.pad(functional.pad(ids, (1, 0), value=1), (0, 1), value=2)
        logits = model.heads["classify"](model.pooled(model(row)))
        loss = functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    return model.eval()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"norm_place": "after", "position": "learned", "activation": "gelu", "embedding_norm": True},
        {"norm": "rms", "norm_scale": False, "position": "rotary", "gated": True, "query_key_norm": True},
        {"position": "t5", "activation": "relu_squared", "segments": 2, "window": 3, "bias": False},
    ],
)
@pytest.mark.parametrize("number", [0, 2])
def test_the_scores_add_up_to_what_the_text_changes(fields: dict[str, object], number: int) -> None:
    model = make_model(**fields)
    found = explain(model, number)
    assert found.value == pytest.approx(ask(model, TEXT, number), abs=1e-5)
    assert found.baseline == pytest.approx(ask(model, HIDDEN, number), abs=1e-5)
    difference = found.value - found.baseline
    assert abs(difference) > 0.01  # there is something to explain
    assert found.scores.sum() == pytest.approx(difference, rel=0.01)
    assert found.residual == pytest.approx(found.scores.sum() - difference)
    assert found.complete and found.steps < 1024


def test_twice_the_steps_come_nearer(toy: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weft.inspect.attribution.COMPLETE", 1e-4)
    finer = explain(toy.double(), 1)
    toy.float()
    assert finer.complete
    monkeypatch.setattr("weft.inspect.attribution.MOST_STEPS", 8)
    coarse = explain(toy, 1)
    assert coarse.steps == 8 < finer.steps
    assert not coarse.complete
    assert abs(coarse.residual) > abs(finer.residual)


def test_it_finds_the_one_word_that_decides(toy: Encoder) -> None:
    found = explain(toy, 1)
    assert found.value > 3 > 0 > found.baseline
    assert int(found.scores.argmax()) == TEXT.index(DECISIVE)
    assert found.scores.max() > 0.8 * (found.value - found.baseline)
    against = explain(toy, 0)
    assert int(against.scores.argmin()) == TEXT.index(DECISIVE)


def test_what_is_not_hidden_adds_nothing(toy: Encoder) -> None:
    scores = explain(toy, 1).scores
    assert scores[0] == scores[-1] == 0
    kept = [1, MASK, MASK, DECISIVE, MASK, MASK, 2]
    assert explain(toy, 1, hidden=kept).scores[3] == 0


def test_segments_are_read(toy: Encoder) -> None:
    model = make_model(segments=2)
    other = explain(model, 0, segments=[0, 0, 0, 1, 1, 1, 1])
    assert other.value != pytest.approx(explain(model, 0).value)
    assert explain(toy, 0, segments=[0, 0, 0, 1, 1, 1, 1]).value == explain(toy, 0).value  # it knows of none


def test_a_linear_model_gets_its_own_products() -> None:
    """For f(x) = w · x the scores are w · (x − x′), token by token, whatever the steps."""
    model = make_model(position="none")
    weight = torch.randn(16)

    def first(states: Tensor) -> Tensor:
        return states[:, 0] @ weight

    model.encoder = Passing()  # type: ignore[assignment]
    found = attribute(model, TEXT, segments=SEGMENTS, hidden=[MASK] * len(TEXT), target=first)
    with torch.no_grad():
        own, hidden = model.embedding(torch.tensor([[TEXT[0], MASK]]))[0]
    np.testing.assert_allclose(found.scores, [float((own - hidden) @ weight), *[0.0] * 6], rtol=1e-5)
    assert found.steps == 8


class Passing(torch.nn.Module):
    def forward(self, x: Tensor, **_: object) -> Tensor:
        return x


def test_the_model_is_left_as_it_was(toy: Encoder) -> None:
    toy.train()
    again = [explain(toy, 1).scores for _ in range(2)]
    np.testing.assert_array_equal(*again)  # dropout is off
    assert toy.training and all(module.training for module in toy.modules())
    toy.eval()
    assert not toy.embedding._forward_hooks
    with pytest.raises(ZeroDivisionError):
        explain(toy, 1, target=lambda states: states / (1 // 0))
    assert not toy.embedding._forward_hooks
    fresh = make_model()
    explain(fresh, 1)
    assert all(weight.grad is None for weight in fresh.parameters())


def test_long_texts_are_worked_on_in_parts(toy: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = explain(toy, 1)
    monkeypatch.setattr("weft.inspect.attribution.BATCH_TOKENS", 15)
    np.testing.assert_allclose(explain(toy, 1).scores, whole.scores, atol=1e-6)


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_a_model_without_gradients_is_refused(precision: Precision) -> None:
    if precision == "int8" and not has_int8():
        pytest.skip("this processor has no int8")
    with pytest.raises(UserError, match='load the model with precision="float32"'):
        explain(convert(make_model(), precision), 1)


def test_log_odds_are_of_the_labels_together() -> None:
    probabilities = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], dtype=torch.float64)
    found = log_odds(probabilities.log() + 5.0, [0, 2])
    expected = [np.log(0.7 / 0.3), np.log(0.8 / 0.2)]
    np.testing.assert_allclose(found.numpy(), expected)
    assert float(log_odds(torch.tensor([60.0, 0.0]), [0])) == pytest.approx(60)  # where 1 − p is 0 in float32
