"""SQuAD's JSON: what is read, what is left out and told, and what is refused with its place."""

import gzip
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.data.sources import Report
from weft.data.squad import Question, read_squad
from weft.errors import UserError

CONTEXT = "The dog, named Rex, sleeps in a red house."


def asked(question: str = "Who sleeps?", *answers: tuple[str, int], **more: Any) -> dict[str, Any]:
    return {
        "id": "q1",
        "question": question,
        "answers": [{"text": text, "answer_start": start} for text, start in answers],
        **more,
    }


def document(*questions: Any, context: Any = CONTEXT, title: Any = "Rex") -> dict[str, Any]:
    paragraph = {"context": context, "qas": list(questions)}
    return {"version": "1.1", "data": [{"title": title, "paragraphs": [paragraph]}]}


def read(path: Path, contents: Any) -> tuple[list[Question], list[str]]:
    """The questions of a file with these contents, and what is said of those left out."""
    path.write_text(contents if isinstance(contents, str) else json.dumps(contents), encoding="utf-8")
    report = Report()
    return read_squad([str(path)], report=report), report.lines()[1:]


def test_a_question_with_its_answers_and_its_place(tmp_path: Path) -> None:
    path = tmp_path / "dev.json"
    found, left_out = read(path, document(asked("Who?", ("Rex", 15), ("dog", 4), ("Rex", 15))))
    place = f'{path}: article 1 "Rex", paragraph 1, question "q1"'
    assert found == [Question("Who?", CONTEXT, ("Rex", "dog", "Rex"), ((15, 18), (4, 7), (15, 18)), place)]
    assert not found[0].impossible
    assert left_out == []


def test_what_has_no_name_goes_by_its_number(tmp_path: Path) -> None:
    nameless = {"question": "Who?", "answers": [{"text": "Rex", "answer_start": 15}]}
    (found,), _ = read(tmp_path / "a.json", document(nameless, title=None))
    assert found.place.endswith("a.json: article 1, paragraph 1, question 1")
    (found,), _ = read(tmp_path / "a.json", document({**nameless, "id": 77}, title="T" * 50))
    assert found.place.endswith(f'article 1 "{"T" * 40}…", paragraph 1, question "77"')


def test_spans_leave_out_the_white_space_around_an_answer(tmp_path: Path) -> None:
    (found,), _ = read(tmp_path / "a.json", document(asked("Who?", (" named Rex", 8))))
    assert found.answers == (" named Rex",)
    assert [CONTEXT[begin:end] for begin, end in found.spans] == ["named Rex"]


def test_questions_without_an_answer(tmp_path: Path) -> None:
    plausible = {"is_impossible": True, "plausible_answers": [{"text": "Rex", "answer_start": 15}]}
    without = {"id": "q2", "question": "Who wakes?", "is_impossible": True}
    found, left_out = read(
        tmp_path / "a.json",
        document(asked("Who flies?", **plausible), without, asked("Who?", ("Rex", 15), is_impossible=False)),
    )
    assert [question.impossible for question in found] == [True, True, False]
    assert [question.spans for question in found[:2]] == [(), ()]
    assert left_out == []


