"""Question answering: windows and back, labels and loss, SQuAD's scores, and a problem that is learned in seconds."""

import json
import random
import re
import string
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import weft
from weft.config import AnswerRun
from weft.data.squad import Question
from weft.description import CONFIG
from weft.errors import UserError
from weft.models.encoder import Encoder
from weft.runs.folder import read_manifest
from weft.tasks.answer import Answer, AnswerProblem
from weft.tasks.passages import read_passage, span_scores
from weft.tasks.pointing import point
from weft.tasks.squad_score import best_threshold, exact_match, f1, normalise, score
from weft.text.tokenizer import Tokenizer
from weft.text.training import train_tokenizer

NAMES = ["Rex", "Tom", "Ann", "Eva", "Max", "Kim"]
COLOURS = ["red", "green", "blue", "black", "white"]
SMALL = {
    "model.width": 64,
    "model.heads": 2,
    "model.feed_forward": 128,
    "model.encoder_layers": 2,
    "model.dropout": 0.0,
    "train.batch_tokens": 512,
    "train.warmup": 10,
    "train.precision": "float32",
    "tokenizer.kind": "words",
    "answer.length": 40,
    "answer.stride": 10,
}


def shoes(contexts: int, *, seed: int, impossible: float = 0.0) -> dict[str, Any]:
    """Who has shoes of which colour, in SQuAD's shape; some questions are about people that are not there."""
    draw = random.Random(seed)
    paragraphs = []
    for number in range(contexts):
        people = draw.sample(NAMES, 4)
        context, questions = "", []
        for person in people[:3]:
            colour = draw.choice(COLOURS)
            start = len(context) + len(person) + 5
            context += f"{person} has {colour} shoes. "
            answer = {"text": colour, "answer_start": start}
            questions.append({"question": f"Which shoes has {person}?", "answers": [answer]})
        if draw.random() < impossible:
            nobody = {"question": f"Which shoes has {people[3]}?", "answers": [], "is_impossible": True}
            questions.append(nobody)
        named = [{"id": f"{number}-{place}", **question} for place, question in enumerate(questions)]
        paragraphs.append({"context": context, "qas": named})
    return {"data": [{"title": "Shoes", "paragraphs": paragraphs}]}


def write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def run_of(train: Path, *, valid: Path | None = None, **answer: int) -> AnswerRun:
    shape = {"width": 16, "heads": 2, "feed_forward": 32, "encoder_layers": 1, "position": "rotary"}
    return AnswerRun.model_validate_json(
        json.dumps(
            {
                "data": {"train": [str(train)], "valid": [str(valid)] if valid else []},
                "tokenizer": {"kind": "words"},
                "model": {"architecture": "encoder", "vocabulary": 60, "max_length": 64, **shape},
                "train": {"smoothing": 0.0},
                "answer": {"length": 40, "stride": 10, **answer},
            }
        )
    )


def task_of(run: AnswerRun, folder: Path) -> Answer:
    problem = AnswerProblem(run)
    return problem.make_task(
        folder / "data", tokenizer=problem.make_tokenizer(), begun=False, tell=lambda _: None
    )


def model_of(task: Answer) -> Encoder:
    """Random weights, large enough that the scores differ."""
    torch.manual_seed(0)
    model = task.problem.make_model(task.problem.run.model)
    torch.nn.init.normal_(model.heads["answer"].output.weight)
    return model.eval()


# ------------------------------------------------------------------------------------------------------------- windows


@pytest.fixture(scope="module")
def letters() -> Tokenizer:
    return train_tokenizer(["abcdefghijklmnopqrstuvwxyz ?.é"], kind="characters")


TEXTS = st.text("abc dé\n", max_size=120).filter(lambda text: bool(text.strip()))


@given(context=TEXTS, length=st.integers(20, 60), stride=st.integers(0, 9))
def test_windows_hold_every_token_of_the_context(
    letters: Tokenizer, context: str, length: int, stride: int
) -> None:
    (spans,) = letters.spans([context])
    passage = read_passage(letters.layout, *letters.spans(["a b?", context]), length=length, stride=stride)
    assert passage.offsets.tolist() == [list(offset) for offset in spans.offsets]
    covered: Counter[int] = Counter()
    for window in passage.windows:
        assert len(window.ids) <= length
        numbers = range(window.start, window.start + window.size)
        assert window.ids[window.at : window.at + window.size].tolist() == [spans.ids[n] for n in numbers]
        characters = [spans.offsets[n][0] < spans.offsets[n][1] for n in numbers]
        assert window.open[window.at : window.at + window.size].tolist() == characters
        assert window.open.sum() == 1 + sum(characters)
        assert window.open[0]
        covered.update(numbers)
    assert set(covered) == set(range(len(spans.ids)))
    overlaps = sum(covered.values()) - len(covered)
    assert overlaps == stride * (len(passage.windows) - 1)


