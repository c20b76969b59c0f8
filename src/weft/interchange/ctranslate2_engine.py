"""CTranslate2 at work: weft's search settings in its terms, token ids in and out."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.config import ModelConfig
from weft.errors import UserError, suggest
from weft.families.huggingface import read_json
from weft.generate.config import SearchConfig, check_words
from weft.generate.hypothesis import Hypothesis
from weft.interchange.ctranslate2_export import spell
from weft.interchange.extras import need

__all__ = ["CTranslate2"]

MOST_TOKENS = 4096  # of a batch, padding included

# What its search has no counterpart of, and the value that asks for nothing. It has sampling, but no seed that holds.
_NOT_THERE = {
    "sample": False,
    "scoring": "power",
    "groups": 1,
    "contrast": 0.0,
    "min_p": 0.0,
    "forced": (),
}


class CTranslate2:
    """An encoder-decoder in a CTranslate2 folder; `pieces` spell the ids.

    Some settings of a search are not free there, and go by without a word: what is forbidden leaves its probability to the
    rest (`renormalise`), an output that is cut at the maximum length has no end token (`force_end`), and a search is over
    when as many hypotheses as there are beams are finished (`early_stopping`).
    """

    def __init__(
        self,
        folder: Path,
        *,
        pieces: Sequence[str],
        model: ModelConfig,
        device: str = "cpu",
        index: int = 0,
        precision: str = "default",
        threads: int = 0,
    ) -> None:
        library = need("ctranslate2", extra="ctranslate2")
        known = library.get_supported_compute_types(device, index)
        if precision != "default" and precision not in known:
            raise UserError(
                f'CTranslate2 has no precision "{precision}" on this machine{suggest(precision, known)} '
                f"(there are: {', '.join(sorted(known))})"
            )
        path = folder / "config.json"
        settings = read_json(path) if path.is_file() else {}
        self.adds_end = bool(settings.get("add_source_eos"))
        self.config = model
        self.special = special = model.special
        self.pieces = spell(pieces, model.vocabulary)
        self.pieces[special.end] = str(settings.get("eos_token", "</s>"))
        self.ids = {piece: number for number, piece in enumerate(self.pieces)}
        try:
            self.translator = library.Translator(
                str(folder), device=device, device_index=index, compute_type=precision, intra_threads=threads
            )
        except (RuntimeError, ValueError) as error:
            raise UserError(f"{folder}: CTranslate2 cannot load it: {error}") from error
        self.precision: str = self.translator.compute_type

    @property
    def model(self) -> Any:
        raise UserError(
            "CTranslate2 keeps its attention to itself: inspect the model that this one was exported from"
        )

    def search(self, sources: Sequence[Sequence[int]], config: SearchConfig) -> list[list[Hypothesis]]:
        """The hypotheses for each source, the best first; without the log-probabilities of single tokens.

        Raises UserError for settings that CTranslate2 has not.
        """
        check_words(self.config, config)
        options = self._options(config)
        groups = defaultdict[int, list[int]](list)
        for number, source in enumerate(sources):
            groups[min(config.limit(len(source)), self.config.max_length)].append(number)
        pending = {
            limit: self.translator.translate_batch(
                [self._spelled(sources[number]) for number in numbers],
                max_decoding_length=limit,
                max_batch_size=MOST_TOKENS,
                batch_type="tokens",
                asynchronous=True,
                **options,
            )
            for limit, numbers in groups.items()
        }
        found: list[list[Hypothesis]] = [[]] * len(sources)
        for limit, numbers in groups.items():
            for number, waiting in zip(numbers, pending[limit], strict=True):
                try:
                    result = waiting.result()
                except (RuntimeError, ValueError) as error:
                    raise UserError(f"CTranslate2: {error}") from error
                found[number] = [
                    self._hypothesis(tokens, score)
                    for tokens, score in zip(result.hypotheses, result.scores, strict=True)
                ]
        return found

    def attention(self, source: Sequence[int], target: Sequence[int]) -> NDArray[np.float32]:
        """What each of the target's tokens has seen of the source's: the last layer's, its heads as one, (1, 1, T, S)."""
        (result,) = self.translator.translate_batch(
            [self._spelled(source)],
            target_prefix=[[self.pieces[number] for number in target]],
            max_decoding_length=len(target),
            max_input_length=0,
            return_attention=True,
        )
        return np.array(result.attention[0], np.float32)[None, None, : len(target), : len(source)]

    def _options(self, config: SearchConfig) -> dict[str, Any]:
        wrong = [name for name, usual in _NOT_THERE.items() if getattr(config, name) != usual]
        if config.beams > 1 and config.repetition_penalty != 1:
            wrong.append("repetition_penalty with beams")
        if wrong:
            raise UserError(
                f"CTranslate2's search does not know {', '.join(wrong)}: take the model that it was exported from"
            )
        return {
            "beam_size": config.beams,
            "num_hypotheses": config.nbest,
            "length_penalty": config.length_penalty,
            "repetition_penalty": config.repetition_penalty,
            "no_repeat_ngram_size": config.no_repeat_ngram,
            "min_decoding_length": max(0, config.min_length - 1),  # without the end token
            "suppress_sequences": [[self.pieces[number] for number in tokens] for tokens in config.banned]
            or None,
            "max_input_length": 0,
            "return_scores": True,
            "return_end_token": True,
        }

    def _spelled(self, source: Sequence[int]) -> list[str]:
        """A source's pieces, without the end token where CTranslate2 adds it."""
        cut = self.adds_end and len(source) > 0 and source[-1] == self.special.end
        return [self.pieces[number] for number in (source[:-1] if cut else source)]

    def _hypothesis(self, tokens: Sequence[str], score: float) -> Hypothesis:
        ids = [self.ids[token] for token in tokens]
        ended = bool(ids) and ids[-1] == self.special.end
        return Hypothesis(ids[:-1] if ended else ids, score, [], ended)
