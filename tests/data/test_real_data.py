"""Every published file that fits a task loads, whole, with one spec."""

import os
from pathlib import Path

import pytest

from weft.data.sources import Report, complete, open_sources

FOLDER = Path(os.environ.get("WEFT_DATA", Path(__file__).parents[3] / "shared" / "data"))

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"there is no data at {FOLDER}; WEFT_DATA names another folder"
)

FOUR = "{en,de,fr,cs}"


@pytest.mark.parametrize(
    ("spec", "columns", "fields", "kept"),
    [
        (f"multi30k/train.{FOUR}.gz", None, ["en", "de", "fr", "cs"], 29_000),
        (f"multi30k/val.{FOUR}", None, ["en", "de", "fr", "cs"], 1_014),
        (f"multi30k/test_2016_flickr.{FOUR}", None, ["en", "de", "fr", "cs"], 1_000),
        ("tatoeba/eng-deu.tsv.gz", ["en", "de"], ["en", "de"], 169_197),
        ("tatoeba/eng-fra.tsv.gz", ["en", "fr"], ["fr", "en"], 167_130),
        ("dialogsum/train.jsonl.gz", None, ["dialogue", "summary"], 12_460),
        ("dialogsum/dev.jsonl.gz", None, ["dialogue", "summary"], 500),
        ("ag_news/train.csv.gz", ["class", "title", "description"], ["title", "description", "class"], 8_994),
        ("ag_news/val.csv.gz", ["class", "title", "description"], ["title", "class"], 999),
        ("ag_news/train_descriptions.csv.gz", ["class", "_", "description"], ["description", "class"], 9_080),
        ("imdb/train.tsv.gz", None, ["text", "label"], 25_000),
        ("sms_spam/SMSSpamCollection.tsv", ["label", "text"], ["label", "text"], 5_574),
        ("sst2/train.tsv", None, ["sentence", "label"], 6_920),
        ("sst2/dev.tsv", None, ["sentence", "label"], 872),
        ("sst2/test.tsv", None, ["sentence", "label"], 1_821),
        ("sst2/phrases_train.tsv.gz", None, ["sentence", "label"], 67_349),
        ("mr/rt-polarity.*.gz", None, ["text"], 10_662),
        ("trec/train.txt", None, ["text"], 5_452),
        ("trec/test.txt", None, ["text"], 500),
    ],
)
def test_it_loads(spec: str, columns: list[str] | None, fields: list[str], kept: int) -> None:
    report = Report()
    examples = complete(open_sources([str(FOLDER / spec)], columns=columns, fields=fields), report=report)
    first = next(examples)
    assert list(first.fields) == fields
    assert all(first.fields.values())
    assert 1 + sum(1 for _ in examples) == kept
    assert report == Report(kept=kept)