def test_a_question_that_leaves_no_room(letters: Tokenizer) -> None:
    with pytest.raises(UserError, match="leaves no room for another in windows of 20"):
        read_passage(letters.layout, *letters.spans(["a" * 14, "abcd"]), length=20, stride=4)
    whole = read_passage(letters.layout, *letters.spans(["a" * 14, "abc"]), length=20, stride=4)
    assert len(whole.windows) == 1


def test_which_tokens_an_answer_is_of(letters: Tokenizer) -> None:
    context = "ab cd  é."
    passage = read_passage(letters.layout, *letters.spans(["a?", context]), length=40, stride=4)
    for begin, end in ((0, 2), (3, 5), (1, 4), (7, 8), (0, 9)):
        found = passage.tokens(begin, end)
        assert found is not None
        first, last = found
        assert (passage.offsets[first, 0], passage.offsets[last, 1]) == (begin, end)
    assert passage.tokens(2, 3) is None  # white space alone


# -------------------------------------------------------------------------------------------------------- the best span


def by_brute_force(
    passage: Any, scores: list[NDArray[np.float32]], *, longest: int
) -> list[tuple[float, int, int]]:
    best: dict[tuple[int, int], float] = {}
    for window, found in zip(passage.windows, scores, strict=True):
        for first in range(window.size):
            for last in range(first, min(window.size, first + longest)):
                if window.open[window.at + first] and window.open[window.at + last]:
                    begin = int(passage.offsets[window.start + first][0])
                    end = int(passage.offsets[window.start + last][1])
                    value = float(found[window.at + first, 0] + found[window.at + last, 1])
                    best[begin, end] = max(best.get((begin, end), -np.inf), value)
    return sorted(((value, *span) for span, value in best.items()), reverse=True)


@given(
    context=TEXTS,
    length=st.integers(20, 40),
    stride=st.integers(0, 8),
    longest=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_the_best_spans_are_those_of_brute_force(
    letters: Tokenizer, context: str, length: int, stride: int, longest: int, seed: int
) -> None:
    passage = read_passage(letters.layout, *letters.spans(["a b?", context]), length=length, stride=stride)
    generator = np.random.default_rng(seed)
    scores = []
    for window in passage.windows:
        found = generator.normal(size=(len(window.ids), 2)).astype(np.float32)
        found[~window.open] = -np.inf
        scores.append(found)
    spans = span_scores(passage, scores, longest=longest)
    wanted = by_brute_force(passage, scores, longest=longest)
    assert [(span.score, span.begin, span.end) for span in spans.best(10)] == wanted[:10]
    assert [(span.score, span.begin, span.end) for span in spans.best(1)] == wanted[:1]
    assert spans.none == min(float(found[0].sum()) for found in scores)
    assert spans.margin == pytest.approx(wanted[0][0] - spans.none)
    shares = [spans.probability(score) for score, _, _ in wanted]
    assert sum(shares) + spans.probability(spans.none) == pytest.approx(1, abs=1e-6)
    assert spans.answer(None) == spans.answer(spans.margin - 0.01) == spans.best(1)[0]
    assert spans.answer(spans.margin) is None


def test_a_context_without_a_span(letters: Tokenizer) -> None:
    passage = read_passage(letters.layout, *letters.spans(["a b?", ""]), length=20, stride=4)
    (window,) = passage.windows
    assert np.flatnonzero(window.open).tolist() == [0]
    found = np.full((len(window.ids), 2), -np.inf, dtype=np.float32)
    found[0] = 0.5, 1.0
    spans = span_scores(passage, [found], longest=5)
    assert (spans.spans.shape, spans.none) == ((0, 5), 1.5)
    assert spans.best(1) == spans.best(3) == []
    assert spans.margin == -np.inf
    assert spans.answer(None) is None
    assert spans.probability(spans.none) == 1.0


# ------------------------------------------------------------------------------------------------------ SQuAD's scores


@pytest.mark.parametrize(
    ("prediction", "answers", "exact", "overlap"),
    [
        ("Denver Broncos", ["Denver Broncos"], 1, 1),
        ("the  denver-broncos!", ["Denver Broncos", "DenverBroncos"], 1, 1),
        ("Denver", ["Denver Broncos"], 0, 2 / 3),
        ("a cat and a dog", ["The dog"], 0, 2 * (1 / 3) * 1 / (1 / 3 + 1)),
        ("dog dog", ["dog cat dog mouse"], 0, 2 * 1 * 0.5 / 1.5),
        ("bird", ["dog", "cat"], 0, 0),
        ("Theodore", ["odore"], 0, 0),
        ("", ["dog"], 0, 0),
        ("", [], 1, 1),
        ("the", [], 1, 1),
        ("dog", [], 0, 0),
        ("", ["The", "dog"], 0, 0),
        ("", ["A!"], 1, 1),
        ("“dog”", ["dog"], 0, 0),
        ("été, l'", ["l Été"], 0, 1),
    ],
)
def test_exact_match_and_f1_by_hand(
    prediction: str, answers: list[str], exact: float, overlap: float
) -> None:
    assert exact_match(prediction, answers) == exact
    assert f1(prediction, answers) == pytest.approx(overlap)


def by_definition(prediction: str, answers: list[str]) -> tuple[float, float]:
    """Exact match and F1 with precision and recall written out, step by step as they are defined."""

    def plain(text: str) -> str:
        text = "".join(letter for letter in text.lower() if letter not in set(string.punctuation))
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())

    golds = [answer for answer in answers if plain(answer)] or [""]
    best = 0.0
    for gold in golds:
        ours, theirs = plain(prediction).split(), plain(gold).split()
        same = sum((Counter(ours) & Counter(theirs)).values())
        if not ours or not theirs:
            best = max(best, float(ours == theirs))
        elif same:
            precision, recall = same / len(ours), same / len(theirs)
            best = max(best, 2 * precision * recall / (precision + recall))
    return max(float(plain(prediction) == plain(gold)) for gold in golds), best


