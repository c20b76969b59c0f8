"""The search loop: greedy, beam search and sampling differ in how a step's candidates are chosen alone."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from weft.config import SpecialTokens
from weft.generate.beams import Beams, Candidates
from weft.generate.config import SearchConfig
from weft.generate.forced import forced_candidates
from weft.generate.highest import highest
from weft.generate.hypothesis import Hypothesis
from weft.generate.predictor import Predictor
from weft.generate.processors import Processor, rules_of_length, rules_of_repetition
from weft.generate.sampling import draw, truncate

__all__ = ["search"]

WORTH_LEAVING = 0.9


def search(
    predictor: Predictor,
    config: SearchConfig,
    special: SpecialTokens,
    *,
    limits: Sequence[int],
    device: torch.device,
    together: int = 1,
    wanted: Bool[Tensor, " M"] | None = None,
    prompts: Int[Tensor, "M P"] | None = None,
    uniforms: Float[Tensor, "M L"] | None = None,
    processors: Sequence[Processor] = (),
    choose: Callable[[Float[Tensor, "M V"]], Int[Tensor, " M"]] | None = None,
    tell: Callable[[int], None] | None = None,
) -> list[list[Hypothesis]]:
    """Each sentence's hypotheses, the best first, of at most as many tokens as its limit says.

    Sentences that are over leave the predictor's batch, as long as a multiple of `together` stays; those that are not
    `wanted` were never in it but to make up that number. What is forced needs one limit for all. What stands in
    `prompts` counts as said where a rule forbids to repeat it. `uniforms` are the numbers in [0, 1) by which sampling draws
    each token; without them, nothing is drawn. `processors` come after the configuration's own. `choose` takes a token of
    each row by its scores, where greedy search would take the best. `tell` hears each token of the first row as it is
    chosen, the end token too.
    """
    groups = config.groups  # each searches as if it were a sentence of its own
    limits = [limit for limit in limits for _ in range(groups)]
    beams = Beams(_in_group(config), special, limits=limits, device=device)
    if wanted is not None:
        beams.over = (~wanted).repeat_interleave(groups)
    repetition = rules_of_repetition(config, device=device)
    rules = [*rules_of_length(config, special, limit=max(limits)), *processors]
    found: list[list[Hypothesis]] = [[] for _ in limits[::groups]]
    numbers = torch.arange(len(found), device=device)  # of the sentences in the batch
    while True:
        scores = predictor.predict(beams.last if beams.length else beams.last[::groups]).float()
        if groups > 1 and not beams.length:
            each = torch.arange(len(scores), device=device).repeat_interleave(groups)
            predictor.reorder(each)
            scores = scores[each]
        if config.beams > 1 or config.forced:  # as in Hugging Face, whose other searches process logits
            scores = scores.log_softmax(-1)
        if repetition:
            said = beams.behind(None if prompts is None else prompts[numbers].repeat_interleave(groups, 0))
            for process in repetition:
                scores = process(said, scores)
        for process in rules:
            scores = process(beams.sofar, scores)
        if config.forced:
            candidates = forced_candidates(scores, beams, words=config.forced)
        elif groups > 1:
            candidates = _diverse(scores, beams, groups=groups, cost=config.diversity)
        elif config.beams > 1:
            candidates = _best(scores, beams.totals, count=2 * config.beams)
        elif uniforms is None:
            tokens = highest(scores, 1).indices[:, 0] if choose is None else choose(scores)
            candidates = _take(tokens, scores, beams.totals)
        else:
            tokens = draw(truncate(scores, config), uniforms[numbers, beams.length])
            candidates = _take(tokens, scores, beams.totals)
        over, width = beams.over, beams.totals.shape[1]
        parents = beams.advance(candidates)
        if tell is not None:
            tell(int(candidates.tokens[0, 0]))

        for row in (beams.over & ~over).nonzero()[:, 0].tolist():
            found[int(numbers[row // groups])] += beams.hypotheses(row)
        if beams.over.all():
            return [_first(each, config.nbest) for each in found]
        stay = _staying(beams.over.view(-1, groups).all(1), together=together)
        running = (stay[:, None] * groups + torch.arange(groups, device=device)).flatten()
        if len(stay) < len(numbers):
            numbers = numbers[stay]
            beams.keep(running)
            predictor.keep(stay)
        rows = (running[:, None] * width + parents[running]).flatten()
        if len(rows) != len(scores) or not torch.equal(rows, torch.arange(len(rows), device=device)):
            predictor.reorder(rows)


def _in_group(config: SearchConfig) -> SearchConfig:
    """How each group searches by itself."""
    size = config.beams // config.groups
    return config.model_copy(update={"beams": size, "nbest": min(size, config.nbest)})


def _first(hypotheses: list[Hypothesis], count: int) -> list[Hypothesis]:
    """The best of what all groups found; where several found the same, it is there once."""
    found: dict[tuple[int, ...], Hypothesis] = {}
    for each in sorted(hypotheses, key=lambda each: -each.score):
        found.setdefault(tuple(each.tokens), each)
    return list(found.values())[:count]


def _diverse(logprobs: Float[Tensor, "B V"], state: Beams, *, groups: int, cost: float) -> Candidates:
    """The best continuations of one group after the other, of which each pays for what those before it go on with."""
    size = state.config.beams
    scores = logprobs.view(-1, groups, state.totals.shape[1], logprobs.shape[-1])  # (M, G, N, V)
    totals, over = state.totals.view(len(scores), groups, -1), state.over.view(-1, groups)
    taken = torch.zeros_like(scores[:, 0, 0])  # (M, V): how often each token was chosen
    parts = []
    for group in range(groups):
        left = scores[:, group] - cost * taken[:, None]
        found = _best(left.flatten(0, 1), totals[:, group], count=2 * size)
        each = scores[:, group].flatten(1).gather(1, found.beams * scores.shape[-1] + found.tokens)
        parts.append(found._replace(logprobs=each))  # the model's own
        order = found.tokens.eq(state.end).byte().sort(dim=1, stable=True).indices[:, :size]
        goes_on = (found.totals.gather(1, order) > -torch.inf) & ~over[:, group, None]
        taken.scatter_add_(1, found.tokens.gather(1, order), goes_on.to(taken.dtype))
    return Candidates(*(torch.stack(field, dim=1).flatten(0, 1) for field in zip(*parts, strict=True)))


def _best(logprobs: Float[Tensor, "B V"], totals: Float[Tensor, "M N"], *, count: int) -> Candidates:
    """The best of each sentence's N · V continuations; of twice the beams, enough go on even if the others end."""
    sentences, beams = totals.shape
    top = highest(logprobs, min(count, logprobs.shape[-1]))  # no beam has more among its sentence's best
    each = top.values.view(sentences, beams, -1)
    summed, best = (totals[..., None] + each).flatten(1).topk(min(count, each[0].numel()))
    tokens = top.indices.view(sentences, -1).gather(1, best)
    return Candidates(summed, each.flatten(1).gather(1, best), best // each.shape[-1], tokens)


def _take(
    tokens: Int[Tensor, " B"], scores: Float[Tensor, "B V"], totals: Float[Tensor, "B 1"]
) -> Candidates:
    """Each row's chosen token as its only candidate."""
    tokens = tokens[:, None]
    logprobs = scores.log_softmax(-1).gather(1, tokens)
    return Candidates(totals + logprobs, logprobs, torch.zeros_like(tokens), tokens)


def _staying(over: Bool[Tensor, " M"], *, together: int) -> Int[Tensor, " R"]:
    """The sentences to go on with: those that are not over, filled up to a multiple of `together`.

    All of them where few are over: to leave costs a copy of what all the others have read.
    """
    running = len(over) - int(over.sum())
    size = min(len(over), -(-running // together) * together)
    if size > len(over) * WORTH_LEAVING:
        size = len(over)
    return over.byte().argsort(stable=True)[:size].sort().values
