"""Answers in use: exact characters, the same in any company, and none where there is none."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from weft.config import AnswererConfig, ModelConfig
from weft.errors import UserError
from weft.models.encoder import Encoder
from weft.nn.inference import Precision, convert
from weft.pipelines.answerer import Answer, Answerer
from weft.tasks.reading import Reader
from weft.tasks.squad_score import score
from weft.text.training import train_tokenizer

WORDS = [
    "Rex",
    "naïve",
    "Straße",
    "the",
    "dog",
    "sees",
    "red",
    "houses",
    "日本語",
    "Who",
    "what",
    "x",
    "don't",
]


def answerer(*, threshold: float | None = None, precision: Precision = "float32", **more: int) -> Answerer:
    """Random weights, with scores that differ, and windows that most contexts need several of."""
    tokenizer = train_tokenizer([" ".join(WORDS), "".join(WORDS)], kind="bpe", size=400)
    shape = {"width": 32, "heads": 2, "feed_forward": 64, "encoder_layers": 2, "segments": 2}
    names = {"architecture": "encoder", "position": "rotary", "norm": "rms", "query_key_norm": True}
    model = ModelConfig.model_validate(
        {"vocabulary": tokenizer.vocab_size, "max_length": 64, **shape, **names}
    )
    config = AnswererConfig.model_validate(
        {"model": model, "heads": ("answer",), "length": 32, "stride": 8, "threshold": threshold, **more}
    )
    torch.manual_seed(1)
    encoder = Encoder(model, heads=config.heads).eval()
    torch.nn.init.normal_(encoder.heads["answer"].output.weight, std=0.5)
    return Answerer(
        config, network=Reader(convert(encoder, precision)), tokenizer=tokenizer, precision=precision
    )


def questions(count: int, *, seed: int = 0) -> tuple[list[str], list[str]]:
    """Questions and contexts of very different lengths."""
    draw = random.Random(seed)
    return (
        [" ".join(draw.choices(WORDS, k=draw.randint(1, 5))) + "?" for _ in range(count)],
        ["  ".join(draw.choices(WORDS, k=draw.choice([1, 3, 9, 40]))) + "\n." for _ in range(count)],
    )


def test_an_answer_is_where_it_says() -> None:
    ours = answerer()
    asked, contexts = questions(30)
    answers = ours.answer(asked, contexts)
    assert len({answer.text for answer in answers}) > 10
    for answer, context in zip(answers, contexts, strict=True):
        assert answer.found
        assert answer.text == context[answer.start : answer.end] == answer.text.strip() != ""
        assert 0 < answer.score < 1
    assert any(answer.start > 100 for answer in answers)  # beyond the first window


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_no_answer_depends_on_its_neighbours(threshold: float | None) -> None:
    ours = answerer(threshold=threshold)
    asked, contexts = questions(64)
    together = ours.answer(asked, contexts)
    for size in (1, 7):
        for begin in range(0, 64, size):
            found = ours.answer(asked[begin : begin + size], contexts[begin : begin + size])
            for answer, other in zip(found, together[begin:], strict=False):
                assert answer._replace(score=0) == other._replace(score=0)
                assert answer.score == pytest.approx(other.score, abs=1e-5)
    assert ours.answer(asked[3], contexts[3]).text == together[3].text
    assert {answer.found for answer in together} == ({True} if threshold is None else {True, False})


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_other_precisions_give_spans_too(precision: Precision) -> None:
    ours = answerer(precision=precision)
    asked, contexts = questions(20)
    answers, exact = ours.answer(asked, contexts), answerer().answer(asked, contexts)
    for answer, context in zip(answers, contexts, strict=True):
        assert answer.text == context[answer.start : answer.end] != ""
    same = sum(answer.text == other.text for answer, other in zip(answers, exact, strict=True))
    assert same > 10
    scores = [span.score for span in ours.answer(asked, contexts, nbest=9)[0]]
    assert len(set(scores)) == len(scores)  # that of bfloat16 itself would not tell them apart


def test_nbest_begins_with_the_answer_and_goes_down() -> None:
    asked, contexts = questions(10)
    (alone, many) = answerer().answer(asked, contexts), answerer().answer(asked, contexts, nbest=4)
    assert [answers[0] for answers in many] == alone
    for answers in many:
        shares = [answer.score for answer in answers]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1
        assert len({(answer.start, answer.end) for answer in answers}) == len(answers)
    assert max(map(len, many)) == 4
    withheld = answerer(threshold=99.0).answer(asked[0], contexts[0], nbest=3)
    assert withheld[0] == Answer("", 0, 0, withheld[0].score, found=False)
    assert withheld[1:] == many[0][:2]
    assert answerer(threshold=-99.0).answer(asked[0], contexts[0]) == alone[0]


def test_one_context_for_all_and_lists_of_one() -> None:
    ours = answerer()
    asked, contexts = questions(3)
    assert ours.answer(asked, contexts[0]) == ours.answer(asked, [contexts[0]] * 3)
    assert ours.answer(asked[:1], contexts[:1]) == [ours.answer(asked[0], contexts[0])]
    assert ours.answer([], contexts[0]) == ours.answer([], []) == []


@pytest.mark.parametrize(
    ("question", "context", "options", "message"),
    [
        ("Who?", "", {}, "the context of number 0, counted from 0, is blank"),
        ("", "Rex", {}, "the question of number 0, counted from 0, is blank"),
        (["Who?", "Who?"], ["Rex", " \n"], {}, "the context of number 1"),
        (["Who?"], ["Rex", "dog"], {}, "1 questions on 2 contexts"),
        ("Who?", None, {}, "a text or a list of texts is wanted, not None"),
        ("Who?", "Rex", {"nbest": 0}, "nbest is 0"),
        ("dog " * 40, "Rex", {}, "leaves no room for another in windows of 32"),
    ],
)
def test_what_cannot_be_asked(question: Any, context: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        answerer().answer(question, context, **options)


def write(path: Path, asked: list[str], contexts: list[str], answers: list[list[str]]) -> Path:
    paragraphs = []
    for number, (question, context, texts) in enumerate(zip(asked, contexts, answers, strict=True)):
        given = [{"text": text, "answer_start": context.index(text)} for text in texts]
        record = {"id": str(number), "question": question, "answers": given, "is_impossible": not given}
        paragraphs.append({"context": context, "qas": [record]})
    path.write_text(json.dumps({"data": [{"title": "T", "paragraphs": paragraphs}]}))
    return path


@pytest.mark.parametrize("threshold", [None, 0.5])
def test_evaluation_is_the_score_of_the_answers(tmp_path: Path, threshold: float | None) -> None:
    ours = answerer(threshold=threshold)
    asked, contexts = questions(30)
    answers = ours.answer(asked, contexts)
    right = [[context.split()[0]] for context in contexts]
    right[::3] = [[answer.text] if answer.found else [] for answer in answers[::3]]
    found = ours.evaluate(write(tmp_path / "a.json", asked, contexts, right))
    wanted = score([answer.text for answer in answers], right)
    assert (found.exact, found.f1) == wanted
    assert found.exact >= 100 / 3
    assert (found.questions, found.impossible) == (30, sum(not each for each in right))
    assert found.answered == sum(answer.found for answer in answers)
    assert (found.left_out, found.precision) == ((), "float32")
    assert ours.evaluate([tmp_path / "a.json", str(tmp_path / "a.json")]).questions == 60


def test_evaluation_tells_what_it_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", ["Who?", "dog " * 40, "  "], ["Rex", "Rex", "Rex"], [["Rex"]] * 3)
    found = answerer().evaluate(path)
    place = f'{path}: article 1 "T", paragraph'
    assert found.questions == 1
    assert found.left_out == (
        f'1 left out as without a question: {place} 3, question "2"',
        f'1 left out as too long for windows of 32 tokens that overlap by 8: {place} 2, question "1"',
    )
    with pytest.raises(UserError, match=r"a\.json: nothing to measure; 1 left out as too long"):
        answerer().evaluate(write(tmp_path / "a.json", ["dog " * 40], ["Rex"], [["Rex"]]))
