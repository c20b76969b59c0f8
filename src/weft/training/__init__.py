"""The training recipe: optimizers, schedules, the loop and its exactness."""
