"""The training loop: exact to the bit however often it is killed, and on time when it is given minutes."""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from weft.config import TrainConfig
from weft.errors import UserError
from weft.nn.precision import training_dtype
from weft.runs.checkpoints import latest_checkpoint, load_checkpoint, save_checkpoint
from weft.runs.folder import Content, update_folder
from weft.runs.state import flatten_state, unflatten_state
from weft.runs.tensors import MODEL, load_tensors, save_tensors
from weft.tasks.task import Batch, Task, Validation, Worth
from weft.training.average import Average
from weft.training.curves import draw_curves
from weft.training.metrics import METRICS, Metrics
from weft.training.optimizers import make_optimizers
from weft.training.pace import Pace
from weft.training.report import Reporter, Result
from weft.training.schedule import Plan, learning_rate
from weft.training.stopping import Stopping
from weft.training.world import World

__all__ = ["PLAN", "Trainer"]

PLAN = "plan.json"
CURVES = "curves.svg"
LAST = "last.safetensors"
SAVE_SHARE = 0.02  # of the time may go into checkpoints
SAVE_SECONDS = 20.0
AVERAGES = 50  # weights that the average is made of, at the most
TELL_SECONDS = 0.2
OVERFITTING = 2  # validations without a gain, after which a word is due
NAMED = 5  # of the examples of a batch that went wrong


