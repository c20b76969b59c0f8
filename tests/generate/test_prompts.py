"""What a decoder writes after prompts: each alone, drawn as the model says, and ended where it is told."""

import itertools
import math

import pytest
import torch

from weft.config import ModelConfig
from weft.errors import UserError
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis
from weft.generate.prompts import TOKENS, continue_prompts
from weft.models.decoder import Decoder
from weft.pipelines.stream import stop_at

START, END = 1, 2
SEARCHES = {
    "greedy": SearchConfig(max_length=12),
    "beams": SearchConfig(beams=4, nbest=4, max_length=12),
    "sampling": SearchConfig(sample=True, nbest=3, max_length=12, temperature=1.5, top_k=30, top_p=0.95),
}


def make_model(*, vocabulary: int = 50, **fields: object) -> Decoder:
    """A small model whose outputs are varied and end at various lengths."""
    torch.manual_seed(0)
    shape = {"architecture": "decoder", "vocabulary": vocabulary, "width": 32, "heads": 4, "feed_forward": 64}
    shape |= {"decoder_layers": 2, "tie": "none", "output_bias": True, "position": "rotary", "max_length": 40}
    model = Decoder(ModelConfig.model_validate(shape | fields)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".attention." in name and weight.dim() == 2:
                weight *= 3
        model.output.weight *= 1.5
        model.output.weight[END] *= 2
        model.output.bias[END] = 2.0
    return model


def prompts(*, count: int, lengths: tuple[int, ...] = (5,), vocabulary: int = 50) -> list[list[int]]:
    generator = torch.Generator().manual_seed(count)
    every = itertools.cycle(lengths)
    return [torch.randint(3, vocabulary, (next(every),), generator=generator).tolist() for _ in range(count)]


def uncached_greedy(model: Decoder, prompt: list[int], *, limit: int) -> list[int]:
    tokens = list(prompt)
    while len(tokens) < len(prompt) + limit and (len(tokens) == len(prompt) or tokens[-1] != END):
        with torch.no_grad():
            tokens.append(int(model.logits(model(torch.tensor([tokens]))[0, -1]).argmax()))
    return tokens[len(prompt) :]


def teacher_forced(model: Decoder, prompt: list[int], output: list[int]) -> list[float]:
    """The log-probability of each of the output's tokens."""
    with torch.no_grad():
        hidden = model(torch.tensor([[*prompt, *output[:-1]]]))[0, len(prompt) - 1 :]
        logprobs = model.logits(hidden).log_softmax(-1)
    return logprobs.gather(1, torch.tensor(output)[:, None])[:, 0].tolist()


def generated(hypothesis: Hypothesis) -> list[int]:
    return [*hypothesis.tokens, END] if hypothesis.ended else hypothesis.tokens


def test_the_model_is_varied() -> None:
    lines = prompts(count=40, lengths=(3, 7))
    found = [each[0] for each in continue_prompts(make_model(), lines, SEARCHES["greedy"])]
    assert len({tuple(each.tokens) for each in found}) >= 20
    assert len({len(each.tokens) for each in found}) >= 5
    assert {each.ended for each in found} == {True, False}


@pytest.mark.parametrize(
    "fields",
    [{}, {"position": "learned"}, {"position": "alibi", "kv_heads": 2}, {"window": 4, "global_every": 0}],
    ids=str,
)
def test_greedy_is_the_argmax_of_an_uncached_forward(fields: dict[str, object]) -> None:
    model = make_model(**fields)
    lines = prompts(count=12, lengths=(1, 3, 7))
    found = continue_prompts(model, lines, SearchConfig(max_length=12))
    assert [generated(each[0]) for each in found] == [uncached_greedy(model, p, limit=12) for p in lines]


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_prompts_of_mixed_length_are_continued_as_each_alone(search: SearchConfig) -> None:
    model = make_model()
    lines = prompts(count=8, lengths=(6, 2, 9))
    together = continue_prompts(model, lines, search)
    for line, expected in zip(lines, together, strict=True):
        (alone,) = continue_prompts(model, [line], search)
        assert [generated(each) for each in alone] == [generated(each) for each in expected]
        for one, other in zip(alone, expected, strict=True):
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
    assert continue_prompts(model, lines[::-1], search) == together[::-1]
    assert continue_prompts(model, [], search) == []


def test_more_than_are_written_together_are_all_written(monkeypatch: pytest.MonkeyPatch) -> None:
    model, lines = make_model(), prompts(count=10)
    expected = continue_prompts(model, lines, SEARCHES["sampling"])
    monkeypatch.setattr("weft.generate.prompts.ROWS", 8)
    assert continue_prompts(model, lines, SEARCHES["sampling"]) == expected


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_outputs_score_what_the_model_finds(search: SearchConfig) -> None:
    model = make_model()
    lines = prompts(count=6, lengths=(4, 6))
    for line, hypotheses in zip(lines, continue_prompts(model, lines, search), strict=True):
        assert len(hypotheses) == search.nbest
        assert [each.score for each in hypotheses] == sorted((e.score for e in hypotheses), reverse=True)
        for each in hypotheses:
            assert each.logprobs == pytest.approx(teacher_forced(model, line, generated(each)), abs=1e-4)
            assert each.score == pytest.approx(sum(each.logprobs) / len(each.logprobs), abs=1e-5)


def test_more_beams_find_a_better_sum_and_all_of_them_the_best() -> None:
    model = make_model(vocabulary=6)
    line = [5, 3]
    every = [
        (*middle, END) for length in range(3) for middle in itertools.product([0, 1, 3, 4, 5], repeat=length)
    ]
    best = max(every, key=lambda output: sum(teacher_forced(model, line, list(output))))
    search = SearchConfig(beams=40, nbest=40, length_penalty=0.0, max_length=3)
    ((*found,),) = continue_prompts(model, [line], search)
    assert tuple(generated(next(each for each in found if each.ended))) == best


def test_samples_are_settled_by_prompt_seed_and_number() -> None:
    model = make_model()
    line, other = prompts(count=2)

    def sampled(lines: list[list[int]], **fields: object) -> list[list[tuple[int, ...]]]:
        search = SearchConfig.model_validate({"sample": True, "max_length": 12} | fields)
        return [
            [tuple(e.tokens) for e in hypotheses] for hypotheses in continue_prompts(model, lines, search)
        ]

    (one,) = sampled([line], nbest=8)
    assert sampled([other, line, line], nbest=8)[1:] == [one, one]
    assert len(set(one)) > 4
    assert set(sampled([line], nbest=3)[0]) < set(one)
    assert set(sampled([line], nbest=8, seed=1)[0]) != set(one)
    (cold,) = sampled([line], nbest=3, temperature=1e-6)
    assert set(cold) == {tuple(continue_prompts(model, [line], SEARCHES["greedy"])[0][0].tokens)}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"temperature": 2.0},
        {"top_k": 3, "temperature": 3.0},
        {"top_p": 0.8},
        {"min_p": 0.3, "temperature": 2.0},
    ],
    ids=str,
)
def test_samples_are_distributed_as_the_model_says(
    fields: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pearson's chi-square over all pairs of tokens."""
    monkeypatch.setattr("weft.generate.prompts.ROWS", 500)
    model, prompt, drawn = make_model(vocabulary=7), [5, 3, 6], 1500
    model.output.bias.data[END] = 0.0
    search = SearchConfig.model_validate(
        {"sample": True, "nbest": drawn, "max_length": 2, "seed": 3, **fields}
    )
    counts = dict.fromkeys(itertools.product(range(7), range(7)), 0)
    for each in continue_prompts(model, [prompt], search)[0]:
        counts[tuple((generated(each) * 2)[:2]) if each.tokens else (END, END)] += 1
    first = truncated(model, prompt, search)
    expected = {}
    for one, other in counts:
        then = truncated(model, [*prompt, one], search)[other] if one != END else float(other == END)
        expected[one, other] = drawn * float(first[one]) * float(then)
    assert all(counts[pair] == 0 for pair, number in expected.items() if number == 0)
    likely = [pair for pair, number in expected.items() if number >= 5]
    rest = [sum(numbers.values()) - sum(numbers[p] for p in likely) for numbers in (counts, expected)]
    terms = [(counts[pair], expected[pair]) for pair in likely] + ([tuple(rest)] if rest[1] > 1 else [])
    chi_square = sum((found - wanted) ** 2 / wanted for found, wanted in terms)
    freedom = len(terms) - 1
    assert freedom >= 2
    assert chi_square < freedom + 4 * math.sqrt(2 * freedom)


def truncated(model: Decoder, tokens: list[int], search: SearchConfig) -> list[float]:
    """The probabilities of the next token, as the definitions of top-k, top-p and min-p have them."""
    with torch.no_grad():
        shares = (
            (model.logits(model(torch.tensor([tokens]))[0, -1]) / search.temperature).softmax(-1).tolist()
        )
    order = sorted(range(len(shares)), key=lambda token: -shares[token])
    kept, total = set(order[: search.top_k or None]), 0.0
    for token in order:
        if total >= search.top_p or shares[token] < search.min_p * shares[order[0]]:
            kept.discard(token)
        total += shares[token]
    left = sum(shares[token] for token in kept)
    return [share / left if token in kept else 0.0 for token, share in enumerate(shares)]


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_a_rule_ends_what_is_written(search: SearchConfig) -> None:
    model, lines = make_model(), prompts(count=8, lengths=(4, 6))
    rule = stop_at(lambda tokens: tokens[-1] % 5 == 0, last=1, end=END)
    ended = 0
    for hypotheses in continue_prompts(model, lines, search, processors=[rule]):
        for each in hypotheses:
            assert all(token % 5 for token in each.tokens[:-1])
            if each.tokens and each.tokens[-1] % 5 == 0 and len(each.tokens) < 12:
                assert each.ended
                ended += 1
    assert ended > 0


def test_each_token_of_a_single_prompt_is_told() -> None:
    model = make_model()
    for line in prompts(count=4):
        told: list[int] = []
        ((found,),) = continue_prompts(model, [line], SEARCHES["greedy"], tell=told.append)
        assert told == generated(found)


def test_without_a_length_a_hundred_tokens_are_written_or_as_many_as_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert TOKENS == 100
    monkeypatch.setattr("weft.generate.prompts.TOKENS", 10)
    search = SearchConfig(banned=((END,),))
    found = continue_prompts(make_model(max_length=40), [[3] * 33, [3] * 30, [3, 4]], search)
    assert [(len(each.tokens), each.ended) for (each,) in found] == [(7, False), (10, False), (10, False)]


def test_user_mistakes() -> None:
    model = make_model()
    with pytest.raises(UserError, match="prompt 1 has no tokens"):
        continue_prompts(model, [[3], []], SEARCHES["greedy"])
    with pytest.raises(
        UserError, match=r"30 tokens and 12 to write are more than the 40 .*at most 10, or shorten"
    ):
        continue_prompts(model, [[3], [3] * 30], SEARCHES["greedy"])
    assert continue_prompts(model, [[3] * 28], SEARCHES["greedy"])
    with pytest.raises(UserError, match="a prompt of 40 tokens and 1 to write are more than the 40"):
        continue_prompts(model, [[3] * 40], SearchConfig())
    with pytest.raises(UserError, match="max_length 41 is more than the 40 tokens"):
        continue_prompts(model, [[3]], SearchConfig(max_length=41))
