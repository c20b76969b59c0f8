"""What went wrong, in one line for the user."""

import errno
import re
import sys
from collections.abc import Sequence
from itertools import takewhile

from cyclopts import CycloptsError, UnknownCommandError, UnknownOptionError, UnusedCliTokensError

from weft.cli.options import OPTIONS
from weft.errors import UserError, suggest

__all__ = ["as_line", "check_arguments", "describe", "is_the_users", "warn"]

# A full or read-only disk and a path that leads nowhere are no bugs of ours.
ENVIRONMENT = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}

SETTING = re.compile(rf"""(?<![\w"./-])({"|".join(OPTIONS)})(?![\w"./=-])""")


def warn(line: str) -> None:
    """Say something beside the output."""
    sys.stderr.write(f"{line}\n")


def as_line(*parts: str) -> str:
    """One line that begins with the program's name.

    >>> as_line("error", "no such\\n folder")
    'weft: error: no such folder'
    """
    return " ".join(": ".join(["weft", *parts]).split())


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse bytes that are not UTF-8, which Python hands on as lone surrogates."""
    for position, argument in enumerate(arguments, start=1):
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"argument {position} is not UTF-8: {argument!r}") from error


def is_the_users(error: Exception) -> bool:
    """Whether an error that is not weft's own is the user's to mend."""
    if isinstance(error, OSError):
        return error.errno in ENVIRONMENT
    if isinstance(error, ModuleNotFoundError):
        return error.name == "torch"
    return _is_of_settings(error)


def describe(error: Exception, arguments: Sequence[str]) -> str:
    """What a mistake was and the way out, for the errors of the command line, settings and the system."""
    match error:
        case UnknownCommandError():
            return _unknown_command(error, (error.unused_tokens or [""])[0])
        case CycloptsError() if (stray := _stray_command(error, arguments)) is not None:
            return _unknown_command(error, stray)
        case UnknownOptionError():
            option = (error.token.keyword or error.token.value).split("=")[0]
            known = [name for argument in error.argument_collection for name in argument.names]
            known += ["--help"]
            return f"unknown option {option}{suggest(option, known)}{_see_help(error)}"
        case UnusedCliTokensError():
            return _unexpected(error, arguments)
        case CycloptsError():
            message = str(error).strip().removesuffix(".")
            return f"{message[:1].lower()}{message[1:]}{_see_help(error)}"
        case UserError():
            # What is wrong with a setting is told by its name in Python; a path or a quoted word may be the same.
            of_settings = _is_of_settings(error.__cause__)
            return SETTING.sub(lambda name: OPTIONS[name[0]], str(error)) if of_settings else str(error)
        case OSError():
            reason = error.strerror or str(error)
            return f"{error.filename}: {reason}" if error.filename is not None else reason
        case ModuleNotFoundError():
            return f"needs PyTorch, which is not installed: pip install {error.name}"
    # What is left is pydantic's, raised by a call whose settings came from options alone.
    return "; ".join(_setting(detail) for detail in error.errors())  # type: ignore[attr-defined]


def _is_of_settings(error: BaseException | None) -> bool:
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(error, pydantic.ValidationError)


def _setting(detail: dict[str, object]) -> str:
    place = detail["loc"]
    assert isinstance(place, tuple)
    message = str(detail["msg"]).removeprefix("Value error, ")
    return ": ".join(filter(None, [".".join(map(str, place)), message[:1].lower() + message[1:]]))


def _see_help(error: CycloptsError) -> str:
    return f"; see weft {' '.join([*(error.command_chain or ()), '--help'])}"


def _stray_command(error: CycloptsError, arguments: Sequence[str]) -> str | None:
    """What stands in a command's place though it is none, where only commands can stand."""
    commands = _commands(error)
    following = [*arguments[len(error.command_chain or ()) :], ""][0]
    positional = following and not following.startswith("-")
    return following if commands and positional and following not in commands else None


def _unknown_command(error: CycloptsError, token: str) -> str:
    if token.startswith("-"):
        return f"unknown option {token}{_see_help(error)}"
    known = _commands(error)
    all_known = f" (known: {', '.join(known)})"
    return f'unknown command "{token}"{suggest(token, known) or all_known}'


def _commands(error: CycloptsError) -> list[str]:
    # The names alone: to ask for the commands themselves would load them all.
    return [name for name in (error.app or ()) if not name.startswith("-")]


def _unexpected(error: UnusedCliTokensError, arguments: Sequence[str]) -> str:
    token = (error.unused_tokens or [""])[0]
    position = arguments.index(token) if token in arguments else 0
    before = arguments[position - 1] if position else ""
    start = _common_start(before, token)
    end = _common_start(before[len(start) :][::-1], token[len(start) :][::-1])[::-1]
    middles = [name[len(start) : len(name) - len(end)] for name in (before, token)]
    if start and all(middles):
        pattern = f"{start}{{{','.join(middles)}}}{end}"
        return f"unexpected {token}: quote the pattern, '{pattern}', or the shell splits it"
    return f'unexpected argument "{token}": quote a text with blanks{_see_help(error)}'


def _common_start(one: str, other: str) -> str:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return "".join(letter for letter, _ in same)