class Trainer:
    """Trains a model on a task, in a run's folder that the caller has claimed.

    All that shapes the weights is a function of the configuration, the data and the plan on disk: a step's batch and its
    random numbers come from (seed, step), never from what went before.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        *,
        config: TrainConfig,
        folder: Path,
        kind: str,
        reporter: Reporter,
        world: World,
        began: float,
    ) -> None:
        self.model = model
        self.task = task
        self.config = config
        self.folder = folder
        self.kind = kind
        self.reporter = reporter
        self.world = world
        self.device = next(model.parameters()).device
        self.optimizers = make_optimizers(model, config)
        self.batches = task.batches(tokens=config.batch_tokens, seed=config.seed)
        self.pace = Pace(config, self.batches, began=began, scored=task.held_out / max(1, task.scored))
        self.plan = Plan.load(folder / PLAN)
        self.average = Average()
        self.done = 0  # steps
        self.tokens = 0
        self.best: Worth | None = None  # of the weights that validated best
        self.without_gain = 0
        self.metrics: Metrics | None = None

    def run(self) -> Result:
        """Train to the end, from the last checkpoint if there is one."""
        self._resume()
        with ExitStack() as stack:
            if self.world.leads:
                metrics = Metrics(self.folder, step=self.done, tensorboard=self.config.tensorboard)
                self.metrics = stack.enter_context(metrics)
            with Stopping(hold=self.world.size == 1) as stopping:
                self._train(stopping)
            result = self._finish()
            if self.metrics is not None:
                self.metrics.finish(self.done, result._asdict())
                draw_curves(self.folder / METRICS, self.folder / CURVES)
        self.reporter.finish(result)
        return result

    def _train(self, stopping: Stopping) -> None:
        """Steps, validations and checkpoints, until the plan says that it is over."""
        saved = told = time.monotonic()
        save_seconds = 0.0
        while True:
            self._follow(self.pace.decide(self.plan, step=self.done))
            if self.plan.steps is not None and self.done >= self.plan.steps:
                break
            begin = time.monotonic()
            loss = self.step(self.done)
            now = time.monotonic()
            self.pace.time_step(self.done, now - begin)
            self.done += 1
            self._record(loss)
            if now - told > TELL_SECONDS or self.done == self.plan.steps:
                told = now
                self._tell(loss)
            validated = self._validate_if_due()
            asked = stopping.asked is not None
            if validated or asked or now - saved > max(SAVE_SECONDS, save_seconds / SAVE_SHARE):
                begin = time.monotonic()
                self._save()
                saved = time.monotonic()
                save_seconds = saved - begin
            if asked:
                stopping.give_way()
        self._save()

    def step(self, step: int) -> float:
        """One update of the weights; gives back the loss, in nats a token."""
        rate = learning_rate(step, self.config, self.plan)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate * group["scale"]
        rows = self.batches.batch(step)
        self.task.begin_step(_mix(self.config.seed, step, 0))
        parts = self._parts(rows)
        counts = self._counts(rows, parts)
        self.model.train()
        torch.manual_seed(_mix(self.config.seed, step, self.world.rank))
        total = 0.0
        for part in parts:
            try:
                total += self._backward(part, counts)
            except torch.OutOfMemoryError as error:
                raise UserError(self._no_room(step)) from error
        self.world.sum_gradients(self.model)
        size = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        loss = self.world.sum(total)
        if not math.isfinite(loss) or not math.isfinite(size):
            raise UserError(self._diverged(step, rows, loss=loss))
        for optimizer in self.optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self._add_to_average(step)
        self.tokens += int(self.task.lengths[rows].sum())
        return loss

    def _backward(self, part: Batch, counts: dict[str, int]) -> float:
        """Add a part's gradients to those there are; gives its share of the loss."""
        with self._precision():
            losses = self.task.loss(self.model, self.task.to(part, self.device))
            joined = torch.stack([loss.total / counts[name] for name, loss in losses.items()]).sum()
        joined.backward()  # type: ignore[no-untyped-call]
        return float(joined.detach())

    def _no_room(self, step: int) -> str:
        parts = self.config.accumulate
        return (
            f"step {step}: the memory of {self.device} is full: begin again with --set train.accumulate={2 * parts}, "
            f"which works on a batch in {2 * parts} parts and ends with the same weights to rounding, or with a smaller "
            f"train.batch_tokens than {self.config.batch_tokens}"
        )

    def _diverged(self, step: int, rows: Any, *, loss: float) -> str:
        """What there is to know about a step whose loss or gradient is no number; the weights are those before it."""
        places = [self.task.place(int(row)) for row in rows]
        named = ", ".join(places[:NAMED]) + (
            f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
        )
        last = latest_checkpoint(self.folder)
        return (
            f"step {step}: {'the gradient' if math.isfinite(loss) else 'the loss'} is not finite: try a smaller "
            f"train.learning_rate than {self.config.learning_rate:g}. The batch: {named}. "
            f"The last good checkpoint: {last or 'none yet'}"
        )

    def _record(self, loss: float) -> None:
        if self.metrics is not None:
            self.metrics.step(
                self.done,
                seconds=self.pace.elapsed,
                loss=loss,
                learning_rate=learning_rate(self.done - 1, self.config, self.plan),
                tokens_per_second=self.tokens / self.done / self.pace.seconds_per_step,
            )

    def _parts(self, rows: Any) -> list[Batch]:
        """This process's share of a batch, in the parts that are worked on one after the other."""
        accumulate, world = self.config.accumulate, self.world
        shares = [rows[part :: world.size * accumulate] for part in range(world.size * accumulate)]
        mine = shares[world.rank * accumulate : (world.rank + 1) * accumulate]
        return [self.task.collate(share) for share in mine if len(share)]

    def _counts(self, rows: Any, parts: list[Batch]) -> dict[str, int]:
        """What each loss is divided by: its tokens in the whole batch, over all parts and processes."""
        whole = parts[0] if self.world.size * self.config.accumulate == 1 else self.task.collate(rows)
        return {name: max(1, count) for name, count in self.task.count(whole).items()}

    def _precision(self) -> torch.autocast:
        dtype = training_dtype(self.config.precision, self.device.type)
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16)

    def _add_to_average(self, step: int) -> None:
        if self.plan.steps is None or not self.config.average:
            return
        span = max(1, round(self.plan.steps * self.config.average))
        left = self.plan.steps - 1 - step
        if left < span and left % max(1, span // AVERAGES) == 0:
            self.average.add(self.model)

    def _follow(self, decided: Plan) -> None:
        """Make the leading process's decision everybody's, on disk before it is acted upon."""
        plan = self.world.agree(decided)
        if plan == self.plan:
            return
        if self.plan.steps is not None:
            self._save()  # a resumed run begins after a change of its length, never before
        if self.world.leads:
            plan.save(self.folder / PLAN)
        self.world.wait()
        self.plan = plan

    def _validate_if_due(self) -> bool:
        every = self.plan.validate_every
        if every is None or self.done % every or self.done == self.plan.steps:
            return False
        begin = time.monotonic()
        found = self._measure(scored=self.task.scored)
        self.pace.seconds_per_validation = time.monotonic() - begin
        if found is None:
            return True
        better = self.best is None or found.worth > self.best
        self.without_gain = 0 if better else self.without_gain + 1
        if better:
            self.best = found.worth
            self._keep(MODEL, self.model.state_dict())
        if self.metrics is not None:
            self.metrics.validation(
                self.done, seconds=self.pace.elapsed, validation_loss=found.loss, **found.scores
            )
        self.reporter.validation(self.done, found.loss, found.scores, better)
        worse = self.best is not None and found.loss > -self.best.minus_loss
        if self.without_gain == OVERFITTING and worse:
            self.reporter.message(
                f"no gain in {OVERFITTING} validations: the model begins to learn the training "
                "text by heart (the best weights are kept)"
            )
        if self.config.patience is not None and self.without_gain >= self.config.patience:
            self.reporter.message(f"no gain in {self.without_gain} validations: the run ends here")
            self._follow(self.plan._replace(steps=self.done))
        return True

    def _measure(self, *, scored: int) -> Validation | None:
        """The leading process validates, and all know."""
        found = None
        if self.world.leads:
            self.model.eval()
            with self._precision():
                found = self.task.validate(self.model, scored=scored)
        agreed: Validation | None = self.world.agree(found)
        return agreed

    def _finish(self) -> Result:
        """Keep the last weights, their average or the best so far: what does best on the held-out examples."""
        last = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self._keep(LAST, last)
        found = self._measure(scored=0)
        kept = "last"
        if self.average.count > 1:
            self.average.put_into(self.model)
            averaged = self._measure(scored=0)
            if found is None or (averaged is not None and averaged.worth >= found.worth):
                kept, found = "average", averaged
            else:
                self.model.load_state_dict(last)
        if found is not None and self.best is not None and self.best > found.worth:
            kept = "best"
            self.model.load_state_dict(
                load_tensors(self.folder / MODEL, {name: tensor.shape for name, tensor in last.items()})
            )
        self._keep(MODEL, self.model.state_dict(), beside=self._settle())
        found = self._measure(scored=self.task.held_out)
        return Result(
            steps=self.done,
            loss=found.loss if found else None,
            scores=found.scores if found else {},
            kept=kept,
            seconds=self.pace.elapsed,
            tokens=self.tokens,
            padding=self.batches.padding(0),
        )

    def _settle(self) -> dict[str, Content]:
        if not self.world.leads:
            return {}
        self.model.eval()
        return self.task.settle(self.model)

    def _keep(
        self, name: str, tensors: dict[str, Tensor], *, beside: Mapping[str, Content] | None = None
    ) -> None:
        if self.world.leads:
            write: Callable[[Path], None] = partial(save_tensors, tensors=tensors)
            update_folder(self.folder, kind=self.kind, files={name: write, **(beside or {})})

    def _save(self) -> None:
        if not self.world.leads:
            return
        state: dict[str, Any] = {
            "step": self.done,
            "tokens": self.tokens,
            "best": None if self.best is None else list(self.best),
            "without_gain": self.without_gain,
            "averaged": self.average.count,
            "pace": self.pace.state(),
        }
        tensors: dict[str, dict[str, Tensor]] = {"model": dict(self.model.state_dict())}
        for name, optimizer in self.optimizers.items():
            tensors[name], state[name] = flatten_state(optimizer.state_dict())
        if self.average.count:
            tensors["average"] = self.average.tensors
        if carried := self.task.state():
            tensors["carried"] = carried
        save_checkpoint(self.folder, self.done, tensors=tensors, state=state, keep=2)

    def _resume(self) -> None:
        path = latest_checkpoint(self.folder)
        if path is None:
            return
        tensors, state = load_checkpoint(path)
        self.model.load_state_dict(tensors["model"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(unflatten_state(tensors.get(name, {}), state[name]))
        self.task.load_state(self.task.to(tensors.get("carried", {}), self.device))
        averaged = tensors.get("average", {})
        self.average.count = state["averaged"]
        self.average.tensors = {name: tensor.to(self.device) for name, tensor in averaged.items()}
        self.done, self.tokens = state["step"], state["tokens"]
        self.best = None if state["best"] is None else Worth(*state["best"])
        self.without_gain = state["without_gain"]
        self.pace.load(state["pace"])
        self.reporter.message(f"resumed at step {self.done:,}")

    def _tell(self, loss: float) -> None:
        total, seconds_left = self.pace.expect(self.plan, step=self.done)
        tokens_per_second = self.tokens / self.done / self.pace.seconds_per_step
        rate = learning_rate(self.done - 1, self.config, self.plan)
        self.reporter.step(self.done, total, loss, tokens_per_second, rate, seconds_left)


def _mix(seed: int, step: int, rank: int) -> int:
    """One seed from three numbers, the same on every machine (SplitMix64's finalizer)."""
    value = (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + rank * 0x94D049BB133111EB) & (2**64 - 1)
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    return (value ^ (value >> 27)) & (2**63 - 1)
