"""What may be written at all: a JSON schema, a regular expression or a list of texts, kept to token by token."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from weft.errors import UserError
from weft.text.tokenizer import Tokenizer

__all__ = ["Grammar"]


class Grammar:
    """A rule of the search by which only tokens may follow that lead to a whole text of the grammar, and the end only there.

    Which tokens these are is `llguidance`'s to say. Raises UserError where a grammar is malformed, or nothing meets it, and
    where a tokenizer's pieces do not spell a text by themselves.
    """

    def __init__(self, tokenizer: Tokenizer, grammar: str) -> None:
        from llguidance import LLMatcher

        self.end = tokenizer.eos_id
        unwritten = {tokenizer.pad_id, tokenizer.bos_id, tokenizer.unk_id}
        self.never = sorted(unwritten - {self.end})  # in some models the end stands for all of these
        spelled = _spelled(tokenizer)
        if error := LLMatcher.validate_grammar(grammar, spelled):
            raise UserError(f"the grammar cannot be read: {' '.join(error.split())}")
        begin = LLMatcher(spelled, grammar, log_level=0)
        self.matchers: dict[tuple[int, ...], Any] = {(): begin}
        if not self._allowed(begin).any():
            raise UserError("no text meets the grammar")

    @classmethod
    def make(
        cls,
        tokenizer: Tokenizer,
        *,
        schema: Mapping[str, Any] | str | None = None,
        regex: str | None = None,
        choices: Sequence[str] = (),
    ) -> "Grammar | None":
        """The grammar of the one that is given; None where none is."""
        every = {"schema": schema, "regex": regex, "choices": choices or None}
        given = [name for name, value in every.items() if value is not None]
        if not given:
            return None
        if len(given) > 1:
            raise UserError(f"{' and '.join(given)}: a text is held to one of them")
        try:
            from llguidance import LLMatcher
        except ImportError as error:
            raise UserError(
                f"{given[0]}: texts are held to it by the llguidance library: pip install llguidance"
            ) from error
        if schema is not None:
            written = schema if isinstance(schema, str) else json.dumps(schema)
            compact: Any = {
                "whitespace_flexible": False
            }  # a model that knows little would write blanks for ever
            try:
                return cls(tokenizer, LLMatcher.grammar_from_json_schema(written, overrides=compact))
            except ValueError as error:
                raise UserError(f"schema: not a JSON schema ({' '.join(str(error).split())})") from error
        if regex is not None:
            return cls(tokenizer, LLMatcher.grammar_from_regex(regex))
        texts = " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)
        return cls(tokenizer, LLMatcher.grammar_from_lark(f"start: {texts}"))

    def __call__(self, tokens: Int[Tensor, "B T"], scores: Float[Tensor, "B V"]) -> Float[Tensor, "B V"]:
        """Forbid what cannot follow; `tokens` begin with the start token."""
        written = [tuple(row) for row in tokens[:, 1:].tolist()]
        self.matchers = {row: self._after(row) for row in dict.fromkeys([(), *written])}
        for number, row in enumerate(written):
            matcher = self.matchers[row]
            if self.end not in row and matcher is not None:
                allowed = self._allowed(matcher)[: scores.shape[1]]
                scores[number, len(allowed) :] = -torch.inf
                scores[number, : len(allowed)].masked_fill_(~allowed.to(scores.device), -torch.inf)
        return scores

    def _allowed(self, matcher: Any) -> Bool[Tensor, " V"]:
        """What may follow; what stands for nothing that can be written never does."""
        allowed = torch.frombuffer(bytearray(matcher.compute_logit_bias()), dtype=torch.uint8) > 0
        if matcher.is_error():
            raise UserError(
                f"the grammar is too large to be followed: {' '.join(matcher.get_error().split())}"
            )
        allowed[self.never] = False
        return allowed

    def _after(self, tokens: tuple[int, ...]) -> Any:
        """The state after these tokens, of which all but the last were seen one step before, or none at all; None after
        what no text of the grammar begins with, as in a beam that is dead.
        """
        if tokens in self.matchers:
            return self.matchers[tokens]
        known = next(
            size for size in range(len(tokens) - 1, -1, -1) if tokens[:size] in self.matchers or not size
        )
        before = self.matchers[tokens[:known]]
        matcher = None if before is None else before.deep_copy()
        for token in tokens[known:]:
            if matcher is not None and token != self.end and not matcher.consume_token(token):
                matcher = None
        return matcher


def _spelled(tokenizer: Tokenizer) -> Any:
    """The tokenizer as the library takes it: with the bytes of each piece."""
    from llguidance import LLTokenizer, TokenizerWrapper

    if (pieces := tokenizer.whole_pieces) is None:
        try:
            return LLTokenizer(tokenizer.file, eos_token=tokenizer.eos_id)
        except ValueError as error:
            raise UserError(
                "the pieces of the model's tokenizer do not spell a text by themselves, so it can be held to no grammar"
            ) from error

    class Spelled:
        eos_token_id = tokenizer.eos_id
        bos_token_id = tokenizer.bos_id
        tokens = pieces
        special_token_ids = (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id)

        def __call__(self, text: str) -> list[int]:
            (ids,) = tokenizer.encode([text])
            return ids

    return LLTokenizer(TokenizerWrapper(Spelled()))
