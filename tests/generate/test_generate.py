"""What is true of every search: what it gives, and that it does not depend on the neighbours."""

import itertools
import math

import pytest
import torch
from pydantic import ValidationError

from weft.config import ModelConfig
from weft.errors import UserError
from weft.generate.batches import SENTENCES_TOGETHER, generate
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis
from weft.generate.predictor import Seq2SeqPredictor
from weft.models.seq2seq import Seq2Seq

START, END = 1, 2
POSITIONS = ["sinusoidal", "sinusoidal_halves", "learned", "rotary", "alibi", "t5", "none"]
SEARCHES = {
    "greedy": SearchConfig(max_length=12),
    "beams": SearchConfig(beams=4, nbest=4, max_length=12),
    "sampling": SearchConfig(sample=True, nbest=3, max_length=12, temperature=1.5, top_k=30, top_p=0.95),
}


def make_model(*, seed: int = 0, **fields: object) -> Seq2Seq:
    """A small model whose outputs are varied and end at various lengths."""
    torch.manual_seed(seed)
    shape = {"vocabulary": 50, "width": 32, "heads": 4, "feed_forward": 64}
    shape |= {"encoder_layers": 2, "decoder_layers": 2}
    shape |= {"tie": "none", "output_bias": True}
    model = Seq2Seq(ModelConfig.model_validate(shape | fields)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".cross." in name and weight.dim() == 2:
                weight *= 3
        model.output.weight *= 1.5
        model.output.weight[END] *= 2
        if model.output.bias is not None:
            model.output.bias[END] = 4.0
    return model


def sources(*, count: int, lengths: tuple[int, ...] = (5,), vocabulary: int = 50) -> list[list[int]]:
    generator = torch.Generator().manual_seed(count)
    every = itertools.cycle(lengths)
    return [
        [*torch.randint(3, vocabulary, (next(every) - 1,), generator=generator).tolist(), END]
        for _ in range(count)
    ]


def uncached_greedy(model: Seq2Seq, source: list[int], *, limit: int) -> list[int]:
    tokens = [START]
    while len(tokens) <= limit and (len(tokens) == 1 or tokens[-1] != END):
        with torch.no_grad():
            hidden = model(torch.tensor([source]), torch.tensor([tokens]))
            tokens.append(int(model.logits(hidden[0, -1]).argmax()))
    return tokens[1:]


def teacher_forced(model: Seq2Seq, source: list[int], output: list[int]) -> list[float]:
    """The log-probability of each of the output's tokens."""
    with torch.no_grad():
        hidden = model(torch.tensor([source]), torch.tensor([[START, *output[:-1]]]))
        logprobs = model.logits(hidden[0]).log_softmax(-1)
    return logprobs.gather(1, torch.tensor(output)[:, None])[:, 0].tolist()


def generated(hypothesis: Hypothesis) -> list[int]:
    return [*hypothesis.tokens, END] if hypothesis.ended else hypothesis.tokens


def test_the_model_is_varied() -> None:
    found = [hypotheses[0] for hypotheses in generate(make_model(), sources(count=40), SEARCHES["greedy"])]
    assert len({tuple(each.tokens) for each in found}) >= 20
    assert len({len(each.tokens) for each in found}) >= 5
    assert {each.ended for each in found} == {True, False}


@pytest.mark.parametrize("position", POSITIONS)
def test_greedy_is_the_argmax_of_an_uncached_forward(position: str) -> None:
    model = make_model(position=position)
    lines = sources(count=12, lengths=(3, 7))
    found = generate(model, lines, SearchConfig(max_length=12))
    assert [generated(each[0]) for each in found] == [uncached_greedy(model, s, limit=12) for s in lines]


@pytest.mark.parametrize("position", POSITIONS)
@pytest.mark.parametrize("kv_heads", [None, 2])
def test_cached_logits_are_those_of_a_full_forward_for_beams_that_move(
    position: str, kv_heads: int | None
) -> None:
    model = make_model(position=position, kv_heads=kv_heads)
    source = torch.tensor(sources(count=3))
    beams, steps = 2, 6
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        predictor = Seq2SeqPredictor(model, [source], capacity=steps)
        tokens = torch.full((3 * beams, 1), START)
        for _ in range(steps):
            logits = predictor.predict(tokens[:, -1:])
            memory = model.encode(source)
            full = model.logits(model.decode(tokens, memory)[:, -1])
            assert torch.allclose(logits, full, atol=1e-5 * float(full.abs().max()))
            if tokens.shape[1] == 3:  # the middle sentence is over
                source, keep = source[[0, 2]], torch.tensor([0, 2])
                predictor.keep(keep)
                rows = torch.tensor([1, 0, 4, 4])
            else:
                rows = torch.cat([torch.randint(2, (2,), generator=draw) + 2 * s for s in range(len(source))])
            predictor.reorder(rows)
            new = torch.randint(3, 50, (len(rows), 1), generator=draw)
            tokens = torch.cat((tokens[rows], new), 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_outputs_do_not_depend_on_the_batch(search: SearchConfig, dtype: torch.dtype) -> None:
    model = make_model(position="rotary").to(dtype)
    lines = sources(count=64, lengths=(6,))
    expected = generate(model, lines, search)
    assert [generate(model, [line], search)[0] for line in lines[:8]] == expected[
        :8
    ]  # bit for bit, all of it
    assert generate(model, lines[:7], search) + generate(model, lines[7:14], search) == expected[:14]
    assert generate(model, lines[:20], search, batch_tokens=7 * 6) == expected[:20]
    mixed = sources(count=11, lengths=(1, 3, 9))
    between = generate(model, lines[:9] + mixed + lines[9:20], search)
    assert between[:9] + between[20:] == expected[:20]
    assert between[9:20] == [generate(model, [line], search)[0] for line in mixed]


@pytest.mark.parametrize("beams", [1, 5])
def test_wide_heads_and_odd_lengths_do_not_depend_on_the_batch(beams: int) -> None:
    """Where kernels round by where in memory a matrix begins, or by how it is laid out."""
    model = make_model(position="rotary", width=128, heads=2)
    search = SearchConfig(beams=beams)
    lines = sources(count=24, lengths=(9, 11, 14))
    together = generate(model, lines, search)
    assert len({len(each[0].tokens) for each in together}) > 3  # some leave early
    assert [generate(model, [line], search)[0] for line in lines] == together


def test_sources_of_all_lengths_share_batches_but_where_a_limit_forces_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model()
    lines = sources(count=12, lengths=(3, 5, 7))
    batches: list[list[int]] = []
    begin = Seq2SeqPredictor.__init__

    def counted(
        self: Seq2SeqPredictor, model: Seq2Seq, sources: list[torch.Tensor], *, capacity: int
    ) -> None:
        batches.append([source.shape[1] for source in sources])
        begin(self, model, sources, capacity=capacity)

    monkeypatch.setattr(Seq2SeqPredictor, "__init__", counted)
    generate(model, lines, SearchConfig())
    generate(model, lines, SearchConfig(force_end=True))
    generate(model, lines, SearchConfig(force_end=True, max_length=6))
    assert batches == [[7, 5, 3], [7], [5], [3], [7, 5, 3]]


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("shape", [(32, 32), (64, 200), (30, 37), (256, 1000)], ids=str)
def test_products_of_four_rows_at_a_time_round_alike(shape: tuple[int, int], threads: int) -> None:
    """What independence rests on in float32; with one to three rows, or five, it does not hold."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        layer = torch.nn.Linear(*shape)
        rows = torch.randn(160, shape[0])
        with torch.no_grad():
            expected = layer(rows)
            for count in range(SENTENCES_TOGETHER, 161, SENTENCES_TOGETHER):
                assert torch.equal(layer(rows[:count]), expected[:count]), count
                assert torch.equal(layer(rows[-count:]), expected[-count:]), count
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "fields",
    [{}, {"length_penalty": 0.0}, {"length_penalty": 2.0}, {"scoring": "gnmt", "length_penalty": 0.6}],
    ids=str,
)
@pytest.mark.parametrize("early_stopping", [False, True, "never"])
def test_nbest_lists_are_sorted_and_distinct_and_score_what_they_say(
    fields: dict[str, object], early_stopping: bool | str
) -> None:
    model = make_model()
    lines = sources(count=12, lengths=(4, 6))
    search = SearchConfig(beams=5, nbest=5, max_length=12, early_stopping=early_stopping, **fields)
    for line, hypotheses in zip(lines, generate(model, lines, search), strict=True):
        assert len(hypotheses) == 5
        assert [each.score for each in hypotheses] == sorted((e.score for e in hypotheses), reverse=True)
        assert len({tuple(generated(each)) for each in hypotheses}) == 5
        for each in hypotheses:
            assert END not in each.tokens
            assert len(each.logprobs) == len(generated(each)) <= 12
            assert each.ended or len(each.tokens) == 12
            assert each.logprobs == pytest.approx(teacher_forced(model, line, generated(each)), abs=1e-4)
            expected = sum(each.logprobs) / search.normaliser(len(each.logprobs))
            assert each.score == pytest.approx(expected, abs=1e-5)


def test_more_beams_find_a_better_sum() -> None:
    model = make_model()
    lines = sources(count=40, lengths=(4, 6))
    greedy, beams = (
        [
            each[0].score
            for each in generate(model, lines, SearchConfig(beams=b, length_penalty=0.0, max_length=12))
        ]
        for b in (1, 8)
    )
    assert sum(beams) > sum(greedy)


def test_a_beam_as_wide_as_all_outputs_is_exhaustive() -> None:
    model = make_model(vocabulary=6)
    line = [5, 3, END]
    every = [
        (*middle, END) for length in range(3) for middle in itertools.product([0, 1, 3, 4, 5], repeat=length)
    ]
    best = max(every, key=lambda output: sum(teacher_forced(model, line, list(output))))
    search = SearchConfig(beams=40, length_penalty=0.0, max_length=3, force_end=False, banned=())
    found = [
        each for each in generate(model, [line], search.model_copy(update={"nbest": 40}))[0] if each.ended
    ]
    assert tuple(generated(found[0])) == best


def test_gnmt_scoring_and_length_penalty_change_the_choice() -> None:
    model = make_model()
    lines = sources(count=40)
    outputs = [
        [each[0].tokens for each in generate(model, lines, SearchConfig(beams=4, max_length=12, **fields))]
        for fields in (
            {},
            {"length_penalty": 0.0},
            {"length_penalty": 2.0},
            {"scoring": "gnmt", "length_penalty": 1.0},
        )
    ]
    assert all(a != b for a, b in itertools.combinations(outputs, 2))


def test_results_come_in_the_order_of_the_sources() -> None:
    model = make_model()
    lines = sources(count=9, lengths=(2, 8, 5))
    found = generate(model, lines, SEARCHES["beams"])
    assert generate(model, lines[::-1], SEARCHES["beams"]) == found[::-1]
    assert generate(model, [], SEARCHES["beams"]) == []


def test_a_model_in_training_is_searched_without_dropout_and_goes_on_training() -> None:
    model = make_model(dropout=0.5)
    lines = sources(count=4)
    expected = generate(model, lines, SEARCHES["greedy"])
    model.train()
    assert generate(model, lines, SEARCHES["greedy"]) == expected
    assert model.training


def test_samples_are_settled_by_source_seed_and_number() -> None:
    model = make_model()
    line, other = sources(count=2)

    def sampled(lines: list[list[int]], **fields: object) -> list[list[tuple[int, ...]]]:
        search = SearchConfig.model_validate({"sample": True, "max_length": 12} | fields)
        return [[tuple(each.tokens) for each in hypotheses] for hypotheses in generate(model, lines, search)]

    (one,), (same,) = sampled([line], nbest=8), sampled([line], nbest=8)
    assert one == same
    assert len(set(one)) > 4
    assert sampled([other, line, line], nbest=8)[1:] == [one, one]
    assert set(sampled([line], nbest=3)[0]) < set(one)
    assert set(sampled([line], nbest=8, seed=1)[0]).isdisjoint(one)
    (cold,) = sampled([line], nbest=3, temperature=1e-6)
    assert set(cold) == {tuple(generate(model, [line], SEARCHES["greedy"])[0][0].tokens)}


def test_sampled_hypotheses_score_what_the_model_finds() -> None:
    model = make_model()
    (line,) = sources(count=1)
    for each in generate(model, [line], SEARCHES["sampling"])[0]:
        assert each.logprobs == pytest.approx(teacher_forced(model, line, generated(each)), abs=1e-4)
        assert each.score == pytest.approx(sum(each.logprobs) / len(each.logprobs), abs=1e-5)


def test_without_a_maximum_the_source_sets_it() -> None:
    model = make_model(position="none")
    search = SearchConfig(banned=((END,),))
    assert [len(each[0].tokens) for each in generate(model, sources(count=2, lengths=(3, 4)), search)] == [
        56,
        58,
    ]
    model = make_model(max_length=20)
    assert [len(each[0].tokens) for each in generate(model, sources(count=1, lengths=(3,)), search)] == [20]


def test_user_mistakes() -> None:
    model = make_model(max_length=20)
    with pytest.raises(UserError, match="source 1 has no tokens"):
        generate(model, [[END], []], SearchConfig())
    with pytest.raises(UserError, match="max_length 21 is more than the 20 tokens"):
        generate(model, [[END]], SearchConfig(max_length=21))
    with pytest.raises(UserError, match="banned: the model has no token 50"):
        generate(model, [[END]], SearchConfig(banned=((3, 50),)))
    for sample in (False, True):
        with pytest.raises(UserError, match="relax one"):
            generate(
                model, [[END]], SearchConfig(sample=sample, banned=tuple((token,) for token in range(50)))
            )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"temperature": 0.5}, "temperature: only sampling"),
        ({"sample": True, "beams": 4}, "beams: only beam search"),
        ({"beams": 2, "nbest": 3}, "nbest 3 needs beams 3 or more, not 2"),
        ({"max_length": 3, "min_length": 4}, "min_length 4 is more"),
        ({"banned": ((),)}, "at least one token"),
        ({"beam": 4}, "beam"),
        ({"length_penalty": 1e308}, "length_penalty\n.*less than or equal to 5"),
        ({"length_penalty": -1e308}, "length_penalty\n.*greater than or equal to -5"),
        ({"length_penalty": math.nan}, "length_penalty\n.*finite"),
        ({"sample": True, "temperature": math.inf}, "temperature\n.*finite"),
        ({"sample": True, "temperature": 1e-300}, "temperature\n.*greater"),
        ({"sample": True, "min_p": math.nan}, "min_p\n.*finite"),
        ({"repetition_penalty": 1e-308}, "repetition_penalty\n.*greater"),
        ({"repetition_penalty": math.inf}, "repetition_penalty\n.*finite"),
        ({"beams": 10**9}, "beams\n.*less than or equal to"),
        ({"sample": True, "nbest": 10**9}, "nbest\n.*less than or equal to"),
    ],
)
def test_a_configuration_that_contradicts_itself(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SearchConfig(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"beams": 2, "length_penalty": 5.0},
        {"beams": 2, "length_penalty": -5.0},
        {"sample": True, "temperature": 0.001},
        {"sample": True, "temperature": 1000.0},
        {"repetition_penalty": 0.01},
        {"repetition_penalty": 100.0},
    ],
)
def test_the_furthest_that_a_number_goes_still_reckons(fields: dict[str, object]) -> None:
    for found in generate(make_model(), sources(count=4), SearchConfig(max_length=50, **fields)):
        assert math.isfinite(found[0].score)
