"""Commands made from the verbs: a function's parameters are its options."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import nullcontext, redirect_stdout
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any, ForwardRef, TypeVar, get_args, get_origin

import typer

from regmix_bench.api.options import Option
from regmix_bench.cli.flags import FlagName, Flags, flag_parameters
from regmix_bench.registry import docstring

T = TypeVar("T")


class Call(partial[T]):
    """A verb with what was typed for its parameters, and the flags of the command beside them."""

    flags: Flags

    def __call__(self, /, *arguments: Any, **options: Any) -> T:
        """Return what the verb does; what a model's own code prints is kept out of a document."""
        aside = redirect_stdout(sys.stderr) if self.flags.json else nullcontext()
        with aside:
            return super().__call__(*arguments, **options)


_NAMED = inspect.Parameter.KEYWORD_ONLY

#: Parameters that name the same places whichever verb has them.
_PLACES = ("method_files", "results", "data_dir")

#: Names of the commands whose flag ``--json`` asks for one document.
json_commands: set[str] = set()

app = typer.Typer(
    help="Train, attack and compare adversarial training methods.",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def add_command(
    verb: Callable[..., T],
    example: str,
    name: str | None = None,
    defaults: Mapping[str, object] = MappingProxyType({}),
    flags: Mapping[FlagName, str] = MappingProxyType({}),
) -> Callable[[Callable[[Call[T]], None]], Callable[[Call[T]], None]]:
    """Register a command with the parameters, defaults and first paragraph of ``verb``.

    What it decorates gets the call that was typed, calls it, and prints what it returns.
    ``defaults`` are those of the command where they are not the function's; ``flags`` are those
    that it has beside them, each with what help says of it.
    """

    def register(show: Callable[[Call[T]], None]) -> Callable[[Call[T]], None]:
        def call(**given: Any) -> None:
            asked = Flags(**{name: given.pop(name) for name in flags})
            typed = Call(verb, **given)
            typed.flags = asked
            show(typed)

        parameters = _parameters(verb, defaults) + flag_parameters(flags)
        call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {each.name: each.annotation for each in parameters}
        about = docstring(inspect.unwrap(verb))
        typed_as = name or verb.__name__
        if "json" in flags:
            json_commands.add(typed_as)
        app.command(
            typed_as,
            help=_escaped(about.partition("\n\n")[0]),
            epilog=_escaped(f"Example: {example}"),
        )(call)
        return show

    return register


def flag(parameter: str, option: Option) -> str:
    """Return the option of a parameter, such as ``--data-dir``."""
    return option.flag or f"--{parameter.replace('_', '-')}"


def options(verb: Callable[..., object]) -> dict[str, tuple[inspect.Parameter, Option]]:
    """Return the parameters of ``verb`` that the command line has, and what it says of them."""
    found = {}
    for name, parameter in inspect.signature(verb).parameters.items():
        if get_origin(parameter.annotation) is Annotated:
            annotation, *about = get_args(parameter.annotation)
            (option,) = (each for each in about if isinstance(each, Option))
            found[name] = parameter.replace(annotation=annotation), option
    return found


def _flags(parameter: str, option: Option) -> Iterator[str]:
    yield flag(parameter, option)
    if option.alias is not None:
        yield f"--{option.alias.replace('_', '-')}"


def command_line(
    verb: Callable[..., object], given: Mapping[str, object], always: Collection[str] = ()
) -> str:
    """Return the command that gives ``verb`` these values, quoted for a POSIX shell.

    Those that are the default are left out, except ``always``.
    """
    words = ["regmix-bench", verb.__name__]
    for name, (parameter, option) in options(verb).items():
        value = given[name]
        if name in always or value != parameter.default:
            words.append(flag(name, option))
            words += [] if value is True else [shlex.quote(str(value))]
    return " ".join(words)


def next_line(following: Callable[..., object], typed: str, given: Mapping[str, object]) -> str:
    """Return the line that names the command to type next, on the same files and folders.

    ``typed`` are the words after its name, ``given`` the values of the command before it.
    """
    words = ["next: regmix-bench", following.__name__, *([typed] if typed else [])]
    for name, (parameter, option) in options(following).items():
        value = given.get(name)
        if name in _PLACES and value is not None and str(value) != parameter.default:
            words += [flag(name, option), shlex.quote(str(value))]
    return " ".join(words)


def _parameters(
    verb: Callable[..., object], defaults: Mapping[str, object]
) -> list[inspect.Parameter]:
    made = []
    for name, (parameter, option) in options(verb).items():
        about: Any
        if option.argument:
            about = typer.Argument(help=_escaped(option.help))
        else:
            about = typer.Option(
                *_flags(name, option),
                help=_escaped(option.help),
                rich_help_panel=option.panel,
                envvar=option.envvar,
            )
        default = defaults.get(name, parameter.default)
        typed = _typed(parameter.annotation, optional=default is None)
        made.append(
            inspect.Parameter(name, _NAMED, default=default, annotation=Annotated[typed, about])
        )
    return made


def _typed(annotation: Any, optional: bool) -> Any:
    """What Typer is told of a type: text where the function takes text, lists of text, else it."""
    if get_origin(annotation) is get_origin(Iterable[str]):
        return list[str]
    if isinstance(annotation, ForwardRef) or str in (annotation, *get_args(annotation)):
        return str | None if optional else str
    return annotation


def _escaped(text: str) -> str:
    """Keep rich from reading ``fgsm-pgi[lambda_=1]`` as a style."""
    return text.replace("[", r"\[")