WORDS = ["the", "a", "an", "An", "cat", "Cat", "dog.", "dog", "'", "-", "“x”", "naïve"]
PHRASES = st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join)


@given(prediction=PHRASES, answers=st.lists(PHRASES, max_size=3))
def test_exact_match_and_f1_by_definition(prediction: str, answers: list[str]) -> None:
    exact, overlap = by_definition(prediction, answers)
    assert exact_match(prediction, answers) == exact
    assert f1(prediction, answers) == pytest.approx(overlap)
    assert normalise(normalise(prediction)) == normalise(prediction)


def test_a_corpus_is_scored_in_per_cent() -> None:
    found = score(["Denver", "", "cat", ""], [["Denver Broncos"], [], ["the cat"], ["dog"]])
    assert found.exact == 50
    assert found.f1 == pytest.approx(100 * (2 / 3 + 1 + 1 + 0) / 4)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([-3.0, -0.5, 0.0, 0.25, 2.0, -np.inf]),
            st.sampled_from([0.0, 0.4, 1.0]),
            st.booleans(),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_the_threshold_is_the_best_there_is(rows: list[tuple[float, float, bool]]) -> None:
    margins, given_, empty = (list(column) for column in zip(*rows, strict=True))
    withheld = [float(each) for each in empty]

    def total(threshold: float) -> float:
        return sum(
            of_given if margin > threshold else of_none
            for margin, of_given, of_none in zip(margins, given_, withheld, strict=True)
        )

    found = best_threshold(margins, given=given_, withheld=withheld)
    assert np.isfinite(found)
    best = max(total(each) for each in (-9.0, -2.0, -0.2, 0.1, 1.0, 9.0))
    assert total(found) == pytest.approx(
        best
    )  # sums of the same numbers in other orders differ in the last bit


# ------------------------------------------------------------------------------------------------- labels, loss, batches


