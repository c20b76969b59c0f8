import gzip
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from weft.data.formats import FORMATS
from weft.data.sources import Example, Report, Sources, absolute, complete, open_sources
from weft.errors import UserError

PAIRS = [("Ein Hund.", "A dog."), ('Zwei\u2028Hunde, "groß".', "Two\x85dogs,\r 'big'."), ("é", "e")]
RECORDS = [{"de": source, "en": target} for source, target in PAIRS]


def read(sources: Sources) -> list[dict[str, str]]:
    return [example.fields for example in sources]


def write(path: Path, text: str, *, packed: bool = False) -> str:
    raw = text.encode(errors="surrogateescape")
    path.write_bytes(gzip.compress(raw) if packed else raw)
    return str(path)


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def write_pairs(folder: Path, kind: str) -> tuple[str, Sequence[str] | None]:
    """The same pairs in each format, as a spec and the columns it needs."""
    if kind == "aligned":
        write(folder / "a.de.txt.gz", "".join(source + "\n" for source, _ in PAIRS), packed=True)
        write(
            folder / "a.en.txt.gz", "\n".join(target for _, target in PAIRS)
        )  # not packed, whatever its name
        return f"{folder}/a.{{de,en}}.txt.gz", None
    if kind == "tsv":
        return write(folder / "a.tsv", "".join(f"{s}\t{t}\n" for s, t in [("de", "en"), *PAIRS])), None
    if kind == "bare tsv":
        return write(folder / "a.tsv", "".join(f"{s}\t-\t{t}\n" for s, t in PAIRS), packed=True), (
            "de",
            "_",
            "en",
        )
    if kind == "csv":
        rows = [f"{quoted(s)},{quoted(t)}\r\n" for s, t in [("de", "en"), *PAIRS]]
        return write(folder / "a.csv", "\ufeff" + "".join(rows)), None
    if kind == "jsonl":
        return write(folder / "a.jsonl", "".join(json.dumps(record) + "\n" for record in RECORDS)), None
    if kind == "nested jsonl":
        lines = [json.dumps({"id": [1], "translation": record}) + "\n" for record in RECORDS]
        return write(folder / "a.jsonl.gz", "".join(lines), packed=True), None
    assert kind == "parquet"
    parquet.write_table(
        pyarrow.Table.from_pylist([{"translation": record} for record in RECORDS]), folder / "a.parquet"
    )
    return f"{folder}/a.parquet", None


@pytest.mark.parametrize("kind", ["aligned", "tsv", "bare tsv", "csv", "jsonl", "nested jsonl", "parquet"])
def test_every_format_gives_the_same_examples(kind: str, tmp_path: Path) -> None:
    spec, columns = write_pairs(tmp_path, kind)
    sources = open_sources([spec], columns=columns, parallel=True)
    assert sources.fields == ("de", "en")
    assert read(sources) == RECORDS
    assert read(sources) == RECORDS  # as often as one likes
    assert [field.fields for field in open_sources([spec], columns=columns, fields=["en"])] == [
        {"en": record["en"]} for record in RECORDS
    ]
    assert {example.path for example in sources} == {spec}


def test_lines_are_numbered_as_in_an_editor(tmp_path: Path) -> None:
    aligned = open_sources([write_pairs(tmp_path, "aligned")[0]])
    assert [example.line for example in aligned] == [1, 2, 3]
    table = open_sources([write_pairs(tmp_path, "tsv")[0]])
    assert [example.line for example in table] == [2, 3, 4]
    cells = open_sources([write(tmp_path / "a.csv", 'text,label\n"over\ntwo lines",1\n\nb,2\n')])
    assert [(example.line, example.fields["text"]) for example in cells] == [
        (2, "over\ntwo lines"),
        (4, ""),
        (5, "b"),
    ]


def test_line_ends_and_byte_order_mark_are_no_text(tmp_path: Path) -> None:
    spec = write(tmp_path / "a.txt", "\ufeffeins\r\nzwei\n\ndrei")
    assert read(open_sources([spec])) == [{"text": text} for text in ("eins", "zwei", "", "drei")]


