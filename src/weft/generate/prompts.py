"""From prompts to what a decoder writes after each of them: in order, and independent of one another."""

import math
from collections.abc import Callable, Sequence
from itertools import groupby

import torch
from torch import Tensor

from weft.errors import UserError
from weft.generate.batches import SENTENCES_TOGETHER, make_uniforms
from weft.generate.config import SearchConfig, check_words
from weft.generate.contrastive import ContrastivePredictor
from weft.generate.hypothesis import Hypothesis
from weft.generate.loop import search
from weft.generate.predictor import DecoderPredictor, Predictor, RecurrentPredictor
from weft.generate.processors import Processor
from weft.generate.speculative import Guess, SpeculativePredictor
from weft.models.decoder import Decoder
from weft.models.transformer_xl import TransformerXL

__all__ = ["continue_prompts"]

TOKENS = 100  # that are written where nobody says how many
ROWS = 64  # that are written together


@torch.inference_mode()
def continue_prompts(
    model: Decoder | TransformerXL,
    prompts: Sequence[Sequence[int]],
    config: SearchConfig,
    *,
    processors: Sequence[Processor] = (),
    guess: Callable[[], Guess] | None = None,
    tell: Callable[[int], None] | None = None,
) -> list[list[Hypothesis]]:
    """What may follow each prompt, the best first, up to `config.nbest` of it.

    `config.max_length` counts new tokens: without it there are 100, or as many as the model takes after the prompt.
    Prompts of one length are read together, so that nothing is padded. A sampled output depends on the model, the
    prompt, the configuration and its number among the `nbest` alone. `guess` makes what guesses ahead, for each text
    anew: the texts are the same, one at a time, in fewer steps. `tell` hears the tokens of a single prompt one by one.
    Raises UserError for a prompt that, with the tokens to be written, is longer than the model takes.
    """
    check_words(model.config, config)
    unsuited = {
        "beams": config.beams > 1,
        "contrast": bool(config.contrast),
        "a Transformer-XL": isinstance(model, TransformerXL),
    }
    why = next((name for name, holds in unsuited.items() if holds), None)
    if guess is not None and why is not None:
        raise UserError(f"draft and lookup do not suit {why}: leave them out")
    room = math.inf if isinstance(model, TransformerXL) else model.config.max_length
    _check_lengths(prompts, limit=config.max_length or 1, room=room)
    samples = config.nbest if config.sample else 1
    found: list[list[Hypothesis]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    for length, group in groupby(order, key=lambda number: len(prompts[number])):
        limit = config.max_length or int(min(TOKENS, room - length))
        rows = [(number, sample) for number in group for sample in range(samples)]
        together = ROWS if guess is None else 1
        for start in range(0, len(rows), together):
            part = rows[start : start + together]
            batch = [(prompts[number], sample) for number, sample in part]
            results = _search(
                model, batch, config, limit=limit, processors=processors, guess=guess, tell=tell
            )
            for (number, _), hypotheses in zip(part, results, strict=True):
                found[number] += hypotheses
    return [sorted(hypotheses, key=lambda each: -each.score) for hypotheses in found]


def _check_lengths(prompts: Sequence[Sequence[int]], *, limit: int, room: float) -> None:
    for number, prompt in enumerate(prompts):
        if not prompt:
            raise UserError(f"prompt {number} has no tokens")
        if len(prompt) + limit > room:
            raise UserError(
                f"a prompt of {len(prompt):,} tokens and {limit:,} to write are more than the {room:,} the model takes: "
                f"write at most {max(0, room - len(prompt)):,}, or shorten the prompt"
            )


def _search(
    model: Decoder | TransformerXL,
    batch: list[tuple[Sequence[int], int]],
    config: SearchConfig,
    *,
    limit: int,
    processors: Sequence[Processor],
    guess: Callable[[], Guess] | None,
    tell: Callable[[int], None] | None,
) -> list[list[Hypothesis]]:
    """Hypotheses for prompts of one length, each with the number of its sample."""
    device = model.device
    together = SENTENCES_TOGETHER if len(batch) > 1 else 1
    filled = batch + [batch[-1]] * (-len(batch) % together)
    tokens = torch.tensor([list(prompt) for prompt, _ in filled], device=device)
    limits = [limit] * len(filled)
    predictor = _predictor(model, tokens, config, limit=limit, guess=guess)
    results = search(
        predictor,
        config,
        model.config.special,
        limits=limits,
        device=device,
        together=together,
        prompts=tokens,
        wanted=torch.arange(len(filled), device=device) < len(batch),
        uniforms=make_uniforms(filled, config, limits=limits).to(device) if config.sample else None,
        processors=processors,
        choose=predictor.choose if isinstance(predictor, ContrastivePredictor) else None,
        tell=tell,
    )
    return results[: len(batch)]


def _predictor(
    model: Decoder | TransformerXL,
    prompts: Tensor,
    config: SearchConfig,
    *,
    limit: int,
    guess: Callable[[], Guess] | None,
) -> Predictor:
    if guess is not None and isinstance(model, Decoder):
        return SpeculativePredictor(model, prompts, capacity=limit, guess=guess())
    if isinstance(model, TransformerXL):
        reader: DecoderPredictor | RecurrentPredictor = RecurrentPredictor(model, prompts)
    else:
        reader = DecoderPredictor(model, prompts, capacity=limit)
    return ContrastivePredictor(reader, config) if config.contrast else reader
