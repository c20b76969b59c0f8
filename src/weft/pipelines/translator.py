"""A trained translator in use: text in, text out, measured and looked into."""

import time
from collections.abc import Callable, Sequence
from dataclasses import InitVar, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, overload

from weft import inspect
from weft.config import TranslatorConfig
from weft.errors import UserError
from weft.families.marian_tokenizer import MarianTokenizer
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis
from weft.network import Seq2SeqNetwork
from weft.overrides import validate
from weft.pipelines.texts import checked_texts, kind_of
from weft.tasks.directions import Direction, language_tag, pick_direction, read_parallel, score
from weft.text.alignment import alignment
from weft.text.encode import Encoded, encode_lines
from weft.text.tokenizer import Tokenizer
from weft.text.words import spellings

__all__ = ["Evaluation", "Translation", "Translator"]

BEAMS = 5  # where neither the caller nor the model says otherwise


@dataclass(frozen=True)
class Translation:
    """One translation, with its score (see SearchConfig) and its tokens.

    A source that is longer than the model takes is `truncated` where the caller allows it, and else `refused`: it has
    no translation. The translation of a blank source is empty.
    """

    text: str
    score: float
    tokens: list[str]
    source_tokens: list[str]
    truncated: bool
    refused: bool
    align: InitVar[Callable[[], list[tuple[int, int]]]]

    def __post_init__(self, align: Callable[[], list[tuple[int, int]]]) -> None:
        object.__setattr__(self, "_align", align)

    def __getstate__(self) -> dict[str, Any]:
        """Plain data, so that a copy on another process needs no model."""
        return self.as_dict()

    @cached_property
    def alignment(self) -> list[tuple[int, int]]:
        """For each position of `tokens` the one of `source_tokens` that it was most written from: (source, target), from 0.

        Read off the cross-attention when it is first asked for.
        """
        found: list[tuple[int, int]] = vars(self)["_align"]()
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain data, the alignment included."""
        names = ("text", "score", "tokens", "source_tokens", "alignment", "truncated", "refused")
        return {name: getattr(self, name) for name in names}


class Evaluation(NamedTuple):
    """sacreBLEU's figures for a corpus, with their signatures, and how fast and in what precision they came about.

    They are of `sentences` pairs. So many that are not whole were `dropped`; `left_out` says why and where, a line for
    each reason. `exact` is a share, from 0 to 1.
    """

    direction: str
    bleu: float
    chrf: float
    bleu_signature: str
    chrf_signature: str
    exact: float
    sentences: int
    dropped: int
    left_out: tuple[str, ...]
    truncated: int
    sentences_per_second: float
    precision: str


class Translator:
    """A model, its tokenizer and the directions it knows."""

    def __init__(
        self,
        config: TranslatorConfig,
        *,
        network: Seq2SeqNetwork,
        tokenizer: Tokenizer | MarianTokenizer,
        precision: str = "float32",
    ) -> None:
        self.config = config
        self.network = network
        self.tokenizer = tokenizer
        self.precision = precision
        self.directions = [Direction(*pair) for pair in config.directions]

    @property
    def languages(self) -> list[str]:
        """All languages that the model reads or writes."""
        return sorted({language for direction in self.directions for language in direction})

    @overload
    def translate(self, text: str, *, nbest: None = None, **options: Any) -> Translation: ...
    @overload
    def translate(self, text: str, *, nbest: int, **options: Any) -> list[Translation]: ...
    @overload
    def translate(self, text: Sequence[str], *, nbest: None = None, **options: Any) -> list[Translation]: ...
    @overload
    def translate(self, text: Sequence[str], *, nbest: int, **options: Any) -> list[list[Translation]]: ...
    def translate(
        self,
        text: str | Sequence[str],
        *,
        from_language: str | None = None,
        to_language: str | None = None,
        beams: int | None = None,
        nbest: int | None = None,
        truncate: bool = False,
        banned_words: Sequence[str] = (),
        forced_words: Sequence[str] = (),
        **search: Any,
    ) -> Translation | list[Translation] | list[list[Translation]]:
        """Translate one text or a list, whose order is kept; with `nbest`, a list of translations for each.

        No output holds one of `banned_words`, and each holds all of `forced_words`: words or phrases as they are
        written, capitals included. A longer word whose first tokens are a word's own counts as that word.
        `search` takes any other field of SearchConfig. A source that is longer than the model takes is cut only with
        `truncate`; without it, it is refused, and the others are translated. A blank source has one, empty, translation.
        """
        texts = checked_texts(text)
        direction = pick_direction(self.directions, from_language, to_language)
        sources = self._encode(texts, direction, cut=truncate)
        blank = [not each.strip() for each in texts]
        left = [empty or (source.over and not truncate) for empty, source in zip(blank, sources, strict=True)]
        taken = [source.ids for source, leave in zip(sources, left, strict=True) if not leave]
        words = {"banned_words": banned_words, "forced_words": forced_words}
        found = iter(self._search(taken, beams=beams, nbest=1 if nbest is None else nbest, **words, **search))
        answers = [
            [self._nothing(source, refused=not empty)]
            if leave
            else [self._translation(source, hypothesis) for hypothesis in next(found)]
            for source, empty, leave in zip(sources, blank, left, strict=True)
        ]
        if nbest is None:
            best = [each[0] for each in answers]
            return best[0] if isinstance(text, str) else best
        return answers[0] if isinstance(text, str) else answers

    def evaluate(
        self,
        data: str | Path | Sequence[str | Path],
        *,
        from_language: str | None = None,
        to_language: str | None = None,
        columns: Sequence[str] | None = None,
        beams: int | None = None,
    ) -> Evaluation:
        """BLEU, chrF and the share of exact matches on parallel text.

        A source that is too long is cut, and counted as truncated. A pair with an empty side cannot be measured: it is
        left out, counted as dropped, and named.
        """
        direction = pick_direction(self.directions, from_language, to_language)
        texts, report = read_parallel(
            [str(data)] if isinstance(data, str | Path) else [str(each) for each in data],
            columns=columns,
            direction=direction,
        )
        sources, references = texts[direction.source], texts[direction.target]
        begin = time.perf_counter()
        encoded = self._encode(sources, direction, cut=True)
        found = self._search([source.ids for source in encoded], beams=beams, nbest=1)
        translations = self.tokenizer.decode([hypotheses[0].tokens for hypotheses in found])
        seconds = time.perf_counter() - begin
        scores = score(translations, references)
        exact = sum(ours == theirs for ours, theirs in zip(translations, references, strict=True))
        return Evaluation(
            str(direction),
            *scores,
            exact=exact / len(references),
            sentences=len(references),
            dropped=sum(dropped.number for dropped in report.dropped.values()),
            left_out=tuple(report.lines()[1:]),
            truncated=sum(source.over for source in encoded),
            sentences_per_second=len(references) / seconds,
            precision=self.precision,
        )

    def inspect(
        self,
        text: str,
        *,
        out: Path | str,
        from_language: str | None = None,
        to_language: str | None = None,
        beams: int | None = None,
    ) -> Translation:
        """Translate a text and write a page that shows all attention behind it."""
        if not isinstance(text, str):
            raise UserError(f"a text is wanted, not {kind_of(text)}")
        if not text.strip():
            raise UserError("there is no text to translate, and nothing to look into")
        direction = pick_direction(self.directions, from_language, to_language)
        (source,) = self._encode([text], direction, cut=False)
        if source.over:
            raise UserError(
                f"the text is longer than the {self.config.model.max_length} tokens the model takes: split it"
            )
        ((hypothesis,),) = self._search([source.ids], beams=beams, nbest=1)
        answer = self._translation(source, hypothesis)
        special = self.config.model.special
        targets = [*hypothesis.tokens, special.end]
        maps = inspect.attention(self.network.model, source.ids, target_ids=targets)
        (start,) = self.tokenizer.tokens([special.start])
        groups = inspect.translation_groups(
            maps,
            start=start,
            source_tokens=answer.source_tokens,
            target_tokens=self.tokenizer.tokens(targets),
        )
        inspect.write_page(
            Path(out),
            groups,
            title=f"{direction.source} to {direction.target}",
            texts=[
                inspect.Text("Source", text, direction.source),
                inspect.Text("Translation", answer.text, direction.target),
            ],
            facts={"score": f"{answer.score:.3f}"},
        )
        return answer

    def _encode(self, texts: Sequence[str], direction: Direction, *, cut: bool) -> list[Encoded]:
        prefix = self.tokenizer.token_id(language_tag(direction.target)) if self.config.tags else None
        return encode_lines(
            self.tokenizer,
            texts,
            prefix=prefix,
            maximum=self.config.model.max_length,
            cut=cut,
            ended=self.config.ends_source,
        )

    def _search(
        self,
        sources: list[list[int]],
        *,
        beams: int | None,
        nbest: int,
        banned_words: Sequence[str] = (),
        forced_words: Sequence[str] = (),
        **search: Any,
    ) -> list[list[Hypothesis]]:
        options = {"beams": BEAMS, **self.config.generation, "nbest": nbest, **search}
        options["beams"] = max(options["beams"], nbest)
        banned = [spelling for word in _listed(banned_words) for spelling in self._spellings(word)]
        forced = [self._spellings(word)[0] for word in _listed(forced_words)]
        if banned:  # beside those of the model's own
            options["banned"] = (*options.get("banned", ()), *banned)
        if forced:
            options["forced"] = (*options.get("forced", ()), *forced)
            # With more beams than tokens, each bank of the search has room (see forced_candidates).
            options["beams"] = max(options["beams"], sum(map(len, options["forced"])) + 1)
        groups = options.get("groups", 1)
        options["beams"] = -(-options["beams"] // groups) * groups
        if search.get("sample"):
            for name in ("beams", "groups", "diversity"):
                options.pop(name, None)
        if beams is not None:
            options["beams"] = beams
        return self.network.search(sources, validate(SearchConfig, options))

    def _spellings(self, word: str) -> list[tuple[int, ...]]:
        tokenizer = self.tokenizer
        return spellings(
            word,
            encode=tokenizer.encode_targets if isinstance(tokenizer, MarianTokenizer) else tokenizer.encode,
            start=self.config.model.special.start,
            unknown=tokenizer.unk_id,
        )

    def _translation(self, source: Encoded, hypothesis: Hypothesis) -> Translation:
        (text,) = self.tokenizer.decode([hypothesis.tokens])
        return Translation(
            text=text,
            score=hypothesis.score,
            tokens=self.tokenizer.tokens(hypothesis.tokens),
            source_tokens=self.tokenizer.tokens(source.ids),
            truncated=source.over,
            refused=False,
            align=lambda: self._align(source.ids, hypothesis.tokens),
        )

    def _nothing(self, source: Encoded, *, refused: bool) -> Translation:
        return Translation(
            text="",
            score=0.0,
            tokens=[],
            source_tokens=self.tokenizer.tokens(source.ids),
            truncated=False,
            refused=refused,
            align=list,
        )

    def _align(self, source: list[int], target: list[int]) -> list[tuple[int, int]]:
        if not target:
            return []
        tag = {0} if self.config.tags else set()
        end = {len(source) - 1} if self.config.ends_source else set()
        return alignment(self.network.attention(source, target), ignore=end | tag)


def _listed(words: Sequence[str]) -> Sequence[str]:
    """The words; a single one may come without a list."""
    return [words] if isinstance(words, str) else words
