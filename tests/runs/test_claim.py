import os
import signal
import time
from pathlib import Path

import pytest

from weft.errors import UserError
from weft.runs.checkpoints import save_checkpoint
from weft.runs.claim import claim, give_back
from weft.runs.folder import update_folder, write_folder


def test_a_new_run_is_made_and_held(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    with claim(run):
        assert run.is_dir()
        with pytest.raises(UserError, match=f"process {os.getpid()} is training into it"), claim(run):
            pass
    with claim(run):  # still empty
        (run / "config.json").touch()
    with pytest.raises(UserError, match="there already, and not empty"), claim(run):
        pass


@pytest.mark.parametrize("there", ["nothing", "folder", "link"])
def test_a_folder_is_given_back_as_it_was_found(there: str, tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    if there == "folder":
        run.mkdir()
    if there == "link":
        other.mkdir()
        run.symlink_to(other)
    with claim(run) as made:
        assert made == (there == "nothing")
        update_folder(run, kind="translate", files={"request.json": b"{}"})
        (run / "data").mkdir()
        (run / "data" / "lines").touch()
        give_back(run, made=made)
    assert run.exists() != made
    assert run.is_symlink() == (there == "link")
    assert made or not list(run.iterdir())


def test_a_run_is_resumed_by_one_process_at_a_time(tmp_path: Path) -> None:
    write_folder(tmp_path / "run", kind="translate", files={})
    with (
        claim(tmp_path / "run", resume=True),
        pytest.raises(UserError, match="training into it"),
        claim(tmp_path / "run", resume=True),
    ):
        pass
    with claim(tmp_path / "run", resume=True):
        assert (tmp_path / "run" / "manifest.json").is_file()


def test_a_run_that_has_only_begun_can_be_resumed_and_is_not_written_over(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with claim(run):
        update_folder(run, kind="translate", files={"request.json": b"{}"})
    with pytest.raises(UserError, match=f"holds a run: go on with it .weft train --resume {run}"), claim(run):
        pass
    with claim(run, resume=True) as made:
        assert not made


def test_a_checkpoint_names_its_run(tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path / "run", 5, tensors={}, state={}, keep=1)
    message = f"a checkpoint of a run: give the run itself: {tmp_path / 'run'}$"
    with pytest.raises(UserError, match=message), claim(checkpoint, resume=True):
        pass


def test_what_is_no_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"), claim(tmp_path / "run", resume=True):
        pass
    assert not (tmp_path / "run").exists()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(UserError, match="run: a file"), claim(tmp_path / "run"):
        pass
    with pytest.raises(UserError, match=r"inner: cannot be made"), claim(tmp_path / "run" / "inner"):
        pass


def test_the_lock_of_a_killed_process_blocks_nobody_even_where_its_worker_lives_on(tmp_path: Path) -> None:
    run = tmp_path / "run"
    held, held_write = os.pipe()
    worker_end, worker_end_write = os.pipe()
    trainer = os.fork()
    if trainer == 0:
        with claim(run):
            if os.fork() == 0:
                os.close(worker_end_write)
                os.read(worker_end, 1)  # a worker that waits until the test is over
                os._exit(0)
            os.write(held_write, b"x")
            time.sleep(60)
    os.read(held, 1)
    with pytest.raises(UserError, match=f"process {trainer} is training into it"), claim(run):
        pass
    os.kill(trainer, signal.SIGKILL)
    os.waitpid(trainer, 0)
    with claim(run):
        pass
    for descriptor in (held, held_write, worker_end, worker_end_write):
        os.close(descriptor)
