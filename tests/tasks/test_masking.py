"""Which tokens masked language modelling hides."""

import torch

from weft.tasks.masking import mask_tokens

MASK_ID, VOCABULARY = 5, 100


def test_fifteen_in_a_hundred_are_chosen_and_most_of_them_hidden() -> None:
    torch.manual_seed(0)
    tokens = torch.randint(MASK_ID + 1, VOCABULARY, (400, 500))
    maskable = torch.ones_like(tokens, dtype=torch.bool)
    masked = mask_tokens(tokens, maskable=maskable, mask_id=MASK_ID, vocabulary=VOCABULARY)
    chosen = masked.chosen
    assert abs(chosen.float().mean() - 0.15) < 0.005
    assert torch.equal(masked.tokens[~chosen], tokens[~chosen])
    hidden = masked.tokens[chosen] == MASK_ID
    same = masked.tokens[chosen] == tokens[chosen]
    assert abs(hidden.float().mean() - 0.8) < 0.01
    assert abs(same.float().mean() - 0.1) < 0.01
    random = masked.tokens[chosen][~hidden & ~same]
    assert len(set(random.tolist())) == VOCABULARY - MASK_ID - 1
    assert random.min() > MASK_ID


def test_what_is_not_to_be_masked_stays() -> None:
    torch.manual_seed(0)
    tokens = torch.randint(0, VOCABULARY, (50, 60))
    maskable = tokens > MASK_ID
    masked = mask_tokens(tokens, maskable=maskable, mask_id=MASK_ID, vocabulary=VOCABULARY)
    assert masked.chosen.any()
    assert not masked.chosen[~maskable].any()
    assert torch.equal(masked.tokens[~maskable], tokens[~maskable])
