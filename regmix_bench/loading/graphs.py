"""Texts that the graph of a ``torch.export`` program may have, asked before torch reads it.

``torch.export.load`` was made for files that are trusted: it evaluates sizes as Python, finds what
a node calls by any path below ``torch``, imports modules that a structure names, and writes names
into source that it runs. So every text of a graph has to be of a form that can do nothing but
name an operator, a size, a structure or a value.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from typing import Any

import torch
from torch._ops import OpOverload

#: Texts that are for readers alone, or that torch would run: they are left out.
_LEFT_OUT: dict[str, Any] = {"metadata": {}, "guards_code": []}

_NAME = re.compile(r"[\w.+-]*", re.ASCII)
_OPERATOR = re.compile(r"torch\.ops\.(aten|prims|quantized|quantized_decomposed)\.(\w+)\.(\w+)")
_FUNCTION = re.compile(
    r"_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|abs|eq|ne|lt|le|gt|ge|and_|or_"
    r"|lshift|rshift|getitem)|math\.(trunc|ceil|floor)"
    r"|torch\.sym_(int|float|ite|max|min|not|sqrt|sum)"
    r"|torch\.ops\.higher_order\.(wrap_with_set_grad_enabled|wrap_with_autocast|cond)"
)
#: Operators that open files.
_OF_FILES = {"from_file"}

_SIZE = re.compile(
    r"[a-z]+\d+|true|false|Symbol|Integer|Float|Rational|Add|Mul|Pow|Min|Max|Abs|Mod|And|Or|Not"
    r"|Eq|Equality|Ne|Unequality|Lt|StrictLessThan|Le|LessThan|Gt|StrictGreaterThan|Ge|GreaterThan"
    r"|floor|ceiling|FloorDiv|CeilDiv|CleanDiv|IntTrueDiv|FloatTrueDiv|PythonMod|ModularIndexing"
    r"|Where|CeilToInt|FloorToInt|TruncToInt|TruncToFloat|RoundToInt|RoundDecimal|ToFloat"
    r"|PowByNatural|FloatPow|LShift|RShift|Identity|IsNonOverlappingAndDenseIndicator"
)
_ARITHMETIC = (
    *(ast.Expression, ast.Call, ast.keyword, ast.Name, ast.Load, ast.Constant),
    *(ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare),
    *(ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
)

_STRUCTURES = ("builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")


def checked_graph(content: bytes) -> bytes:
    """Return the JSON of a graph, or of what lists its weights, without what is left out.

    Raises ``ValueError`` for a text that torch could run, for a pickle, and for what is no JSON.
    """
    try:
        return json.dumps(_checked(json.loads(content), "")).encode()
    except RecursionError as error:
        raise ValueError("its graph is nested too deeply") from error


def _checked(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        for name in value:
            _require(_NAME.fullmatch(name) is not None, "name", name)
        return {
            name: _LEFT_OUT[name] if name in _LEFT_OUT else _checked(inner, name)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_checked(inner, key) for inner in value]
    if isinstance(value, str):
        what, holds = _RULES.get(key, ("name", lambda text: _NAME.fullmatch(text) is not None))
        _require(holds(value), what, value)
    if key == "use_pickle":
        _require(not value, "pickle", value)
    return value


def _require(holds: bool, what: str, text: object) -> None:
    if not holds:
        raise ValueError(f"its graph has the {what} {str(text)[:80]!r}, which is not loaded")


def _is_operator(text: str) -> bool:
    match = _OPERATOR.fullmatch(text)
    if match is None:
        return _FUNCTION.fullmatch(text) is not None
    room, name, overload = match.groups()
    packet = getattr(getattr(torch.ops, room), name, None)
    return name not in _OF_FILES and isinstance(getattr(packet, overload, None), OpOverload)


def _is_size(text: str) -> bool:
    """Whether an expression of sympy calls nothing but its classes, and quotes symbols alone."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in nodes:
        if not isinstance(node, _ARITHMETIC):
            return False
        if isinstance(node, ast.Call) and not isinstance(node.func, ast.Name):
            return False
        if isinstance(node, ast.Name) and not _SIZE.fullmatch(node.id):
            return False
        # sympy evaluates the texts that its classes are called with.
        if isinstance(node, ast.Constant) and not (
            isinstance(node.value, int | float)
            or (isinstance(node.value, str) and re.fullmatch(r"[a-z]*[\d.]+", node.value))
        ):
            return False
    return True


def _is_structure(text: str) -> bool:
    """Whether a text describes tuples, lists and dicts of values, as pytree writes it."""
    try:
        version, tree = json.loads(text)
        return isinstance(version, int) and _is_tree(tree)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def _is_tree(tree: Any) -> bool:
    context = json.loads(tree["context"] or "null")
    names = context if isinstance(context, list) else []
    return (
        tree["type"] in (None, *_STRUCTURES)
        and (context is None or isinstance(context, list))
        and all(isinstance(name, str) and _NAME.fullmatch(name) for name in names)
        and all(_is_tree(child) for child in tree["children_spec"])
    )


def _is_value(text: str) -> bool:
    return True  # it is quoted wherever torch writes it


_RULES: dict[str, tuple[str, Callable[[str], bool]]] = {
    "target": ("operator", _is_operator),
    "as_operator": ("operator", _is_operator),
    "expr_str": ("size", _is_size),
    "in_spec": ("structure", _is_structure),
    "out_spec": ("structure", _is_structure),
    "as_string": ("value", _is_value),
    "as_strings": ("value", _is_value),
}