def test_several_sources_and_wildcards_follow_one_another(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        write(tmp_path / f"{name}.txt", f"{name}\n")
    assert [row["text"] for row in read(open_sources([f"{tmp_path}/[ab].txt", f"{tmp_path}/c.txt"]))] == [
        "a",
        "b",
        "c",
    ]
    mixed = open_sources(
        [write_pairs(tmp_path, "bare tsv")[0], write_pairs(tmp_path, "csv")[0]], columns=["de", "_", "en"]
    )
    assert read(mixed) == RECORDS * 2


def test_four_languages_and_some_of_them(tmp_path: Path) -> None:
    for language in ("en", "de", "fr", "cs"):
        write(tmp_path / f"train.{language}", f"{language}1\n{language}2\n")
    pattern = f"{tmp_path}/train.{{en,de,fr,cs}}"
    assert open_sources([pattern]).fields == ("en", "de", "fr", "cs")
    assert read(open_sources([pattern], fields=["cs", "en"])) == [
        {"cs": f"cs{i}", "en": f"en{i}"} for i in (1, 2)
    ]


def test_columns_may_name_what_a_header_names(tmp_path: Path) -> None:
    spec = write(tmp_path / "a.tsv", "id\ten\tde\n1\tdog\tHund\n")
    assert read(open_sources([spec], columns=["en", "de"], fields=["en"])) == [{"en": "dog"}]


def test_standard_input_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(gzip.compress(b"Hi.\tHallo!\n"))))
    sources = open_sources(["-"], columns=["en", "de"], parallel=True)
    assert list(sources) == [Example({"en": "Hi.", "de": "Hallo!"}, "standard input", 1)] == list(sources)


def test_empty_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    with pytest.raises(UserError, match="standard input is empty"):
        open_sources(["-"])


def test_a_stamp_changes_with_the_file_and_the_fields(tmp_path: Path) -> None:
    spec, _ = write_pairs(tmp_path, "tsv")
    stamp = open_sources([spec]).stamp
    assert open_sources([spec]).stamp == stamp
    assert open_sources([spec], fields=["de"]).stamp != stamp
    os.utime(spec, (1, 1))
    assert open_sources([spec]).stamp != stamp


# What the hub library reads


def test_a_hub_data_set(tmp_path: Path, hub_cache: None) -> None:
    write(tmp_path / "train.jsonl", "".join(json.dumps({"translation": record}) + "\n" for record in RECORDS))
    write(tmp_path / "test.jsonl", json.dumps({"translation": RECORDS[0]}))
    assert read(open_sources([f"hub:{tmp_path}"], parallel=True)) == RECORDS
    assert read(open_sources([f"hub:{tmp_path}:test"], fields=["en"])) == [{"en": "A dog."}]
    with pytest.raises(UserError, match=r'hub:.*:dev: the datasets library cannot load it: .*"dev"'):
        open_sources([f"hub:{tmp_path}:dev"])


def test_a_configuration_of_a_hub_data_set(tmp_path: Path, hub_cache: None) -> None:
    parts = {"de-en": RECORDS[0], "fr-en": {"fr": "Un chien.", "en": "A dog."}}
    for name, record in parts.items():
        (tmp_path / name).mkdir()
        for split in ("train", "test"):
            write(tmp_path / name / f"{split}.jsonl", json.dumps(record) + "\n")
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n"
        + "".join(f"  - split: {split}\n    path: {name}/{split}.jsonl\n" for split in ("train", "test"))
        for name in parts
    )
    write(tmp_path / "README.md", f"---\nconfigs:\n{configs}---\n")
    for spec, record in [
        ("de-en:train", parts["de-en"]),
        ("fr-en:test", parts["fr-en"]),
        ("fr-en:", parts["fr-en"]),
    ]:
        assert read(open_sources([f"hub:{tmp_path}:{spec}"])) == [record]
    for spec, named in [("train", "de-en.*fr-en"), ("es-en:train", "es-en")]:
        with pytest.raises(UserError, match=named):
            open_sources([f"hub:{tmp_path}:{spec}"])
    with pytest.raises(UserError, match="hub:NAME:CONFIG:SPLIT"):
        open_sources([f"hub:{tmp_path}:fr-en:train:more"])


