"""The simple readers on made-up data, and a comparison from end to end whose run says nothing about quality."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("sklearn")
pytest.importorskip("seqeval")

from benchmarks import reading_quality, simple_readers
from benchmarks.reading_quality import SMS, TREC, compare

KINDS = {"NUM": "how many {} are there", "LOC": "where is the {}"}
WORDS = [
    "cats",
    "dogs",
    "houses",
    "rivers",
    "trees",
    "books",
    "lamps",
    "roads",
    "ships",
    "stars",
    "birds",
    "stones",
]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    lines = [f"{kind}:x {text.format(word)}" for word in WORDS for kind, text in KINDS.items()]
    (tmp_path / "trec").mkdir()
    for name in ("train.txt", "test.txt"):
        (tmp_path / "trec" / name).write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_the_linear_classifier_learns_what_pairs_of_words_tell(questions: Path) -> None:
    train, test = [str(questions / "trec/train.txt")], str(questions / "trec/test.txt")
    found = simple_readers.classify(train, test, options={"label_until": ":"})
    assert found["figures"]["accuracy"] == 1.0
    assert found["per_label"]["NUM"]["f1"] == 1.0


def test_the_linear_tagger_learns_capitals(tmp_path: Path) -> None:
    sentences = [
        f"Anna\tB-PER\nsaw\tO\nthe\tO\n{word}\tO\nof\tO\nBern\tB-LOC\nWest\tI-LOC\n" for word in WORDS
    ]
    file = tmp_path / "tags.conll"
    file.write_text("\n".join(sentences), encoding="utf-8")
    assert simple_readers.tag([str(file)], str(file), options={})["f1"] == 1.0


def test_the_likeliest_sentence_has_the_words_of_the_question(tmp_path: Path) -> None:
    context = "The lamp is green. Anna lives in Bern. Nobody knows why."
    answer = {"text": "Bern", "answer_start": context.index("Bern")}
    question = {"id": "1", "question": "Where does Anna live?", "answers": [answer]}
    file = tmp_path / "questions.json"
    file.write_text(json.dumps({"data": [{"paragraphs": [{"context": context, "qas": [question]}]}]}))
    found = simple_readers.answer([], str(file), options={})
    assert found["exact"] == 0.0
    assert found["f1"] == pytest.approx(100 * 2 / (1 + 4))  # one word in common: of one, and of four


def test_each_line_is_tested_on_once(tmp_path: Path) -> None:
    lines = [f"{'spam' if number % 4 == 0 else 'ham'}\ttext {number}" for number in range(40)]
    (tmp_path / "sms_spam").mkdir()
    (tmp_path / SMS.train[0]).write_text("\n".join([*lines, *lines[:7]]), encoding="utf-8")
    splits = reading_quality._folds(SMS, tmp_path, tmp_path / "work")
    tested = [Path(test).read_text(encoding="utf-8").splitlines() for _, test in splits]
    assert sorted(line for fold in tested for line in fold) == sorted(lines)
    for (train, _), test in zip(splits, tested, strict=True):
        assert not set(test) & set(Path(train[0]).read_text(encoding="utf-8").splitlines())
        assert sum(line.startswith("spam") for line in test) == 2


def test_a_comparison_trains_and_measures_both_sides(
    monkeypatch: pytest.MonkeyPatch, questions: Path
) -> None:
    monkeypatch.setattr(reading_quality, "SEEDS", 1)
    case = replace(TREC, minutes=0.1)
    row = compare(case, questions, work=questions / "work", encoder=None)
    assert row.peer_value == 100.0
    assert 0.0 <= row.weft <= 100.0
    assert "TREC, coarse, from scratch" in row.what
