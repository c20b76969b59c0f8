"""Which tokens masked language modelling hides."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from weft.errors import UserError
from weft.tasks.masking import MASK, Hidden, Hider, mask_tokens, word_starts
from weft.text.tokenizer import Tokenizer
from weft.text.training import Kind, train_tokenizer

MASK_ID, VOCABULARY = 5, 100


def test_fifteen_in_a_hundred_are_chosen_and_most_of_them_hidden() -> None:
    torch.manual_seed(0)
    tokens = torch.randint(MASK_ID + 1, VOCABULARY, (400, 500))
    maskable = torch.ones_like(tokens, dtype=torch.bool)
    masked = mask_tokens(tokens, maskable=maskable, mask_id=MASK_ID, vocabulary=VOCABULARY)
    chosen = masked.chosen
    assert abs(chosen.float().mean() - 0.15) < 0.005
    assert torch.equal(masked.tokens[~chosen], tokens[~chosen])
    hidden = masked.tokens[chosen] == MASK_ID
    same = masked.tokens[chosen] == tokens[chosen]
    assert abs(hidden.float().mean() - 0.8) < 0.01
    assert abs(same.float().mean() - 0.1) < 0.01
    random = masked.tokens[chosen][~hidden & ~same]
    assert len(set(random.tolist())) == VOCABULARY - MASK_ID - 1
    assert random.min() > MASK_ID


def test_what_is_not_to_be_masked_stays() -> None:
    torch.manual_seed(0)
    tokens = torch.randint(0, VOCABULARY, (50, 60))
    maskable = tokens > MASK_ID
    masked = mask_tokens(tokens, maskable=maskable, mask_id=MASK_ID, vocabulary=VOCABULARY)
    assert masked.chosen.any()
    assert not masked.chosen[~maskable].any()
    assert torch.equal(masked.tokens[~maskable], tokens[~maskable])


TEXTS = ["The walking dogs are running (fast), don't you see 12 of them?", "A dog walks; dogs run."] * 30
PLACES = np.arange(64)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, kind="bpe", special=[MASK], size=330)


def rows_of(tokenizer: Tokenizer, *, count: int, length: int = 64) -> NDArray[np.int64]:
    """Rows that begin and end as the rows of a run do, the last of them half filled up."""
    (ids,) = tokenizer.encode([" ".join(TEXTS)])
    rows = np.array([np.resize(np.roll(ids, -7 * row), length) for row in range(count)])
    rows[:, 0], rows[:, -1] = tokenizer.bos_id, tokenizer.eos_id
    rows[-1, length // 2 :] = tokenizer.pad_id
    return rows


def hide(tokenizer: Tokenizer, rows: NDArray[np.int64], *, seed: int = 1, **options: Any) -> Hidden:
    hider = Hider(tokenizer, **{"rate": 0.15, "whole_words": False, **options})
    lengths = [64] * (len(rows) - 1) + [32]
    return hider.hide(rows, numbers=range(len(rows)), lengths=lengths, seed=seed)


@pytest.mark.parametrize("whole_words", [False, True])
@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_each_row_has_its_share(tokenizer: Tokenizer, rate: float, whole_words: bool) -> None:
    rows = rows_of(tokenizer, count=300)
    hidden = hide(tokenizer, rows, rate=rate, whole_words=whole_words)
    assert np.array_equal(hidden.ids[~hidden.chosen], rows[~hidden.chosen])
    special = rows <= (tokenizer.mask_id or 0)
    assert not hidden.chosen[special].any()
    assert np.array_equal(hidden.chosen.sum(1), np.round(rate * (~special).sum(1)))
    was, became = rows[hidden.chosen], hidden.ids[hidden.chosen]
    assert abs((became == tokenizer.mask_id).mean() - 0.8) < 0.03
    assert abs((became == was).mean() - 0.1) < 0.02
    random = became[(became != tokenizer.mask_id) & (became != was)]
    assert random.min() > (tokenizer.mask_id or 0)
    assert len(set(random.tolist())) > 0.5 * tokenizer.vocab_size
    assert abs(hidden.chosen[:-1, 1:-1].mean(0) - rate).max() < 0.12  # no place is preferred


def test_a_row_of_a_token_or_two_has_one_hidden(tokenizer: Tokenizer) -> None:
    rows = np.array([[1, 50, 2, 0], [1, 50, 51, 2], [1, 3, 2, 0]])
    hidden = Hider(tokenizer, rate=0.15, whole_words=False).hide(
        rows, numbers=[0, 1, 2], lengths=[3, 4, 3], seed=0
    )
    assert hidden.chosen.sum(1).tolist() == [1, 1, 0]


def test_what_is_hidden_is_a_matter_of_seed_and_row_alone(tokenizer: Tokenizer) -> None:
    rows = rows_of(tokenizer, count=20)
    whole = hide(tokenizer, rows)
    hider = Hider(tokenizer, rate=0.15, whole_words=False)
    some = hider.hide(rows[[4, 19]], numbers=[4, 19], lengths=[64, 32], seed=1)
    assert np.array_equal(some.ids, whole.ids[[4, 19]])
    short = hider.hide(rows[19:, :40], numbers=[19], lengths=[32], seed=1)
    assert np.array_equal(short.ids, whole.ids[19:, :40])
    assert not np.array_equal(hide(tokenizer, rows, seed=2).chosen, whole.chosen)
    assert not np.array_equal(whole.chosen[0], whole.chosen[1])


def test_words_are_hidden_whole(tokenizer: Tokenizer) -> None:
    rows = rows_of(tokenizer, count=200)
    starts = word_starts(tokenizer) | (np.arange(tokenizer.vocab_size) <= (tokenizer.mask_id or 0))
    cut = {}
    for whole_words in (False, True):
        chosen = hide(tokenizer, rows, whole_words=whole_words).chosen
        words = np.maximum.accumulate(np.where(starts[rows], PLACES, 0), axis=1)
        broken = 0
        for row in range(len(rows) - 1):
            counts = [
                set(chosen[row][words[row] == word].tolist()) for word in set(words[row].tolist()) - {0}
            ]
            broken += max(0, sum(len(each) > 1 for each in counts) - whole_words)
        cut[whole_words] = broken
    assert cut[True] == 0
    assert cut[False] > 100


@pytest.mark.parametrize(
    ("kind", "size"), [("bpe", 60), ("wordpiece", 70), ("unigram", 60), ("words", None), ("characters", None)]
)
def test_where_words_begin(kind: Kind, size: int | None) -> None:
    tokenizer = train_tokenizer(TEXTS, kind=kind, size=size, special=[MASK])
    (ids,) = tokenizer.encode(["The walking dogs running"])
    begins = np.flatnonzero(word_starts(tokenizer)[ids])
    words = tokenizer.decode([group.tolist() for group in np.split(np.array(ids), begins)])
    pieces = [word.replace("##", "").strip() for word in words[-4:]]
    assert pieces == ["The", "walking", "dogs", "running"]
    assert (len(ids) == 4) == (kind == "words")


def test_a_tokenizer_without_a_mask_is_refused() -> None:
    tokenizer = train_tokenizer(TEXTS, kind="words")
    with pytest.raises(UserError, match="no mask: train one with <mask>"):
        Hider(tokenizer, rate=0.15, whole_words=False)