def test_windows_are_labelled_with_the_answers_place(tmp_path: Path) -> None:
    """With windows of a few tokens: those that hold the answer have its first and last token, the others the first."""
    path = write(tmp_path / "train.json", shoes(30, seed=1, impossible=0.5))
    task = task_of(run_of(path, length=17, stride=4), tmp_path)
    tokenizer = task.problem.make_tokenizer()
    asked = {question.place: question for question in task.problem.train}
    answerless = 0
    held: set[str] = set()
    for row in task.rows:
        question, (first, last) = asked[row.place], row.labels
        ids = row.window.ids[row.window.at : row.window.at + row.window.size].tolist()
        words = question.answers[0].split() if question.answers else []
        inside = bool(words) and tokenizer.encode(words)[0][0] in ids
        if (first, last) == (0, 0):
            answerless += 1
        else:
            (found,) = tokenizer.decode([row.window.ids[first : last + 1]])
            assert found in question.answers
            assert row.window.open[first]
            held.add(row.place)
        if question.impossible or not inside:
            assert (first, last) == (0, 0)
    assert held == {place for place, question in asked.items() if not question.impossible}
    assert answerless > len(asked) - len(held)  # windows of answerable questions too
    assert task.lengths.max() == 17


def test_the_first_answer_that_a_window_holds_whole(tmp_path: Path) -> None:
    context = " ".join(f"w{number}" for number in range(30))
    answers = [{"text": text, "answer_start": context.index(text)} for text in ("w9 w10 w11", "w9")]
    document = {
        "data": [
            {"paragraphs": [{"context": context, "qas": [{"question": "w1 w2 w3 w4", "answers": answers}]}]}
        ]
    }
    other = {"context": "w3", "qas": [{"question": "w1", "answers": [{"text": "w3", "answer_start": 0}]}]}
    train = write(tmp_path / "train.json", document)
    valid = write(tmp_path / "valid.json", {"data": [{"paragraphs": [other]}]})
    task = task_of(run_of(train, valid=valid, length=17, stride=4), tmp_path)
    assert [(row.window.start, row.window.size) for row in task.rows] == [
        (0, 10),
        (6, 10),
        (12, 10),
        (18, 10),
        (24, 6),
    ]
    places = [
        [label - row.window.at + row.window.start for label in row.labels] if row.labels != (0, 0) else None
        for row in task.rows
    ]
    assert places == [[9, 9], [9, 11], None, None, None]


def test_what_cannot_be_learned_is_left_out_and_told(tmp_path: Path) -> None:
    document = shoes(6, seed=1)
    records = document["data"][0]["paragraphs"][0]["qas"]
    records[0]["answers"][0]["answer_start"] += 1
    records[1]["question"] = "Which shoes has " * 20 + "?"
    records[2]["answers"] = [
        {"text": document["data"][0]["paragraphs"][0]["context"].strip(), "answer_start": 0}
    ]
    train, valid = write(tmp_path / "a.json", document), write(tmp_path / "b.json", shoes(2, seed=2))
    task = task_of(run_of(train, valid=valid, length=17, stride=4), tmp_path)
    place = f'{train}: article 1 "Shoes", paragraph 1, question'
    assert task.left_out == [
        f'training questions: 1 left out as answers that do not stand at their answer_start: {place} "0-0"',
        "training questions: 1 left out as too long for windows of 17 tokens that overlap by 4: "
        f'{place} "0-1"',
        "training questions: 2 left out as without an answer that a window holds whole: "
        f'{place} "0-0", {place} "0-2"',
    ]
    assert task.facts["questions"] == 15
    assert task.place(0) == f'{train}: article 1 "Shoes", paragraph 2, question "1-0"'
    with pytest.raises(
        UserError, match=r"a\.json: not a single question to learn from; .*: 18 left out as too long"
    ):
        task_of(run_of(train, valid=valid, length=17, stride=16), tmp_path)


def test_the_loss_is_that_of_each_window_by_itself(tmp_path: Path) -> None:
    task = task_of(run_of(write(tmp_path / "train.json", shoes(8, seed=3)), length=17, stride=4), tmp_path)
    model = model_of(task)
    rows = list(range(12))
    batch = task.collate(rows)
    assert len(set(task.lengths[rows, 0].tolist())) > 1  # some are padded
    with torch.no_grad():
        loss = task.loss(model, batch)["answer"]
        scores = point(model, batch)
    assert task.count(batch) == {"answer": 24}
    assert loss.count == 24
    wanted = smooth = 0.0
    for place, row in enumerate(rows):
        window, labels = task.rows[row].window, task.rows[row].labels
        with torch.no_grad():
            alone = point(model, task.collate([row]))[0]
        assert alone.isfinite()[:, 0].tolist() == window.open.tolist()
        assert torch.allclose(scores[place, : len(alone)], alone, atol=1e-5)
        assert scores[place, len(alone) :].isinf().all()
        for side in (0, 1):
            logs = alone[torch.from_numpy(window.open), side].log_softmax(0)
            wanted -= float(alone[:, side].log_softmax(0)[labels[side]])
            smooth -= float(logs.mean())
    assert float(loss.total) == pytest.approx(wanted, rel=1e-5)
    task.smoothing = 0.25
    with torch.no_grad():
        assert float(task.loss(model, batch)["answer"].total) == pytest.approx(
            0.75 * wanted + 0.25 * smooth, rel=1e-5
        )