def test_a_hub_data_set_that_is_not_there(tmp_path: Path, hub_cache: None) -> None:
    with pytest.raises(UserError, match="cannot load it"):
        open_sources([f"hub:{tmp_path}/nothing"])
    with pytest.raises(UserError, match="name a data set"):
        open_sources(["hub:"])


@pytest.mark.parametrize(
    ("module", "spec", "way_out"),
    [
        ("datasets", "hub:any", "pip install datasets"),
        ("pyarrow", "a.parquet", "pip install pyarrow"),
    ],
)
def test_a_missing_library(
    module: str, spec: str, way_out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.parquet", "PAR1")
    with pytest.raises(UserError, match=way_out):
        open_sources([spec])


# What is wrong is named with its place


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.tsv", "de\ten\nx\ty\nx\n", r"a\.tsv:3: 1 column where there should be 2 \(de, en\)"),
        ("a.tsv", "de\ten\nx\ty\tz\n", r"a\.tsv:2: 3 columns where"),
        ("a.tsv", "de\tde\n", r'a\.tsv:1: two columns are called "de".*--columns'),
        ("a.tsv", "\n\n", r"a\.tsv holds no examples"),
        ("a.csv", 'de,en\n"x,y\n', r"a\.csv:2: not CSV: .*quotation mark left open"),
        ("a.csv", 'de,en\nx,y\n"x"z,y\n', r"a\.csv:3: not CSV"),
        ("a.jsonl", '{"de": "x", "en": "y"}\n{"de": \n', r"a\.jsonl:2: not JSON"),
        ("a.jsonl", '{"de": "x", "en": "y"}\n[1]\n', r"a\.jsonl:2: not an object"),
        (
            "a.jsonl",
            '{"de": "x", "en": "y"}\n{"de": "x", "eng": "y"}\n',
            r'a\.jsonl:2: no text in field "en" \(did',
        ),
        (
            "a.jsonl",
            '{"de": "x", "en": "\\ud800"}\n',
            r'a\.jsonl:1: field "en" holds half of a surrogate pair',
        ),
        ("a.jsonl", "[" * 100_000 + "\n", r"a\.jsonl:1: not JSON"),
        ("a.jsonl", "\n\n", r"a\.jsonl holds no examples"),
        ("a.parquet", "PAR1 or not", r"a\.parquet: unreadable after row 0"),
        (
            "a.txt",
            "eins\nzwei\nd\udcffrei\n",
            r"a\.txt:3: byte 0xff at position 2 of the line is not UTF-8: convert",
        ),
        ("a.tsv", "de\ten\nx\t\udce9\n", r"a\.tsv:2: byte 0xe9 at position 3"),
        ("a.txt", "", r"a\.txt is empty"),
    ],
)
def test_a_malformed_file(name: str, text: str, said: str, tmp_path: Path) -> None:
    spec = write(tmp_path / name, text)
    with pytest.raises(UserError, match=said):
        list(open_sources([spec]))


def test_a_damaged_gzip_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    whole = gzip.compress("".join(f"{number}\n" for number in range(10_000)).encode())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"a\.txt\.gz: unreadable after line \d+: .*ended"):
        list(open_sources([str(path)]))
    path.write_bytes(whole[:200] + b"\0\0\0\0" + whole[204:])
    with pytest.raises(UserError, match=r"a\.txt\.gz: unreadable after line"):
        list(open_sources([str(path)]))