@pytest.mark.parametrize("gzipped", [False, True])
def test_files_packed_or_not_patterns_and_several_specs(
    tmp_path: Path, gzipped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        contents = json.dumps(document(asked(f"{name}? ä", ("Rex", 15))), ensure_ascii=False).encode()
        path = tmp_path / f"{name}.json{'.gz' if gzipped else ''}"
        path.write_bytes(gzip.compress(contents) if gzipped else b"\xef\xbb\xbf" + contents)
    report = Report()
    found = read_squad([f"{tmp_path}/*.json*"], report=report)
    assert [question.question for question in found] == ["a? ä", "b? ä"]
    assert report.kept == 2
    monkeypatch.setenv("HOME", str(tmp_path))
    name = "~/a.json.gz" if gzipped else "~/a.json"
    assert len(read_squad([name, name], report=report)) == 2
    assert report.kept == 4


def test_what_cannot_be_used_is_counted_and_listed(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    good = asked("Who?", ("Rex", 15))
    questions = [
        {**good, "id": "good"},
        asked("Wrong?", ("Rex", 14), id="wrong"),
        asked("Partly?", ("Rex", 3), ("dog", 4), ("Rex", -27), id="partly"),
        asked("  ", ("Rex", 15), id="blank"),
        {"id": "none", "answers": good["answers"]},
        asked("No answer?", id="bare"),
        asked("Empty?", (" ", 3), id="empty"),
        asked("Both?", ("Rex", 15), id="both", is_impossible=True),
    ]
    found, left_out = read(path, document(*questions))
    assert [(question.question, question.answers, question.spans) for question in found] == [
        ("Who?", ("Rex",), ((15, 18),)),
        ("Wrong?", ("Rex",), ()),
        ("Partly?", ("Rex", "dog", "Rex"), ((4, 7),)),
    ]

    def at(name: str) -> str:
        return f'{path}: article 1 "Rex", paragraph 1, question "{name}"'

    assert left_out == [
        "3 left out as answers that do not stand at their answer_start: "
        f"{at('wrong')}, {at('partly')}, {at('partly')}",
        f"2 left out as without a question: {at('blank')}, {at('none')}",
        f"2 left out as without an answer, and not marked is_impossible: {at('bare')}, {at('empty')}",
        f"1 left out as marked is_impossible and yet with an answer: {at('both')}",
    ]


@pytest.mark.parametrize("context", ["", " \n", None])
def test_a_question_without_context(tmp_path: Path, context: str | None) -> None:
    contents = document(asked("Who?", ("Rex", 15)), context=context)
    contents["data"] += document(asked("Who?", ("Rex", 15)))["data"]
    found, left_out = read(tmp_path / "a.json", contents)
    assert len(found) == 1
    assert left_out == [
        f'1 left out as without a context: {tmp_path}/a.json: article 1 "Rex", paragraph 1, question "q1"'
    ]
    with pytest.raises(
        UserError, match=r"not a single question; 1 left out as without a context: .*a\.json: "
    ):
        read(tmp_path / "a.json", document(asked("Who?", ("Rex", 15)), context=context))


QUESTION = r'article 1 "Rex", paragraph 1, question "q1"'


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("", r"a\.json is empty"),
        ("hello", r"a\.json:1: not JSON: Expecting value"),
        ('{"data":\n[', r"a\.json:2: not JSON"),
        ('{"question": "a"}\n{"question": "b"}\n', r"a\.json:2: not JSON: Extra data.*one JSON object"),
        ("[" * 100_000, r"a\.json: not JSON that can be read"),
        ("9" * 5000, r"a\.json: not JSON that can be read"),
        ([], r'a\.json: a list stands where an object with "data" should be'),
        (3, r'a\.json: 3 stands where an object with "data" should be'),
        ({"date": []}, r'a\.json: no list "data" in it \(there: "date"\)'),
        ({"data": {}}, r'a\.json: no list "data" in it \(there: "data"\)'),
        ({"data": []}, r"a\.json: not a single question"),
        ({"data": [{"title": "Rex"}]}, r'article 1 "Rex": no list "paragraphs" in it \(there: "title"\)'),
        ({"data": [{}]}, r'article 1: no list "paragraphs" in it \(there: nothing\)'),
        ({"data": [None]}, r"article 1: null stands where"),
        ({"data": [{"paragraphs": [{"context": "a"}]}]}, r'article 1, paragraph 1: no list "qas" in it'),
        (document("who?"), r'article 1 "Rex", paragraph 1, question 1: "who\?" stands where an object'),
        (document(context=3), r'article 1 "Rex", paragraph 1: "context" is 3, where it is a text'),
        (document(asked(3)), QUESTION + r': "question" is 3'),  # type: ignore[arg-type]
        (document({"id": "q1", "question": "Who?"}), QUESTION + r': no list "answers" in it'),
        (
            document(asked(answers=["Rex"])),
            QUESTION + r', an answer: "Rex" stands where an object with "text"',
        ),
        (document(asked(answers=[{"text": "Rex"}])), QUESTION + r': .* "answer_start", but null'),
        (document(asked("Who?", ("Rex", "15"))), QUESTION + r': .* "answer_start", but "15"'),  # type: ignore[arg-type]
        (document(asked("Who?", ("Rex", True))), QUESTION + r': .* "answer_start", but true'),
        (document(asked("Who?", ([], 15))), QUESTION + r', an answer: "text" is a list'),  # type: ignore[arg-type]
        (document(asked(is_impossible="no")), QUESTION + r': "is_impossible" is "no", where it is true or'),
        (document(asked("\ud800?", ("Rex", 15))), QUESTION + r': "question" holds half of a surrogate pair'),
    ],
)
def test_what_is_refused(tmp_path: Path, contents: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path / "a.json", contents)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "latin.json").write_bytes(b'{"data":\n"\xe4"}')
    (tmp_path / "cut.json.gz").write_bytes(gzip.compress(b'{"data": []}')[:-9])
    for spec, message in (
        ("latin.json", r"latin\.json:2: byte 0xe4 at position 2 of the line is not UTF-8"),
        ("cut.json.gz", r"cut\.json\.gz: unreadable"),
        ("latin.jsn", r'latin\.jsn: No such file or directory \(did you mean "latin.json"'),
        ("*.jsonl", r"\*\.jsonl: no file fits this pattern"),
        ("", "is a folder"),
    ):
        with pytest.raises(UserError, match=message):
            read_squad([f"{tmp_path}/{spec}"], report=Report())


