import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.data import store as store_module
from weft.data.sources import Example, Report
from weft.data.store import TokenStore, build_store, fingerprint, open_store
from weft.errors import UserError


def letters(texts: Sequence[str]) -> list[list[int]]:
    return [[ord(letter) for letter in text] for text in texts]


def examples(rows: Sequence[tuple[str, str]]) -> list[Example]:
    return [
        Example({"de": source, "en": target}, "train.tsv", line)
        for line, (source, target) in enumerate(rows, start=1)
    ]


def build(
    folder: Path, rows: Sequence[tuple[str, str]], *, vocab_size: int = 70_000, mark: str = "1"
) -> TokenStore:
    return build_store(
        folder,
        examples(rows),
        fields=["de", "en"],
        encode=letters,
        vocab_size=vocab_size,
        fingerprint=mark,
        report=Report(),
    )


@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), min_size=1))
def test_what_goes_in_comes_out(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("store") / "tokens"
    build(folder, rows, vocab_size=2**21)
    store = open_store(folder, "1")
    assert store is not None
    assert len(store) == len(store["de"]) == len(rows)
    for i, (source, target) in enumerate(rows):
        assert store["de"][i].tolist() == [ord(letter) for letter in source]
        assert store["en"][i].tolist() == [ord(letter) for letter in target]
    assert store.lengths["en"].tolist() == [len(target) for _, target in rows]


def test_the_narrowest_type_that_holds_the_vocabulary(tmp_path: Path) -> None:
    assert build(tmp_path / "a", [("a", "b")], vocab_size=2**16)["de"][0].dtype == np.uint16
    assert build(tmp_path / "b", [("a", "b")], vocab_size=2**16 + 1)["de"][0].dtype == np.uint32
    assert build(tmp_path / "c", [("a", "b")], vocab_size=2**16)["de"][0].nbytes == 2


def test_chunks_leave_no_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("x" * (i % 5), "y" * (i % 3)) for i in range(50)]
    whole = build(tmp_path / "whole", rows)
    asked: list[int] = []

    def counting(texts: Sequence[str]) -> list[list[int]]:
        asked.append(len(texts))
        return letters(texts)

    monkeypatch.setattr(store_module, "_CHUNK", 7)
    chunked = build_store(
        tmp_path / "chunked",
        iter(examples(rows)),
        fields=["de", "en"],
        encode=counting,
        vocab_size=200,
        fingerprint="1",
        report=Report(),
    )
    assert max(asked) == 7
    assert [chunked["en"][i].tolist() for i in range(50)] == [whole["en"][i].tolist() for i in range(50)]
    assert [chunked["de"][i].tolist() for i in range(50)] == [[ord("x")] * (i % 5) for i in range(50)]


def test_a_store_is_reused_only_for_the_same_fingerprint(tmp_path: Path) -> None:
    build(tmp_path / "tokens", [("a", "b")])
    assert open_store(tmp_path / "tokens", "1") is not None
    assert open_store(tmp_path / "tokens", "2") is None
    assert open_store(tmp_path / "nowhere", "1") is None
    build(tmp_path / "tokens", [("c", "d")], mark="2")
    again = open_store(tmp_path / "tokens", "2")
    assert again is not None
    assert again["de"][0].tolist() == [ord("c")]


def test_every_part_counts_in_a_fingerprint() -> None:
    assert len({fingerprint("a", "b"), fingerprint("a"), fingerprint("ab"), fingerprint("b", "a")}) == 4


@pytest.mark.parametrize("name", ["store.json", "lines", "paths", "0.ids", "0.ends", "1.ids", "1.ends"])
def test_a_store_that_is_not_whole_is_not_opened(name: str, tmp_path: Path) -> None:
    build(tmp_path, [("abc", "de"), ("f", "g")])
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-1])
    if name == "store.json":  # it lost a line end only
        assert open_store(tmp_path, "1") is not None
        path.write_bytes(path.read_bytes()[:-1])
    assert open_store(tmp_path, "1") is None
    path.unlink()
    assert open_store(tmp_path, "1") is None


@given(st.one_of(st.binary(), st.from_type(type(None)).map(lambda _: b"{}"), st.just(b"[]"), st.just(b"1")))
def test_any_header_is_survived(tmp_path_factory: pytest.TempPathFactory, header: bytes) -> None:
    folder = tmp_path_factory.mktemp("store")
    (folder / "store.json").write_bytes(header)
    assert open_store(folder, "1") is None


def test_the_place_of_a_row_and_the_report_are_kept(tmp_path: Path) -> None:
    report = Report(kept=2)
    for line in range(5):
        report.drop("empty", path="b.tsv", line=line)
    build_store(
        tmp_path,
        [Example({"de": "a", "en": "b"}, "a.tsv", 7), Example({"de": "a", "en": "b"}, "b.tsv", 9)],
        fields=["en"],
        encode=letters,
        vocab_size=200,
        fingerprint="1",
        report=report,
    )
    store = open_store(tmp_path, "1")
    assert store is not None
    assert [store.place(0), store.place(1)] == ["a.tsv:7", "b.tsv:9"]
    assert store.fields == ("en",)
    assert store.report == report


def test_an_interruption_leaves_the_old_store_and_no_litter(tmp_path: Path) -> None:
    build(tmp_path / "tokens", [("a", "b")])

    def interrupted() -> Iterator[Example]:
        yield from examples([("c", "d")])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_store(
            tmp_path / "tokens",
            interrupted(),
            fields=["de", "en"],
            encode=letters,
            vocab_size=200,
            fingerprint="2",
            report=Report(),
        )
    old = open_store(tmp_path / "tokens", "1")
    assert old is not None
    assert old["de"][0].tolist() == [ord("a")]
    assert [file.name for file in tmp_path.iterdir()] == ["tokens"]


def test_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a single complete example"):
        build(tmp_path / "tokens", [])
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="is in use"):
        build(tmp_path, [("a", "b")])
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(UserError, match="cannot be written"):
        build_full_disk(tmp_path / "full")
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def build_full_disk(folder: Path) -> None:
    def full(texts: Sequence[str]) -> list[list[int]]:
        raise OSError(28, "No space left on device")

    build_store(
        folder,
        examples([("a", "b")]),
        fields=["de"],
        encode=full,
        vocab_size=9,
        fingerprint="",
        report=Report(),
    )


def test_nothing_but_numbers_and_json_is_written(tmp_path: Path) -> None:
    build(tmp_path, [("a", "b")])
    header = json.loads((tmp_path / "store.json").read_bytes())
    assert {file.name for file in tmp_path.iterdir()} == {"store.json", *header["sizes"]}
    assert (tmp_path / "0.ids").read_bytes() == np.array([ord("a")], dtype=header["dtype"]).tobytes()
