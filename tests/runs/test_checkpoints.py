import subprocess
import sys
from pathlib import Path

import pytest
import torch

from weft.errors import UserError
from weft.runs.checkpoints import (
    DamagedCheckpointError,
    checkpoint_step,
    checkpoints,
    latest_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from weft.runs.folder import write_folder


def save(run: Path, step: int, *, keep: int = 3, value: float | None = None) -> Path:
    weights = torch.full((100,), float(step) if value is None else value)
    return save_checkpoint(
        run, step, tensors={"model": {"w": weights}, "none": {}}, state={"step": step}, keep=keep
    )


def steps(run: Path) -> list[int]:
    return [checkpoint_step(path) for path in checkpoints(run)]


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) is None
    path = save(tmp_path, 1200)
    assert path == tmp_path / "checkpoints" / "step-00001200"
    assert latest_checkpoint(tmp_path) == path
    tensors, state = load_checkpoint(path)
    assert state == {"step": 1200}
    assert tensors["model"]["w"].tolist() == [1200.0] * 100
    assert tensors["none"] == {}


def test_the_newest_are_kept_by_number(tmp_path: Path) -> None:
    for step in (9, 99_999_999, 100_000_000, 200_000_000):
        save(tmp_path, step)
    assert steps(tmp_path) == [99_999_999, 100_000_000, 200_000_000]


def test_later_steps_of_an_abandoned_course_go(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step)
    save(tmp_path, 2, value=7.0)
    assert steps(tmp_path) == [1, 2]
    assert load_checkpoint(tmp_path / "checkpoints" / "step-00000002")[0]["model"]["w"][0] == 7.0
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "step-00000001",
        "step-00000002",
    ]


def test_what_stepped_aside_counts_until_its_successor_is_down(tmp_path: Path) -> None:
    path = save(tmp_path, 4, keep=1)
    path.rename(path.with_name("step-00000004.old"))
    latest = latest_checkpoint(tmp_path)
    assert latest is not None
    assert load_checkpoint(latest)[1] == {"step": 4}
    save(tmp_path, 4, keep=1)
    assert [entry.name for entry in (tmp_path / "checkpoints").iterdir()] == ["step-00000004"]


def test_leftovers_are_ignored_and_removed(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "checkpoints" / ".tmp-step-00000009-abcdef01").mkdir()
    assert steps(tmp_path) == [1]
    save(tmp_path, 2)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


