"""Numbers that a model's weights were trained with and no configuration says: all forms of a model agree on them."""

__all__ = ["BUCKETS", "FARTHEST", "HASH_FACTOR", "HASH_PRIME", "LAYER_EPSILON", "NOWHERE", "RMS_EPSILON"]

LAYER_EPSILON, RMS_EPSILON = 1e-5, 1e-6
"""Beneath the root of a norm, where its configuration leaves it unsaid."""

BUCKETS, FARTHEST = 32, 128
"""Of relative positions: how many, and the distance from which on all are one (Raffel et al. 2020, section 2.1)."""

HASH_PRIME = 2**31 - 1
HASH_FACTOR = 1_000_003
"""Of the hash of an n-gram; its products with what is below the prime fit into 63 bits."""

NOWHERE = 1e-20
"""The probability of copying what does not stand in the source."""
