"""Every published set of labelled texts loads, whole, with one command's options."""

import os
from pathlib import Path
from typing import Any

import pytest

from weft.config import ClassifyConfig
from weft.data.sources import Report
from weft.tasks.labelled import read_labelled

FOLDER = Path(os.environ.get("WEFT_DATA", Path(__file__).parents[3] / "shared" / "data"))

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"there is no data at {FOLDER}; WEFT_DATA names another folder"
)


@pytest.mark.parametrize(
    ("specs", "columns", "options", "kept", "labels"),
    [
        (["sst2/phrases_train.tsv.gz"], None, {"text_column": "sentence"}, 67_349, 2),
        (["sst2/train.tsv"], None, {"text_column": "sentence"}, 6_920, 2),
        (["sst2/dev.tsv"], None, {"text_column": "sentence"}, 872, 2),
        (["sst2/test.tsv"], None, {"text_column": "sentence"}, 1_821, 2),
        (["positive=mr/rt-polarity.pos.gz", "negative=mr/rt-polarity.neg.gz"], None, {}, 10_662, 2),
        (["imdb/train.tsv.gz"], None, {}, 25_000, 2),
        (["imdb/train.tsv.gz"], None, {"label_column": "rating", "kind": "number"}, 25_000, 8),
        (["sms_spam/SMSSpamCollection.tsv"], ["label", "text"], {}, 5_574, 2),
        (["trec/train.txt"], None, {"label_until": ":"}, 5_452, 6),
        (["trec/train.txt"], None, {"label_until": " "}, 5_452, 50),
        (["trec/test.txt"], None, {"label_until": ":"}, 500, 6),
        (
            ["ag_news/train.csv.gz"],
            ["label", "title", "text"],
            {"text_column": "title", "pair_column": "text", "label_names": "ag_news/classes.txt"},
            8_994,
            4,
        ),
        (["ag_news/val.csv.gz"], ["label", "title", "text"], {}, 999, 4),
        (["ag_news/train_descriptions.csv.gz"], ["label", "_", "text"], {}, 9_080, 4),
    ],
    ids=lambda value: value[0] if isinstance(value, list) and "/" in value[0] else None,
)
def test_it_loads(
    specs: list[str], columns: list[str] | None, options: dict[str, Any], kept: int, labels: int
) -> None:
    def placed(spec: str) -> str:
        label, equals, path = spec.rpartition("=")
        return f"{label}{equals}{FOLDER / path}"

    if "label_names" in options:
        options = {**options, "label_names": str(FOLDER / options["label_names"])}
    report = Report()
    read = read_labelled(
        [placed(spec) for spec in specs], ClassifyConfig(**options), columns=columns, report=report
    )
    assert report == Report(kept=kept)
    assert len(read) == kept
    assert len({each.labels for each in read}) == labels
    assert all(each.text.strip() for each in read)