KEYS = st.sampled_from(
    [
        "data",
        "paragraphs",
        "qas",
        "context",
        "question",
        "answers",
        "text",
        "answer_start",
        "id",
        "is_impossible",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
ANSWERS = st.lists(
    st.fixed_dictionaries({"text": st.text("ab ", max_size=2), "answer_start": VALUES}), max_size=2
)
RECORDS = st.fixed_dictionaries(
    {"question": st.text(max_size=3) | VALUES, "answers": ANSWERS | VALUES}, optional={"id": VALUES}
)
PARAGRAPHS = st.fixed_dictionaries({"context": st.text("ab ") | VALUES, "qas": st.lists(RECORDS, max_size=3)})
DOCUMENTS = st.fixed_dictionaries(
    {"data": st.lists(st.fixed_dictionaries({"paragraphs": st.lists(PARAGRAPHS)}))}
)


@given(contents=VALUES.map(json.dumps) | DOCUMENTS.map(json.dumps) | st.text())
def test_garbage_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, contents: str) -> None:
    path = tmp_path_factory.getbasetemp() / "garbage.json"
    path.write_text(contents, encoding="utf-8", errors="surrogatepass")
    found: list[Question] = []
    with suppress(UserError):
        found = read_squad([str(path)], report=Report())
    for question in found:
        assert question.question.strip() and question.context.strip()
        assert {question.context[begin:end] for begin, end in question.spans} <= {
            answer.strip() for answer in question.answers
        }


@pytest.mark.parametrize(
    ("name", "paragraphs", "questions"),
    [
        ("squad/dev_first24", 1_048, 5_696),
        ("squad/train_head", 678, 4_370),
        ("qed/train", None, 7_044),
        ("qed/dev", None, 1_122),
        ("qamr/dev", 499, 18_444),
        ("qamr/test", 480, 18_304),
    ],
)
def test_the_real_data(weft_data: Path, name: str, paragraphs: int | None, questions: int) -> None:
    report = Report()
    found = read_squad([str(weft_data / f"{name}.json.gz")], report=report)
    assert report.lines() == [f"{questions:,} examples kept"]
    assert len(found) == questions
    if paragraphs is not None:
        assert len({question.place.rpartition(", question")[0] for question in found}) == paragraphs
    for question in found:
        assert [question.context[begin:end] for begin, end in question.spans] == [
            answer.strip() for answer in question.answers
        ]