def test_files_of_unequal_length(tmp_path: Path) -> None:
    write(tmp_path / "a.de", "1\n2\n3\n")
    write(tmp_path / "a.en", "1\n2\n3\n4\n5")
    for pattern in ("a.{de,en}", "a.{en,de}"):
        with pytest.raises(
            UserError, match=r"unequal numbers of lines: .*a\.(de 3, .*a\.en 5|en 5, .*a\.de 3)$"
        ):
            list(open_sources([f"{tmp_path}/{pattern}"]))


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    spec = write(tmp_path / "a.tsv", "german\tenglish\nx\ty\n")
    with pytest.raises(
        UserError, match=r'no column "germen" \(did you mean "german"\?\), it has "german", "english"; if'
    ):
        open_sources([spec], fields=["germen", "english"])
    with pytest.raises(
        UserError, match=r"a\.tsv:1: 2 columns where --columns names 3 .*\"_\" for one to leave out"
    ):
        open_sources([spec], columns=["de", "en", "who"])
    write(tmp_path / "train.de", "x")
    write(tmp_path / "train.en", "y")
    with pytest.raises(UserError, match=r'no language "fr", it has "de", "en"$'):
        open_sources([f"{tmp_path}/train.{{de,en}}"], fields=["fr", "en"])


def test_columns_are_for_the_sources_without_a_header(tmp_path: Path) -> None:
    table = write(tmp_path / "a.tsv", "x\ty\n")
    headed = write(tmp_path / "b.csv", "en,id,de\nv,7,u\n")
    lines = write(tmp_path / "c.jsonl", '{"de": "s", "en": "t"}\n')
    sources = open_sources([table, headed, lines], columns=["de", "en"], parallel=True)
    assert [list(example.fields.values()) for example in sources] == [["x", "y"], ["u", "v"], ["s", "t"]]


def test_a_first_example_is_no_header(tmp_path: Path) -> None:
    long = "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche."
    table = write(tmp_path / "a.tsv", f"{long}\tTwo young men.\nEin Hund.\tA dog.\n")
    with pytest.raises(UserError) as caught:
        open_sources([table], parallel=True)
    assert str(caught.value) == (
        f'{table}: its columns were read as "{long[:40]}…", "Two young men.", and a language\'s name is a short word of '
        "letters, digits, - and _: if that is its first example, name its columns with --columns, as in --columns de,en"
    )
    assert open_sources([table], columns=["de", "zh-Hans_2"], parallel=True).fields == ("de", "zh-Hans_2")
    records = write(tmp_path / "a.jsonl", '{"a b": "x", "c": "y"}\n')
    with pytest.raises(UserError, match="a short word of letters, digits, - and _$"):
        open_sources([records], parallel=True)


