"""Command-line options out of a configuration's settings: their help, choices and limits stand there alone."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
import cloup
from annotated_types import Ge, Gt, Interval, Le

from pipeline.commands.options import Finite
from pipeline.config import Setting

R = TypeVar("R")


def configured(groups: Mapping[str, Iterable[Setting]]) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Options of settings, in groups; the command gets those that were given as `given`, by the settings' names.

    Args:
        groups: title to settings; those without a flag of their own are left out.
    """
    settings = {title: [s for s in of_group if s.option] for title, of_group in groups.items()}
    names = [s.name for of_group in settings.values() for s in of_group]

    def add(command: Callable[..., R]) -> Callable[..., R]:
        @functools.wraps(command)
        def with_settings(**values: Any) -> R:
            given = {name: values.pop(name) for name in names}
            return command(given={name: v for name, v in given.items() if _is_given(v)}, **values)

        for title, of_group in reversed(settings.items()):
            with_settings = cloup.option_group(title, *map(_option, of_group))(with_settings)
        return with_settings

    return add


def _is_given(value: object) -> bool:
    """Whether an option stands on the command line; 0 does, an absent flag does not."""
    return value is not None and value is not False and value not in ((), {})


def _option(setting: Setting) -> Any:
    option = setting.option
    assert option is not None
    kind, metadata = _present(setting.kind, setting.metadata)
    how: dict[str, Any] = {"metavar": option.metavar} if option.metavar else {}
    shown = _shown(setting.default, required=setting.required)
    if kind is bool:
        how["is_flag"] = True
    elif get_origin(kind) is Mapping:
        how |= {"multiple": True, "type": _NamedShare(), "callback": lambda _ctx, _param, pairs: dict(pairs)}
    elif get_origin(kind) is tuple and get_args(kind)[-1] is Ellipsis:
        how["type"] = _List(_type(*_present(get_args(kind)[0], ())))
    elif get_origin(kind) is tuple:
        how |= {"nargs": len(get_args(kind)), "type": _type(*_present(get_args(kind)[0], ()))}
    else:
        how["type"] = _type(kind, metadata)
    return cloup.option(
        setting.flag, setting.name, default=None, help=option.help + (f"  [default: {shown}]" if shown else ""), **how
    )


def _shown(default: object, *, required: bool) -> str | None:
    """A default for people."""
    if required:
        return "the preset's"
    if isinstance(default, tuple):
        return ",".join(f"{x:g}" if isinstance(x, float) else str(x) for x in default) or None
    if default is None or isinstance(default, bool | Mapping):
        return None
    return f"{default:g}" if isinstance(default, float) else str(default)


def _present(kind: Any, metadata: tuple[object, ...]) -> tuple[Any, tuple[object, ...]]:
    """The type of a value that is there, and its limits."""
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (part for part in get_args(kind) if part is not type(None))
    if hasattr(kind, "__metadata__"):
        return _present(kind.__origin__, (*kind.__metadata__, *metadata))
    return kind, metadata


def _type(kind: Any, metadata: tuple[object, ...]) -> Any:
    """Click's type of a choice, a number within limits, or a text."""
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    low: Any = next((m.ge for m in metadata if isinstance(m, Ge | Interval) and m.ge is not None), None)
    above: Any = next((m.gt for m in metadata if isinstance(m, Gt)), None)
    high: Any = next((m.le for m in metadata if isinstance(m, Le | Interval) and m.le is not None), None)
    if kind is int:
        return click.IntRange(min=low, max=high)
    if kind is float:
        return Finite(min=low if above is None else above, max=high, min_open=above is not None)
    return click.STRING


class _List(click.ParamType):  # type: ignore[type-arg]
    """`a,b` as values of a type."""

    name = "list"

    def __init__(self, of: Any) -> None:
        self._of = of

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """The values."""
        parts = [part.strip() for part in str(value).split(",") if part.strip()]
        if not parts:
            self.fail(f"'{value}' names none", param, ctx)
        return tuple(self._of.convert(part, param, ctx) for part in parts)


class _NamedShare(click.ParamType):  # type: ignore[type-arg]
    """`NAME=X` with a fraction in [0, 1]; the name may hold an equals sign."""

    name = "name=x"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """The name and the fraction."""
        name, equals, limit = str(value).rpartition("=")
        if not equals or not name:
            self.fail(f"'{value}': write NAME=X, with X between 0 and 1", param, ctx)
        try:
            share = float(limit)
        except ValueError:
            share = -1.0
        if not 0 <= share <= 1:
            self.fail(f"'{value}': the limit must be a number between 0 and 1", param, ctx)
        return name, share
