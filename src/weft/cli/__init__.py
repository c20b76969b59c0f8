"""The command line: a thin layer over what Python can call.

Each group of commands lives in a file of its own that is loaded when it is asked for, and a command imports
what computes when it runs: help, and the answer to a mistyped option, come at once, without torch.
"""

import os
import sys
import traceback
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from weft import __version__
from weft.cli.problems import as_line, check_arguments, describe, is_the_users, warn
from weft.errors import Terminated, UserError

__all__ = ["app", "main"]

COMMANDS = {
    "demo": "See a translator being born: three minutes, no files needed.",
    "train": "Train a model on your own text, or go on with a run.",
    "translate": "Translate a text, a file or standard input.",
    "summarize": "Summarize a text, or those of a table.",
    "classify": "Classify a text, a file or standard input.",
    "tag": "Find named entities in texts.",
    "answer": "Find the answer to a question in a text.",
    "fill": "Say what hidden words may have been.",
    "generate": "Go on with a text.",
    "embed": "Turn texts into vectors.",
    "evaluate": "Measure a model on test data.",
    "inspect": "Write a page that shows where a model looked.",
    "info": "Tell what a model is: task, size, configuration, training.",
    "tokenizer": "Train a tokenizer by itself.",
    "import": "Turn a folder of Hugging Face's or CTranslate2's into a weft model.",
    "export": "Turn a weft model into a folder for Hugging Face, CTranslate2, ONNX Runtime or TensorFlow.",
    "bench": "Compare weft with its peers on this machine.",
}
HOMES = {"import": "exchange:import_app", "export": "exchange:export_app"}

app = App(
    name="weft",
    help="From your own text to a trained Transformer in use.",
    version=__version__,
    help_format="plaintext",
    default_parameter=Parameter(negative=(), show_default=lambda value: str(value) if value else None),
    result_action="return_value",
    print_error=False,
    exit_on_error=False,
    suppress_keyboard_interrupt=False,
)
for order, (name, summary) in enumerate(COMMANDS.items()):
    app.command(f"weft.cli.{HOMES.get(name, f'{name}:app')}", name=name, help=summary, sort_key=order)


# Threads that wait for each other turn in place: for so many turns, not the 300,000 that are usual, or a training step
# takes a hundred times as long as soon as another program wants one of the processors.
SPIN = {"GOMP_SPINCOUNT": "5000"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status: 0, 2 for the user's mistake, 1 for ours, 130 for Ctrl-C, 143 for SIGTERM."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    _speak_utf8()
    os.environ.update(SPIN | os.environ)  # before torch is loaded
    try:
        check_arguments(given)
        status = app(given)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except BrokenPipeError:
        return _leave_pipe()
    except KeyboardInterrupt as stop:
        warn(as_line("interrupted", *stop.args))
        return 143 if isinstance(stop, Terminated) else 130
    except (CycloptsError, UserError) as error:
        return _refuse(describe(error, given))
    except Exception as error:
        if is_the_users(error):
            return _refuse(describe(error, given))
        traceback.print_exc()
        warn(as_line("this is a bug of weft's: please report it with the lines above"))
        return 1


def _refuse(message: str) -> int:
    warn(as_line("error", message))
    return 2


def _speak_utf8() -> None:
    """Text goes out as UTF-8 whatever the locale; a terminal that cannot show it all shows marks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            if stream.isatty():
                stream.reconfigure(errors="replace")
            else:
                stream.reconfigure(encoding="utf-8")


def _leave_pipe() -> int:
    # Whoever read our output is gone. What is still buffered would raise once more when Python exits.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return 141  # as a program that the signal SIGPIPE ended
