"""A parallel corpus in English, German and French that a grammar generates, for `weft demo` and first steps.

A sentence is drawn as a meaning (`grammar`, `clauses`, `phrases`, `choices`) from the tables in `lexicon/`,
and then said in each language (`en`, `de`, `fr`).
"""

from weft.corpus.split import Triple, generate, split_corpus, write_corpus

__all__ = ["Triple", "generate", "split_corpus", "write_corpus"]