def test_gradients_are_finite(tmp_path: Path) -> None:
    task = task_of(run_of(write(tmp_path / "train.json", shoes(8, seed=3))), tmp_path)
    task.smoothing = 0.1
    model = model_of(task).train()
    task.loss(model, task.collate([0, 5, 9]))["answer"].total.backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert gradients
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
    assert float(model.heads["answer"].output.weight.grad.abs().sum()) > 0


# ------------------------------------------------------------------------------------------------------------- held out


def test_no_context_is_both_learned_from_and_held_out(tmp_path: Path) -> None:
    run = run_of(write(tmp_path / "train.json", shoes(30, seed=4)))
    problem = AnswerProblem(run)
    learned, held = ({question.context for question in part} for part in (problem.train, problem.valid))
    assert not learned & held
    assert (len(learned), len(held)) == (27, 3)
    assert [question.place for question in AnswerProblem(run).valid] == [q.place for q in problem.valid]
    task = task_of(run, tmp_path)
    assert task.facts["held out"] == "9 questions, with the 3 contexts drawn for it from the training text"
    assert task.held_out == task.scored == 9
    other = write(tmp_path / "valid.json", shoes(2, seed=5))
    assert task_of(run_of(Path(run.data.train[0]), valid=other), tmp_path).facts["held out"] == "6 questions"
    one = write(tmp_path / "one.json", shoes(1, seed=4))
    with pytest.raises(UserError, match="all questions are on one context, so that none can be held out"):
        AnswerProblem(run_of(one))


def test_many_held_out_questions_are_measured_by_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weft.tasks.answer.HELD_OUT", 5)
    train, valid = write(tmp_path / "a.json", shoes(2, seed=4)), write(tmp_path / "b.json", shoes(7, seed=5))
    task = task_of(run_of(train, valid=valid), tmp_path)
    assert task.held_out == 5
    assert task.facts["held out"] == "5 of 21 questions"
    ids = [asked.question.place.rpartition(" ")[2] for asked in task.valid]
    assert ids == ['"0-0"', '"1-2"', '"3-1"', '"5-0"', '"6-2"']


def test_validation_is_what_the_scores_say(tmp_path: Path) -> None:
    path = write(tmp_path / "train.json", shoes(40, seed=6, impossible=0.7))
    task = task_of(run_of(path, length=17, stride=4), tmp_path)
    model = model_of(task)
    found = task.validate(model, scored=0)
    assert found is not None
    assert found.goal == "f1"
    total = count = 0.0
    margins, texts = [], []
    for asked in task.valid:
        scores = []
        for window in asked.passage.windows:
            ids, segments = (torch.from_numpy(part.astype(np.int64))[None] for part in window[:2])
            with torch.no_grad():
                logits = model.heads["answer"](model(ids, segments=segments.clamp(max=0)))[0].numpy()
            logits[~window.open] = -np.inf
            scores.append(logits)
        value, begin, end = by_brute_force(asked.passage, scores, longest=30)[0]
        margins.append(value - min(float(logits[0].sum()) for logits in scores))
        texts.append(asked.question.context[begin:end])
    for row in task.held_rows:
        batch = task.collate([0]) | {
            "ids": torch.from_numpy(row.window.ids.astype(np.int64))[None],
            "segments": torch.from_numpy(row.window.segments.astype(np.int64))[None],
            "open": torch.from_numpy(row.window.open)[None],
            "labels": torch.tensor([row.labels]),
        }
        with torch.no_grad():
            loss = task.loss(model, batch)["answer"]
        total, count = total + float(loss.total), count + loss.count
    assert found.loss == pytest.approx(total / count, rel=1e-4)
    answers = [asked.question.answers for asked in task.valid]
    by_threshold = {
        threshold: score(
            [text if margin > threshold else "" for text, margin in zip(texts, margins, strict=True)], answers
        ).f1
        for threshold in [*np.nextafter(margins, -9), *np.nextafter(margins, 99)]
    }
    assert found.scores["f1"] == pytest.approx(max(by_threshold.values()))
    settled = json.loads(task.settle(model)[CONFIG])
    best = score(
        [text if margin > settled["threshold"] else "" for text, margin in zip(texts, margins, strict=True)],
        answers,
    )
    assert best._asdict() == pytest.approx(found.scores)


