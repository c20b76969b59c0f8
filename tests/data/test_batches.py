import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.data.batches import BatchPlan, collate
from weft.errors import UserError

lengths_of_rows = st.integers(1, 3).flatmap(
    lambda fields: st.lists(
        st.lists(st.integers(0, 60), min_size=fields, max_size=fields), min_size=1, max_size=200
    )
)


def captions(rows: int) -> np.ndarray:
    """Lengths as those of short translated sentences: skewed, both sides alike but not equal."""
    random = np.random.default_rng(3)
    source = random.gamma(9.0, 1.6, rows) + 3
    target = source * random.normal(0.97, 0.14, rows)
    return np.clip(np.stack([source, target], axis=1).round().astype(int), 3, 60)


@given(lengths_of_rows, st.integers(60, 400), st.integers(0, 2**40))
def test_each_epoch_holds_every_row_once_and_no_batch_passes_the_budget(
    lengths: list[list[int]], tokens: int, seed: int
) -> None:
    table = np.array(lengths)
    plan = BatchPlan(table, tokens=tokens, seed=seed)
    step = 0
    for epoch in range(3):
        batches = [plan.batch(step + index) for index in range(plan.steps_per_epoch(epoch))]
        assert {plan.epoch_of(step), plan.epoch_of(step + len(batches) - 1)} == {epoch}
        step += len(batches)
        assert sorted(np.concatenate(batches)) == list(range(len(table)))
        assert all(len(rows) * table[rows].max() <= tokens for rows in batches)


def test_a_step_is_the_same_whatever_was_asked_before() -> None:
    lengths = captions(3000)
    plan = BatchPlan(lengths, tokens=512, seed=7)
    steps = sum(plan.steps_per_epoch(epoch) for epoch in range(4))
    asked_in_order = [plan.batch(step) for step in range(steps)]
    for step in np.random.default_rng(0).permutation(steps)[:50]:
        resumed = BatchPlan(lengths, tokens=512, seed=7)
        assert np.array_equal(resumed.batch(int(step)), asked_in_order[step])
        assert np.array_equal(plan.batch(int(step)), asked_in_order[step])


def test_epochs_and_seeds_differ() -> None:
    lengths = captions(3000)
    plan = BatchPlan(lengths, tokens=512, seed=7)
    first, second = plan.batch(0), plan.batch(plan.steps_per_epoch(0))
    assert set(first) != set(second)
    assert set(BatchPlan(lengths, tokens=512, seed=8).batch(0)) != set(first)


def test_neighbours_change_between_epochs() -> None:
    lengths = captions(3000)
    plan = BatchPlan(lengths, tokens=512, seed=7)
    middle, end = plan.steps_per_epoch(0), plan.steps_per_epoch(0) + plan.steps_per_epoch(1)
    first, second = (
        {frozenset(plan.batch(step).tolist()) for step in steps}
        for steps in (range(middle), range(middle, end))
    )
    assert len(first & second) < len(first) / 4  # what remains together are the few rows of rare lengths


def test_batches_come_in_no_order_of_length() -> None:
    lengths = captions(3000)
    plan = BatchPlan(lengths, tokens=512, seed=1)
    longest = [int(lengths[plan.batch(step)].max()) for step in range(plan.steps_per_epoch(0))]
    assert abs(np.corrcoef(longest, np.arange(len(longest)))[0, 1]) < 0.4


@pytest.mark.parametrize(("tokens", "most"), [(1024, 0.012), (2048, 0.02), (4096, 0.03)])
def test_padding_is_small(tokens: int, most: float) -> None:
    lengths = captions(29_000)
    plan = BatchPlan(lengths, tokens=tokens, seed=0)
    padding = plan.padding(0)
    assert padding < most
    batches = [plan.batch(step) for step in range(plan.steps_per_epoch(0))]
    positions = sum(len(rows) * lengths[rows, side].max() for rows in batches for side in (0, 1))
    assert padding == pytest.approx(1 - lengths.sum() / positions)
    assert len(batches) < 1.15 * lengths.max(axis=1).sum() / tokens  # and the batches are full


def test_an_epoch_is_planned_fast() -> None:
    plan = BatchPlan(captions(29_000), tokens=2048, seed=0)
    seconds = []
    for epoch in range(5):
        began = time.perf_counter()
        plan.steps_per_epoch(epoch)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.2  # some 20 ms; the rest is allowance for a busy machine


def test_one_side_alone() -> None:
    plan = BatchPlan([3, 1, 2], tokens=3, seed=0)
    assert sorted(tuple(plan.batch(step).tolist()) for step in range(3)) == [(0,), (1,), (2,)]


def test_a_row_larger_than_a_batch_is_named() -> None:
    with pytest.raises(UserError, match=r"example 1 has 30 tokens, more than the 20 of a batch"):
        BatchPlan([[3, 4], [5, 30]], tokens=20, seed=0)


def test_no_rows() -> None:
    with pytest.raises(UserError, match="not a single example"):
        BatchPlan(np.empty((0, 2)), tokens=20, seed=0)


def test_collate_pads_at_the_end() -> None:
    batch = collate([np.array([5, 6], dtype=np.uint16), [7], []], pad_id=1)
    assert batch.tolist() == [[5, 6], [7, 1], [1, 1]]
    assert batch.dtype == np.int64
    assert collate([], pad_id=0).shape == (0, 0)
