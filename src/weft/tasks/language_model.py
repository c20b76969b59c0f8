"""Language modelling: a decoder learns to go on with a text (Radford et al. 2019)."""

import json
from collections.abc import Callable, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weft.config import GeneratorConfig, LanguageRun, ModelConfig, RunConfig
from weft.data.packing import FIELD, Rows, around, find_documents, hold_out_tokens, pack
from weft.data.sources import Sources, open_sources
from weft.data.store import TokenStore, fingerprint
from weft.data.streams import Stream
from weft.errors import UserError
from weft.models.decoder import Decoder
from weft.models.transformer_xl import TransformerXL
from weft.tasks.completions import Completions, keep_completions
from weft.tasks.kept import keep_tokens
from weft.tasks.next_token import Apart, LanguageModel, Streamed, Texts
from weft.tasks.plain_text import OpenTexts, encode_texts, lines_of, loses_line_ends, open_texts
from weft.tasks.reading import Beginning, hold_out
from weft.tasks.recurrent import RecurrentLanguageModel
from weft.tasks.task import Problem
from weft.text.tokenizer import Layout, Tokenizer

__all__ = ["LanguageProblem"]

MOST_HELD_OUT = 2**20  # tokens, of a text that is trained on

KINDS = ("bpe", "words", "characters")  # tokenizers that keep the ends of lines, or know where they are
TOKENIZER_LINES = 1_000_000  # more teach a tokenizer nothing more
BYTES = "bytes.json"