def test_a_spec_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("sub/../train.{de,en}") == f"{tmp_path}/sub/../train.{{de,en}}"
    assert absolute("~/x*.tsv") == f"{Path.home()}/x*.tsv"
    assert [absolute(spec) for spec in ("-", "hub:a:b")] == ["-", "hub:a:b"]
    for name in ("[a]", "{a}"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert absolute("train.{de,en}") == "train.{de,en}"


def test_a_pattern_that_the_shell_took_apart(tmp_path: Path) -> None:
    specs = [write(tmp_path / f"train.{language}.gz", "x", packed=True) for language in ("de", "den", "en")]
    for fields in (None, ["de", "en"]):
        with pytest.raises(UserError) as caught:
            open_sources(specs, fields=fields, parallel=True)
        assert f"quote the pattern, or the shell takes it apart: '{tmp_path}/train.{{de,den,en}}.gz'" in str(
            caught.value
        )
    with pytest.raises(UserError, match=r"quote the pattern.*'train\.\{de,en\}\.gz'"):
        open_sources(specs[:1], parallel=True)


@pytest.mark.parametrize("pattern", ["a.{de}", "a.{de,en", "{a,b}.{de,en}", "a.{de,}", "a.{}", "a.{{de,en}}"])
def test_a_pattern_with_other_than_one_group(pattern: str) -> None:
    with pytest.raises(UserError, match="exactly one group in braces"):
        open_sources([pattern])


def test_other_wrong_names(tmp_path: Path) -> None:
    write(tmp_path / "train.de.gz", "x")
    with pytest.raises(UserError, match=r'train\.dee\.gz: No such file.*\(did you mean "train\.de\.gz"\?\)'):
        open_sources([f"{tmp_path}/train.dee.gz"])
    with pytest.raises(UserError, match=r"train\.en\.gz: No such file"):
        open_sources([f"{tmp_path}/train.{{de,en}}.gz"])
    with pytest.raises(UserError, match=r"is a folder: name its files"):
        open_sources([str(tmp_path)])
    with pytest.raises(UserError, match=r"no file fits this pattern"):
        open_sources([f"{tmp_path}/*.txt"])
    with pytest.raises(UserError, match="names a language twice"):
        open_sources(["a.{de,de}"])
    with pytest.raises(UserError, match="can only be read once: pipe it in"):
        open_sources(["/dev/null"])
    with pytest.raises(UserError, match="no data is named"):
        open_sources([])
    with pytest.raises(UserError, match="a column for each language is needed"):
        open_sources([write(tmp_path / "a.tsv", "de\nx\n")], parallel=True)
    with pytest.raises(UserError, match="have no column in common"):
        open_sources([f"{tmp_path}/a.tsv", write(tmp_path / "b.tsv", "en\nx\n")])
    write(tmp_path / "b.de.tsv", "x")
    with pytest.raises(UserError, match=r"No such file|braces are for plain text"):
        open_sources([f"{tmp_path}/b.{{de,de2}}.tsv"])


# Only UserError comes out of readers, whatever goes in

garbage = st.one_of(
    st.binary(max_size=300),
    st.binary(max_size=100).map(gzip.compress),
    st.binary(max_size=100).map(lambda raw: gzip.compress(raw)[:-5]),
    st.text(st.sampled_from('ab\t\n\r,"{}[]:01\\\0é\u2028')).map(str.encode),
    st.binary(max_size=60).map(lambda raw: b"PAR1" + raw + b"PAR1"),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([*FORMATS, ".txt", ".gz"]), garbage, st.none() | st.just(["a", "b"]), st.booleans())
@example(".jsonl", b"\x1f\x8b", None, False)
@example(".csv", b"\0", ["a", "b"], True)
def test_garbage(
    tmp_path: Path, suffix: str, contents: bytes, columns: list[str] | None, parallel: bool
) -> None:
    path = tmp_path / f"garbage{suffix}"
    path.write_bytes(contents)
    said = str(path)
    try:
        sources = open_sources([str(path)], columns=columns, parallel=parallel)
        for found in sources:
            assert set(found.fields) == set(sources.fields)
            assert all(text.encode() is not None for text in found.fields.values())
    except UserError as error:
        said = str(error)
    assert str(path) in said


@given(st.text(st.sampled_from("ab*?[]{},:.\0-~é")))
@example("hub")
@example("{,}{")
def test_garbage_as_a_name(spec: str) -> None:
    assume(spec != "-")
    with pytest.raises(UserError):
        open_sources([spec])


# The report


def test_empty_and_one_sided_examples_are_counted_and_left_out(tmp_path: Path) -> None:
    write(tmp_path / "a.de", "eins\n\n \t\nvier\nfünf\n")
    write(tmp_path / "a.en", "one\ntwo\n\u00a0\n\nfive\n")
    report = Report()
    kept = list(complete(open_sources([f"{tmp_path}/a.{{de,en}}"]), report=report))
    assert [example.line for example in kept] == [1, 5]
    assert report.lines() == [
        "2 examples kept",
        f"2 left out as one-sided: {tmp_path}/a.{{de,en}}:2, {tmp_path}/a.{{de,en}}:4",
        f"1 left out as empty: {tmp_path}/a.{{de,en}}:3",
    ]


def test_only_the_first_places_are_told() -> None:
    report = Report(kept=12_345)
    for line in range(2000):
        report.drop("too long", path="a", line=line)
    assert report.lines() == ["12,345 examples kept", "2,000 left out as too long: a:0, a:1, a:2, …"]