@pytest.mark.parametrize("name", ["model.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("harm", ["byte", "cut", "lost"])
def test_a_damaged_one_names_the_whole_one_before_it(name: str, harm: str, tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save(tmp_path, step)
    for step in (2, 3):
        file = tmp_path / "checkpoints" / f"step-0000000{step}" / name
        content = bytearray(file.read_bytes())
        content[0] ^= 1
        if harm == "lost":
            file.unlink()
        else:
            file.write_bytes(content if harm == "byte" else content[:-5])
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    with pytest.raises(DamagedCheckpointError, match=f"{name}: .*damaged") as caught:
        load_checkpoint(newest)
    assert caught.value.older == tmp_path / "checkpoints" / "step-00000001"
    assert f"step-00000001, is whole: move {newest} away, and weft train --resume {tmp_path}" in str(
        caught.value
    )


def test_a_damaged_only_one_says_so(tmp_path: Path) -> None:
    path = save(tmp_path, 1)
    (path / "state.json").write_text("{}")
    with pytest.raises(DamagedCheckpointError, match="no whole one is left before it") as caught:
        load_checkpoint(path)
    assert caught.value.older is None


def test_other_folders_are_no_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        load_checkpoint(tmp_path / "checkpoints" / "step-00000001")
    write_folder(tmp_path / "model", kind="translate", files={})
    with pytest.raises(UserError, match="where a checkpoint of a run is needed"):
        load_checkpoint(tmp_path / "model")


@pytest.mark.parametrize("state", [{"a": (1, 2)}, {"a": {1: 2}}])
def test_a_state_that_json_would_change_is_refused(state: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="must be plain JSON"):
        save_checkpoint(tmp_path, 1, tensors={}, state=state, keep=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="JSON"):
        save_checkpoint(tmp_path, 1, tensors={}, state={"a": float("nan")}, keep=1)
    assert checkpoints(tmp_path) == []


FULL_DISK = """
import resource, signal, sys, torch
from pathlib import Path
from weft.errors import UserError
from weft.runs.checkpoints import save_checkpoint
run = Path(sys.argv[1])
save_checkpoint(run, 1, tensors={"model": {"w": torch.zeros(1000)}}, state={}, keep=1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    save_checkpoint(run, 2, tensors={"model": {"w": torch.zeros(100_000)}}, state={}, keep=1)
except UserError as error:
    print(error)
"""


def run_program(program: str, *arguments: object) -> str:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


def test_a_disk_that_takes_no_more_ends_in_a_clear_error_with_the_last_one_whole(tmp_path: Path) -> None:
    message = run_program(FULL_DISK, tmp_path)
    assert "the checkpoint of step 2 cannot be written (model.safetensors: " in message
    assert "step-00000001, is whole: make room, then weft train --resume" in message
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
    assert load_checkpoint(tmp_path / "checkpoints" / "step-00000001")[1] == {}


# Forks from one process that has loaded torch: in each child, death comes at the next system call in turn.
KILLED = """
import os, pathlib, random, shutil, signal, sys, time, torch
from pathlib import Path
from weft.runs.checkpoints import latest_checkpoint, load_checkpoint, save_checkpoint
from weft.runs.folder import update_folder, verify

def weights(step):
    large, small = torch.full((20_000,), float(step)), torch.full((9,), step + 0.5)
    return {"model": {"w": large}, "optimizer": {"m": small}}

def save(run, step, keep=1):
    update_folder(run, kind="t", files={"a": b"a%d" % step, "b": b"b%d" % step})
    save_checkpoint(run, step, tensors=weights(step), state={"step": step}, keep=keep)

def check(run, least):
    path = latest_checkpoint(run)
    assert path is not None, "no checkpoint left"
    tensors, state = load_checkpoint(path)
    step = state["step"]
    assert step >= least, (step, least)
    assert all(torch.equal(tensors[g][n], w) for g, named in weights(step).items() for n, w in named.items())
    verify(run)
    return step

def wait(child):
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])

def die_at(call):
    done = 0
    def wrap(function):
        def counted(*arguments, **named):
            nonlocal done
            done += 1
            if done == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **named)
        return counted
    os.fsync = lambda descriptor: None  # what is in the system's memory outlives the process
    for name in ("fsync", "rename", "replace", "unlink", "rmdir", "mkdir"):
        setattr(os, name, wrap(getattr(os, name)))

def every_call(base, steps, next_step):
    for step in steps:
        save(base, step, keep=len(steps))
    call, killed = 0, True
    while killed:
        call += 1
        run = base.with_name(f"{base.name}-{call}")
        shutil.copytree(base, run)
        child = os.fork()
        if child == 0:
            die_at(call)
            save(run, next_step)
            os._exit(0)
        killed = wait(child)
        check(run, steps[0])
        if killed and call % 4 == 0:  # and the next process goes on from there
            save(run, next_step)
            check(run, next_step)
    assert check(run, next_step) == next_step
    left = sorted(p.name for p in (run / "checkpoints").iterdir())
    assert left == [f"step-{next_step:08d}"], left
    assert (run / "a").read_bytes() == b"a%d" % next_step
    return call

def at_random(run, rounds):
    step = 1
    save(run, step)
    for seed in range(rounds):
        ready, done = os.pipe()
        child = os.fork()
        if child == 0:
            while True:
                step += 1
                save(run, step)
                os.write(done, b"x")
        saved = sum(len(os.read(ready, 1)) for _ in range(seed % 3))
        time.sleep(random.Random(seed).uniform(0.0, 0.03))
        os.kill(child, signal.SIGKILL)
        wait(child)
        os.close(ready)
        os.close(done)
        step = check(run, step + saved)
    return step

run = Path(sys.argv[1])
for name, steps in {"next": [1], "same": [2], "back": [1, 5]}.items():
    print(every_call(run / name, steps, 2))
print(at_random(run / "random", 15))
"""


def test_killed_at_any_moment_a_whole_checkpoint_is_left(tmp_path: Path) -> None:
    *calls, reached = map(int, run_program(KILLED, tmp_path).split())
    assert len(calls) == 3
    assert min(calls) > 20
    assert reached > 15
