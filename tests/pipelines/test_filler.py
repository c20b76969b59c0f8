"""Hidden words filled in: which tokens are read, what is likeliest, and the text with it."""

import numpy as np
import pytest
import torch

from weft.config import FillerConfig, ModelConfig
from weft.errors import UserError
from weft.models.encoder import Encoder
from weft.pipelines.filler import Candidate, Filler
from weft.tasks.masking import MASK
from weft.tasks.reading import Reader
from weft.text.tokenizer import Tokenizer
from weft.text.training import Kind, train_tokenizer

WORDS = ["dog", "cat", "house", "green", "runs", "sees", "the", "a", "old"]
TEXTS = ["The capital of France is Paris.", "A dog runs, and a cat sleeps (well).", "Walking dogs walk?"] * 20


def filler(tokenizer: Tokenizer | None = None) -> Filler:
    """Random weights."""
    tokenizer = tokenizer or train_tokenizer([" ".join(WORDS)], kind="words", special=[MASK], size=20)
    model = ModelConfig(
        architecture="encoder",
        vocabulary=tokenizer.vocab_size,
        width=32,
        heads=2,
        feed_forward=64,
        encoder_layers=2,
        max_length=24,
        output_bias=True,
    )
    torch.manual_seed(0)
    encoder = Encoder(model, heads=["masked"])
    torch.nn.init.normal_(encoder.masked.output.bias, std=2.0)
    config = FillerConfig(model=model, heads=("masked",), pooling="mean")
    return Filler(config, network=Reader(encoder), tokenizer=tokenizer)


def test_the_likeliest_pieces_come_with_their_probabilities() -> None:
    it = filler()
    [candidates] = it.fill("the [MASK] runs", top=3)
    ids = torch.tensor([[1, *it.tokenizer.masked("the <mask> runs"), 2]])
    model = it.network.model
    with torch.inference_mode():
        shares = model.masked.logits(model.masked(model(ids)[0, 2])).softmax(-1)
        shares[:5] = 0.0
    best = shares.topk(3)
    assert [each.token for each in candidates] == it.tokenizer.tokens(best.indices.tolist())
    assert [each.probability for each in candidates] == pytest.approx(best.values.tolist(), abs=1e-6)
    assert [each.text for each in candidates] == [f"the {each.token} runs" for each in candidates]
    assert candidates[0].probability > candidates[-1].probability


def test_several_masks_are_filled_in_one_by_one() -> None:
    found = filler().fill("<mask> dog [MASK]", top=1)
    [[first], [last]] = found
    assert first.text == f"{first.token} dog [MASK]"
    assert last.text == f"<mask> dog {last.token}"


def test_a_list_keeps_its_order_and_texts_do_not_touch_each_other() -> None:
    it = filler()
    chance = np.random.default_rng(0)
    every = [
        " ".join([*chance.choice(WORDS, size), "[MASK]", *chance.choice(WORDS, size // 2)])
        for size in chance.integers(0, 12, 64)
    ]
    whole = it.fill(every, top=4)
    for size in (1, 7):
        for at in range(0, 64, size):
            for ours, theirs in zip(
                it.fill(every[at : at + size], top=4), whole[at : at + size], strict=True
            ):
                assert [each[::2] for each in ours[0]] == [each[::2] for each in theirs[0]]
                assert [each[1] for each in ours[0]] == pytest.approx(
                    [each[1] for each in theirs[0]], abs=1e-6
                )
    assert len({answer[0][0].token for answer in whole}) > 1
    assert it.fill(every[5], top=4) == it.fill([every[5]], top=4)[0]
    assert it.fill([]) == []


def test_the_top_is_no_more_than_there_is_and_holds_nothing_special() -> None:
    it = filler()
    [candidates] = it.fill("[MASK]", top=1000)
    assert sorted(each.token for each in candidates) == sorted(WORDS)
    assert sum(each.probability for each in candidates) < 1


@pytest.mark.parametrize(
    ("kind", "text", "piece", "filled"),
    [
        ("bpe", "A [MASK], and", "▁dog", "A dog, and"),
        ("bpe", "[MASK] runs", "▁dog", "dog runs"),
        ("bpe", "Walk [MASK] dogs", "ing", "Walking dogs"),
        ("bpe", "dogs[MASK]", "▁is", "dogs is"),
        ("bpe", "Paris [MASK]", ".", "Paris."),
        ("bpe", "a  [MASK]", "▁dog", "a  dog"),
        ("wordpiece", "A [MASK], and", "dog", "A dog, and"),
        ("wordpiece", "dog [MASK] run", "##s", "dogs run"),
        ("characters", "a [MASK]og", "d", "a dog"),
        ("words", "a [MASK] b", "capital", "a capital b"),
    ],
)
def test_a_piece_stands_in_the_text_as_the_tokenizer_would_write_it(
    kind: Kind, text: str, piece: str, filled: str
) -> None:
    tokenizer = train_tokenizer(
        TEXTS, kind=kind, size=100 if kind in ("bpe", "wordpiece") else None, special=[MASK]
    )
    it = filler(tokenizer)
    [candidates] = it.fill(text, top=tokenizer.vocab_size)
    assert {each.token: each.text for each in candidates}[piece] == filled


def test_what_cannot_be_filled_in_is_refused() -> None:
    it = filler()
    with pytest.raises(UserError, match=r'no mask in "the dog": write \[MASK\] where a word'):
        it.fill(["a [MASK]", "the dog"])
    with pytest.raises(UserError, match='"dog .*…" has 33 tokens, more than the 24'):
        it.fill("dog " * 30 + MASK)
    with pytest.raises(UserError, match="ask for 1 or more"):
        it.fill("[MASK]", top=0)
    without = train_tokenizer([" ".join(WORDS)], kind="words", size=20)
    with pytest.raises(UserError, match="no mask: it was not trained"):
        filler(without).fill("the [MASK]")


def test_a_filler_gives_vectors_too() -> None:
    assert filler().embed(["the dog", "a cat"]).shape == (2, 32)
    assert Candidate("dog", 0.5, "a dog")._asdict() == {"token": "dog", "probability": 0.5, "text": "a dog"}