def test_the_threshold_where_there_is_nothing_to_choose_it_by(tmp_path: Path) -> None:
    plain, some = (
        write(tmp_path / "a.json", shoes(4, seed=7)),
        write(tmp_path / "b.json", shoes(9, seed=7, impossible=1)),
    )
    always = task_of(run_of(plain, valid=plain), tmp_path)
    assert json.loads(always.settle(model_of(always))[CONFIG])["threshold"] is None
    unmeasured = task_of(run_of(some, valid=plain), tmp_path)
    assert json.loads(unmeasured.settle(model_of(unmeasured))[CONFIG])["threshold"] == 0.0


# ------------------------------------------------------------------------------------------------------------- the run


def test_what_cannot_be_begun(tmp_path: Path) -> None:
    path = write(tmp_path / "train.json", shoes(4, seed=1))
    with pytest.raises(UserError, match="answer.length 96 is more than the 64 tokens that the model takes"):
        task_of(run_of(path, length=96), tmp_path)
    run = run_of(path)
    with_columns = run.model_copy(update={"data": run.data.model_copy(update={"columns": ("a",)})})
    with pytest.raises(UserError, match="--columns names the columns of a table"):
        AnswerProblem(with_columns)


def test_a_run_goes_on_with_the_text_it_began_with(tmp_path: Path) -> None:
    path = write(tmp_path / "train.json", shoes(8, seed=1))
    tokenizer = AnswerProblem(run_of(path)).make_tokenizer()

    def begin(run: AnswerRun, *, begun: bool) -> Answer:
        return AnswerProblem(run).make_task(
            tmp_path / "d", tokenizer=tokenizer, begun=begun, tell=lambda _: None
        )

    begin(run_of(path), begun=False)
    assert begin(run_of(path), begun=True).facts["questions"] == 21
    begin(run_of(path.rename(tmp_path / "moved.json")), begun=True)
    write(path, shoes(8, seed=2))
    with pytest.raises(UserError, match=r"train\.json: not the text that this run began with"):
        begin(run_of(path), begun=True)


def test_a_small_model_learns_who_has_which_shoes(tmp_path: Path) -> None:
    train = write(tmp_path / "train.json", shoes(150, seed=8, impossible=0.5))
    test = write(tmp_path / "test.json", shoes(30, seed=9, impossible=0.5))
    result = weft.train("answer", train=train, out=tmp_path / "run", steps=160, seed=1, overrides=SMALL)
    assert result.scores["f1"] > 75
    answerer = weft.load(tmp_path / "run")
    assert answerer.config.threshold is not None
    found = answerer.evaluate(test)
    assert found.f1 > 75
    assert found.questions == 90 + found.impossible
    assert 0 < found.answered < found.questions
    assert read_manifest(tmp_path / "run").kind == "answer"
    context = "Tom has red shoes. Rex has blue shoes. Ann has black shoes."
    answer = answerer.answer("Which shoes has Rex?", context)
    assert context[answer.start : answer.end] == answer.text


def test_questions_of_the_real_data_find_their_answers_again(weft_data: Path) -> None:
    """Windows of the public data: the labelled tokens stand for the answer's characters and at most a word more."""
    path = weft_data / "qed" / "dev.json.gz"
    problem = AnswerProblem(run_of(path, valid=path, length=64, stride=24))
    problem.train = problem.train[::10]
    problem.valid = problem.valid[:1]
    tokenizer = problem.make_tokenizer()
    task = Answer(problem, tokenizer=tokenizer)
    asked: dict[str, Question] = {question.place: question for question in problem.train}
    labelled = [row for row in task.rows if row.labels != (0, 0)]
    assert {row.place for row in task.rows} == {row.place for row in labelled}
    assert len({row.place for row in labelled}) > 100
    for row in labelled:
        question = asked[row.place]
        passage = read_passage(
            tokenizer.layout, *tokenizer.spans([question.question, question.context]), length=64, stride=24
        )
        first, last = (label - row.window.at + row.window.start for label in row.labels)
        begin, end = int(passage.offsets[first, 0]), int(passage.offsets[last, 1])
        assert any(begin <= a and b <= end and end - begin < b - a + 12 for a, b in question.spans)
