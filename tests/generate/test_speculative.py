"""Tokens guessed ahead: the same texts, token for token, in fewer steps."""

from collections.abc import Callable

import pytest
import torch
from tests.generate.test_prompts import END, make_model, prompts

from weft.generate.config import SearchConfig
from weft.generate.prompts import continue_prompts
from weft.generate.speculative import Draft, Guess, look_up
from weft.models.decoder import Decoder
from weft.pipelines.stream import stop_at

SEARCHES = {
    "greedy": SearchConfig(max_length=24),
    "repeating": SearchConfig(max_length=24, repetition_penalty=1.4, no_repeat_ngram=3, min_length=8),
    "sampled": SearchConfig(max_length=24, sample=True, seed=4, nbest=3),
    "filtered": SearchConfig(max_length=24, sample=True, seed=5, top_k=5, temperature=0.4),
}


def guesses(model: Decoder) -> dict[str, Callable[[], Guess]]:
    other = make_model(decoder_layers=1)
    return {
        "itself": lambda: Draft(model, room=64),
        "another": lambda: Draft(other, room=64),
        "short of room": lambda: Draft(model, room=12),
        "lookup": lambda: look_up,
        "nonsense": lambda: lambda tokens: [len(tokens) % 5 + 3] * 7,
        "nothing": lambda: lambda tokens: [],
    }


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
@pytest.mark.parametrize("name", guesses(make_model()))
def test_the_texts_are_the_same(name: str, search: SearchConfig) -> None:
    model, lines = make_model(), prompts(count=5, lengths=(3, 9))
    guess = guesses(model)[name]
    plain = continue_prompts(model, lines, search)
    ahead = continue_prompts(model, lines, search, guess=guess)
    assert [[each.tokens for each in some] for some in ahead] == [
        [each.tokens for each in some] for some in plain
    ]
    for some, others in zip(ahead, plain, strict=True):
        for one, other in zip(some, others, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_rules_are_kept() -> None:
    model, lines = make_model(), prompts(count=4)
    rule = stop_at(lambda tokens: tokens[-1] % 5 == 0, last=1, end=END)
    plain, ahead = (
        continue_prompts(model, lines, SEARCHES["greedy"], processors=[rule], guess=guess)
        for guess in (None, guesses(model)["itself"])
    )
    assert [[each.tokens for each in some] for some in ahead] == [
        [each.tokens for each in some] for some in plain
    ]


@pytest.mark.parametrize(("name", "most"), [("itself", 8), ("nothing", 24)])
def test_a_guess_that_comes_true_saves_a_step(name: str, most: int) -> None:
    model, steps = make_model(), list[int]()
    model.register_forward_hook(lambda *_: steps.append(1))
    search = SearchConfig(max_length=24, min_length=24)
    ((found,),) = continue_prompts(model, prompts(count=1), search, guess=guesses(make_model())[name])
    assert len(found.tokens) >= 23
    assert len(steps) <= most


def test_samples_are_distributed_as_the_model_says() -> None:
    """Over many seeds the first two tokens come as often as their probabilities say, whatever is guessed."""
    model, (line, *_) = make_model(), prompts(count=1)
    guess = guesses(model)["itself"]
    counts = torch.zeros(model.config.vocabulary)
    draws = 600
    for seed in range(draws):
        config = SearchConfig(max_length=2, sample=True, seed=seed, temperature=0.7)
        ((found,),) = continue_prompts(model, [line], config, guess=guess)
        counts[([*found.tokens, END])[0]] += 1
    with torch.inference_mode():
        expected = (model.logits(model(torch.tensor([line]))[0, -1]) / 0.7).softmax(-1) * draws
    often = expected > 5
    statistic = float(((counts - expected)[often] ** 2 / expected[often]).sum())
    freedom = int(often.sum())
    assert statistic < freedom + 4 * (2 * freedom) ** 0.5


def test_look_up_takes_the_longest_and_the_latest() -> None:
    assert look_up([1, 2, 3, 8, 2, 3, 9, 1, 2, 3]) == [8, 2, 3, 9, 1, 2, 3]
    assert look_up([5, 2, 3, 8, 2, 3, 9, 7, 2, 3]) == [9, 7, 2, 3]
    assert look_up([1, 2, 3]) == []