class LanguageProblem(Problem):
    """A language model's training, from plain text."""

    config = LanguageRun
    table = "language"
    architecture = "decoder"

    def __init__(self, run: RunConfig) -> None:
        assert isinstance(run, LanguageRun)
        recurs = run.model.recurrence is not None
        if recurs and (run.language.texts != "stream" or run.language.prompt_column is not None):
            raise UserError(
                "a Transformer-XL remembers from segment to segment, which is for texts that are one stream: set "
                'language.texts to "stream", and name no prompts'
            )
        if recurs and run.train.smoothing:
            raise UserError("train.smoothing: a Transformer-XL is trained without: set it to 0")
        if not recurs and run.language.length > run.model.max_length:
            raise UserError(
                f"language.length is {run.language.length}, and the model takes {run.model.max_length} tokens: set "
                f"model.max_length to {run.language.length} or more, or language.length to less"
            )
        if run.tokenizer.path is None and run.tokenizer.kind not in KINDS:
            raise UserError(
                f'tokenizer.kind = "{run.tokenizer.kind}" loses the ends of lines, which a language model writes too: '
                f"use one of {', '.join(KINDS)}"
            )
        self.run = run
        self.beginning = Beginning(run, architecture=self.architecture)
        self.train = self._open(run.data.train)
        self.valid = self._open(run.data.valid) if run.data.valid else None

    @property
    def _pair(self) -> tuple[str, str] | None:
        """The columns of prompts and of completions, where there are such."""
        language = self.run.language
        if language.prompt_column is None or language.completion_column is None:
            return None
        return language.prompt_column, language.completion_column

    def _open(self, specs: Sequence[str]) -> OpenTexts | Sources:
        columns = self.run.data.columns
        if self._pair is not None:
            return open_sources(specs, columns=columns, fields=self._pair)
        return open_texts(specs, columns=columns, text_column=self.run.language.text_column)

    @property
    def about(self) -> str:
        return ", ".join(self.run.data.train)

    def make_tokenizer(self) -> Tokenizer:
        examples = self.train if isinstance(self.train, Sources) else lines_of(self.train)
        lines = (text for example in examples for text in example.fields.values() if text)
        first = next((line for line in lines if line.strip()), None)
        if first is None:
            raise UserError(f"{self.about}: not a single word to learn from")
        texts = islice(chain([first], lines), TOKENIZER_LINES)
        return self.beginning.make_tokenizer(texts, special=(), exact=True)

    def make_task(
        self, folder: Path, *, tokenizer: Tokenizer, begun: bool, tell: Callable[[str], None]
    ) -> LanguageModel:
        make = self._pairs if self._pair is not None else self._plain
        train, valid, size, predicted = make(folder, tokenizer, begun=begun, tell=tell)
        for texts, names in ((train, self.run.data.train), (valid, self.run.data.valid)):
            if not len(texts):
                length, pairs = self.run.language.length, self._pair is not None
                way = "to more, which pairs fit into" if pairs else "to less, or give more text"
                raise UserError(
                    f"{', '.join(names or self.run.data.train)}: not a single row of {length} tokens"
                    f"{'' if names else ' to hold out'}: set language.length {way}"
                )
        task = LanguageModel if self.run.model.recurrence is None else RecurrentLanguageModel
        return task(
            train,
            valid,
            bytes_per_token=size / predicted,
            smoothing=self.run.train.smoothing,
            given=self.valid is not None,
        )

    def _plain(
        self, folder: Path, tokenizer: Tokenizer, *, begun: bool, tell: Callable[[str], None]
    ) -> tuple[Texts, Texts, int, int]:
        """What is learned from and what is held out; and some text's bytes, and its tokens that are predicted."""
        assert not isinstance(self.train, Sources)
        assert not isinstance(self.valid, Sources)
        store, size = self._store(folder / "train", self.train, tokenizer, begun=begun)
        if self.valid is None:
            train, valid = self._divided(store, tokenizer)
            return train, valid, size, train.predicted + valid.predicted
        other, size = self._store(folder / "valid", self.valid, tokenizer, begun=begun)
        train, valid = self._whole(store, tokenizer), self._whole(other, tokenizer)
        return train, valid, size, valid.predicted

    def _pairs(
        self, folder: Path, tokenizer: Tokenizer, *, begun: bool, tell: Callable[[str], None]
    ) -> tuple[Texts, Texts, int, int]:
        """The same of prompts and completions."""

        def table(name: str, sources: OpenTexts | Sources) -> Callable[[Sequence[int] | None], Completions]:
            assert isinstance(sources, Sources)
            store, sizes = keep_completions(folder / name, sources, tokenizer, begun=begun, tell=tell)
            return lambda rows: Completions(
                store,
                range(len(store)) if rows is None else rows,
                fields=(sources.fields[0], sources.fields[1]),
                prefix=self._prefix(tokenizer.bos_id),
                end=tokenizer.eos_id,
                length=self.run.language.length,
                sizes=sizes,
            )

        make = table("train", self.train)
        if self.valid is None:
            every = len(make(None).store)
            parts = hold_out(range(every), share=self.run.hold_out, seed=self.run.train.seed)
            train, valid = (make(rows) for rows in parts)
        else:
            train, valid = make(None), table("valid", self.valid)(None)
        return train, valid, train.size + valid.size, train.predicted + valid.predicted

    def _store(
        self, folder: Path, sources: OpenTexts, tokenizer: Tokenizer, *, begun: bool
    ) -> tuple[TokenStore, int]:
        """The text as tokens, in which a row without any ends a text; and the size of the text in bytes."""
        stream, counted = self.run.language.texts == "stream", 0

        def encode(lines: Sequence[str]) -> list[list[int]]:
            nonlocal counted
            counted += sum(len(line.encode()) for line in lines)
            return encode_texts(tokenizer, lines, between=[tokenizer.eos_id] if stream else [])

        names = [source.name for each, _ in sources for source in each.sources]
        stamp = "\n".join(each.stamp for each, _ in sources)
        store, report = keep_tokens(
            folder,
            lambda _: lines_of(sources),
            fields=[FIELD],
            tokenizer=tokenizer,
            mark=fingerprint(stamp, tokenizer.fingerprint, self.run.language.texts),
            names=names,
            begun=begun,
            encode=encode,
        )
        if not len(store[FIELD].ids):
            raise UserError(f"{', '.join(names)}: not a single line of text to learn from")
        path = folder / BYTES
        if report is not None or not path.exists():  # the run may have been stopped before it was written
            size = counted or sum(len(line.fields[FIELD].encode()) for line in lines_of(sources))
            path.write_text(json.dumps(size), encoding="utf-8")
        return store, int(json.loads(path.read_text(encoding="utf-8")))

    def _divided(self, store: TokenStore, tokenizer: Tokenizer) -> tuple["Texts", Texts]:
        """What is learned from, and what is held out: the end of a stream, a row at the least, or some of the texts.

        However large the text, no more than `MOST_HELD_OUT` tokens are: they tell losses apart as well as more would.
        """
        size, length = len(store[FIELD].ids), self.run.language.length
        tokens = min(MOST_HELD_OUT, max(1, int(self.run.hold_out * size)))
        if self.run.language.texts == "stream":
            end = max(0, size - max(tokens, length + 1))
            return (
                Streamed(Stream(store, begin=0, end=end, length=length)),
                Streamed(Stream(store, begin=end, end=size, length=length)),
            )
        documents, held = hold_out_tokens(
            find_documents(store.lengths[FIELD]), tokens=tokens, seed=self.run.train.seed
        )
        return self._apart(store, documents, tokenizer), self._apart(store, held, tokenizer)

    def _prefix(self, start: int) -> tuple[int, ...]:
        """What stands before each text, where texts are apart: as the model has it that the run begins with."""
        saved = self.beginning.saved
        if self._pair is not None and saved is not None:
            assert isinstance(saved.config, GeneratorConfig)
            return saved.config.prefix
        return (start,)

    def _whole(self, store: TokenStore, tokenizer: Tokenizer) -> Texts:
        if self.run.language.texts == "stream":
            size = len(store[FIELD].ids)
            return Streamed(Stream(store, begin=0, end=size, length=self.run.language.length))
        return self._apart(store, find_documents(store.lengths[FIELD]), tokenizer)

    def _apart(self, store: TokenStore, documents: NDArray[np.int64], tokenizer: Tokenizer) -> Texts:
        # Where a line's end is the end token, that of the last line ends the text.
        end = () if loses_line_ends(tokenizer) else (tokenizer.eos_id,)
        layout = Layout((tokenizer.bos_id,), (), end)
        packing = pack(documents, room=self.run.language.length + 1, edges=around(layout))
        return Apart(Rows(store, packing, layout=layout))

    def describe(self, model: ModelConfig) -> GeneratorConfig:
        apart = self.run.language.texts == "apart" or self._pair is not None
        return GeneratorConfig(
            family=self.beginning.family,
            model=model,
            prefix=self._prefix(model.special.start) if apart else (),
            length=self.run.language.length,
            text_column=self.run.language.text_column,
            prompt_column=self.run.language.prompt_column,
            completion_column=self.run.language.completion_column,
        )

    def make_model(self, model: ModelConfig) -> Decoder | TransformerXL:
        decoder = Decoder(model) if model.recurrence is None else TransformerXL(model)
        if self.beginning.saved is not None:
            decoder.load_state_dict(self.beginning.saved.model.state_dict())
        return decoder
