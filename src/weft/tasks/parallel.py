"""Parallel text made ready for training: read, counted, tokenized once, and laid down in the run's folder."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from weft.config import (
    DataConfig,
    ModelConfig,
    RunConfig,
    TokenizerConfig,
    TranslateConfig,
    TranslateRun,
    TranslatorConfig,
)
from weft.data.files import at_home
from weft.data.sources import Report, complete
from weft.errors import UserError
from weft.models.seq2seq import Seq2Seq
from weft.tasks.directions import check_columns, directions_of, language_tag, open_parallel
from weft.tasks.kept import keep_complete
from weft.tasks.masking import MASK
from weft.tasks.task import Problem
from weft.tasks.translate import PairTable, Translate
from weft.text.tokenizer import Tokenizer
from weft.text.training import train_tokenizer

__all__ = ["ParallelText", "Tables", "TranslateProblem"]

# A tokenizer learns nothing more from more lines than this.
TOKENIZER_LINES = 1_000_000


class Tables(NamedTuple):
    """The encoded pairs of a run."""

    train: PairTable
    valid: PairTable | None


class ParallelText:
    """The parallel text of a run: its languages and directions are known at once, the rest is read when it is needed."""

    def __init__(self, data: DataConfig, translate: TranslateConfig) -> None:
        wanted = [translate.from_language, translate.to_language]
        self.data = data
        self.masked = translate.masked > 0
        self.train = open_parallel(data.train, data.columns, [name for name in wanted if name is not None])
        self.directions = directions_of(translate, self.train.fields)
        self.languages = [name for name in self.train.fields if any(name in pair for pair in self.directions)]
        self.valid = open_parallel(data.valid, data.columns, self.languages) if data.valid else None
        check_columns(data.columns, [self.train, *([self.valid] if self.valid else [])])

    @property
    def tagged(self) -> bool:
        """Whether the model has to be told which language to write."""
        return len({direction.target for direction in self.directions}) > 1

    @property
    def tags(self) -> list[str]:
        """The tokens that ask for a language, where the model needs them."""
        return [language_tag(language) for language in self.languages] if self.tagged else []

    def make_tokenizer(self, config: TokenizerConfig) -> Tokenizer:
        """The tokenizer that the configuration names, with the tags that it lacks, or one trained on the text."""
        if config.path is None:
            return self.train_tokenizer(config)
        if self.masked:
            raise UserError(
                f"translate.masked needs {MASK} in front of all pieces, which a tokenizer trained for it has: "
                "leave tokenizer.path out"
            )
        return Tokenizer.adopt(at_home(config.path), special=self.tags)

    def train_tokenizer(self, config: TokenizerConfig) -> Tokenizer:
        """One tokenizer for all languages, and a tag for each where the model needs one.

        The mask, where it is needed, is the last of the special tokens.
        """
        special = [*self.tags, *([MASK] if self.masked else [])]
        lines = islice(complete(self.train, report=Report()), TOKENIZER_LINES)
        texts = [text for example in lines for text in example.fields.values()]
        if not texts:
            raise UserError(f"{', '.join(self.data.train)}: not a single complete line to learn from")
        return train_tokenizer(texts, kind=config.kind, size=config.size, special=special)

    def tables(
        self,
        folder: Path,
        *,
        tokenizer: Tokenizer,
        longest: int,
        begun: bool,
        tell: Callable[[str], None],
    ) -> Tables:
        """The pairs as tokens, in stores below `folder` that are used again when nothing has changed.

        Pairs with a side longer than `longest`, the most that the model takes, are left out, held-out ones too. Once a
        run has `begun`, another text than the one it began with is refused.
        """
        tags = {}
        if self.tagged:
            tags = {language: tokenizer.token_id(language_tag(language)) or 0 for language in self.languages}
        train = PairTable(
            keep_complete(folder / "train", self.train, tokenizer, begun=begun, tell=tell)[0],
            self.directions,
            tags=tags,
            max_tokens=min(self.data.max_tokens, longest),
        )
        if not len(train.lengths):
            raise UserError(f"{', '.join(self.data.train)}: not a single pair to learn from")
        if self.valid is None:
            return Tables(train, None)
        texts: dict[str, list[str]] = {language: [] for language in self.languages}
        for example in complete(self.valid, report=Report()):
            for language, text in example.fields.items():
                texts[language].append(text)
        store, _ = keep_complete(folder / "valid", self.valid, tokenizer, begun=begun, tell=tell)
        return Tables(train, PairTable(store, self.directions, tags=tags, max_tokens=longest, texts=texts))


class TranslateProblem(Problem):
    """A translator's training, from parallel text."""

    config = TranslateRun
    table = "translate"
    architecture = "seq2seq"

    def __init__(self, run: RunConfig) -> None:
        assert isinstance(run, TranslateRun)
        self.run = run
        self.text = ParallelText(run.data, run.translate)

    @property
    def about(self) -> str:
        return ", ".join(self.text.languages)

    def make_tokenizer(self) -> Tokenizer:
        return self.text.make_tokenizer(self.run.tokenizer)

    def make_task(
        self, folder: Path, *, tokenizer: Tokenizer, begun: bool, tell: Callable[[str], None]
    ) -> Translate:
        model = self.run.model
        tables = self.text.tables(
            folder, tokenizer=tokenizer, longest=model.max_length, begun=begun, tell=tell
        )
        return Translate(
            tables.train,
            tables.valid,
            tokenizer=tokenizer,
            special=model.special,
            smoothing=self.run.train.smoothing,
            masked=self.run.translate.masked,
        )

    def describe(self, model: ModelConfig) -> TranslatorConfig:
        directions = tuple((direction.source, direction.target) for direction in self.text.directions)
        return TranslatorConfig(directions=directions, tags=self.text.tagged, model=model)

    def make_model(self, model: ModelConfig) -> Seq2Seq:
        return Seq2Seq(model)
