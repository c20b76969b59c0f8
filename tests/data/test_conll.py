"""CoNLL's columns and JSON Lines with spans: what is read, and what is refused."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from weft.data.conll import Columns, Mark, open_files, read_columns, read_marked
from weft.data.files import File
from weft.errors import UserError


def columns(folder: Path, text: str) -> list[Columns]:
    path = folder / "a.conll"
    path.write_text(text, encoding="utf-8")
    return [each._replace(path="") for each in read_columns(File(str(path)))]


def test_words_tags_and_lines(tmp_path: Path) -> None:
    found = columns(tmp_path, "\n\nIn O\nRome B-LOC\n\n\nShe O\n")
    assert found == [
        Columns(("In", "Rome"), ("O", "B-LOC"), "", 3),
        Columns(("She",), ("O",), "", 7),
    ]


def test_the_last_column_is_the_tag(tmp_path: Path) -> None:
    (found,) = columns(tmp_path, "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n")
    assert (found.words, found.tags) == (("EU", "rejects"), ("B-ORG", "O"))


@pytest.mark.parametrize("blank", ["", " ", "\t", "\t\t ", "\r"])
def test_whatever_is_blank_parts_sentences(blank: str, tmp_path: Path) -> None:
    found = columns(tmp_path, f"a\tO\n{blank}\nb\tO\n{blank}")
    assert [(each.words, each.line) for each in found] == [(("a",), 1), (("b",), 3)]


def test_marks_of_documents_part_sentences(tmp_path: Path) -> None:
    found = columns(tmp_path, "-DOCSTART- -X- O O\n\na O\n-DOCSTART-\nb O\n-DOCSTART- O\n")
    assert [(each.words, each.line) for each in found] == [(("a",), 3), (("b",), 5)]


def test_a_tab_leaves_spaces_to_the_words(tmp_path: Path) -> None:
    (found,) = columns(tmp_path, "New York\tB-LOC\nis\tO\t\n")
    assert (found.words, found.tags) == (("New York", "is"), ("B-LOC", "O"))


def test_line_ends_of_every_kind_within_a_word_stay(tmp_path: Path) -> None:
    (found,) = columns(tmp_path, "a\u2028b\tO\r\nc\x0bd\tO\r\n")
    assert found.words == ("a\u2028b", "c\x0bd")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a O\nRome\n", r'a\.conll:2: one column alone, "Rome": a word and its tag are needed'),
        ("a O\n\n\tO\n", r'a\.conll:3: one column alone, "O"'),
        ("\tNN\tO\n", r"a\.conll:1: no word before the tag"),
    ],
)
def test_wrong_columns(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        columns(tmp_path, text)


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_bytes(b"a O\nM\xfcnchen B-LOC\n")
    with pytest.raises(UserError, match=r"a\.conll:2: byte 0xfc at position 2"):
        list(read_columns(File(str(tmp_path / "a.conll"))))


def test_files_by_pattern_packed_and_of_both_kinds(tmp_path: Path) -> None:
    (tmp_path / "a.conll.gz").write_bytes(gzip.compress(b"Rome\tB-LOC\n"))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"text": "Rome", "entities": []}\n'))
    files = open_files([f"{tmp_path}/*.gz", str(tmp_path / "a.conll.gz")])
    assert [is_json for _, is_json in files] == [False, True, False]
    (found,) = read_columns(files[0][0])
    assert found.words == ("Rome",)
    (marked,) = read_marked(files[1][0])
    assert marked.text == "Rome"
    with pytest.raises(UserError, match=r"\*\.iob: no file fits this pattern"):
        open_files([f"{tmp_path}/*.iob"])
    with pytest.raises(UserError, match=r'No such file.*did you mean "a\.conll\.gz"'):
        open_files([f"{tmp_path}/a.connl.gz"])


def marked(folder: Path, *records: Any) -> list[tuple[Mark, ...]]:
    path = folder / "a.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    return [each.entities for each in read_marked(File(str(path)))]


def test_entities_as_objects_and_as_triples_in_order(tmp_path: Path) -> None:
    entities = [[8, 12, "LOC"], {"start": 0, "end": 4, "label": "LOC", "score": 0.5}]
    found = marked(tmp_path, {"text": "Rome or Oslo", "entities": entities}, {"text": "", "entities": []})
    assert found == [(Mark(0, 4, "LOC"), Mark(8, 12, "LOC")), ()]


def test_empty_lines_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('\n{"text": "a", "entities": []}\n \n{"text": "b", "entities": []}\n')
    assert [(each.text, each.line) for each in read_marked(File(str(tmp_path / "a.jsonl")))] == [
        ("a", 2),
        ("b", 4),
    ]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], 'not an object with "text" and "entities"'),
        ({"entities": []}, 'no text in field "text"'),
        ({"text": 5, "entities": []}, 'no text in field "text"'),
        ({"text": "Rome"}, r'no list of "entities": write \[\] for'),
        ({"text": "Rome", "entities": {}}, 'no list of "entities"'),
        ({"text": "Rome", "entities": [[0, 4]]}, r"\[0, 4\] is no entity: write"),
        ({"text": "Rome", "entities": [["0", 4, "LOC"]]}, "is no entity"),
        ({"text": "Rome", "entities": [[False, 4, "LOC"]]}, "is no entity"),
        ({"text": "Rome", "entities": [{"start": 0, "end": 4}]}, "is no entity"),
        ({"text": "Rome", "entities": [{"start": 0, "end": 4.0, "label": "LOC"}]}, "is no entity"),
        ({"text": "Rome", "entities": ["LOC"]}, "is no entity"),
        ({"text": "Rome", "entities": [[0, 4, " "]]}, r"0 to 4 \(' '\) has a label that is no word"),
        ({"text": "Rome", "entities": [[0, 4, "A\tB"]]}, "has a label that is no word"),
        ({"text": "Rome", "entities": [[2, 2, "LOC"]]}, r"2 to 2 \('LOC'\) ends before it has begun"),
        ({"text": "Rome", "entities": [[3, 1, "LOC"]]}, "ends before it has begun"),
        ({"text": "Rome", "entities": [[0, 5, "LOC"]]}, "is not in the text, whose 4 characters"),
        ({"text": "Rome", "entities": [[-2, 2, "LOC"]]}, "is not in the text"),
        (
            {"text": "Rome Oslo", "entities": [[2, 6, "B"], [0, 4, "A"]]},
            r"0 to 4 \('A'\) and 2 to 6 \('B'\) overlap: keep one",
        ),
        ({"text": "a\ud800", "entities": []}, "half of a surrogate pair at character 1"),
    ],
)
def test_wrong_records(record: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"a\.jsonl:2: .*{message}"):
        marked(tmp_path, {"text": "", "entities": []}, record)


@pytest.mark.parametrize("line", ["{", "[" * 100_000, "Rome\tB-LOC"])
def test_what_is_no_json(line: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(line)
    with pytest.raises(UserError, match=r"a\.jsonl:1: not JSON"):
        list(read_marked(File(str(tmp_path / "a.jsonl"))))
