"""What a function does, as a value: two that differ in code or in what they use differ.

A search finds a finished training again only if the network was built by the same code.
"""

import functools
import hashlib
import inspect
import sys
import types

import numpy as np

PLAIN = (str, bytes, bool, int, float, complex, type(None))


def code_digest(function):
    """A string that is the same, in any process, for functions that do the same.

    It is made of the compiled code of a function and of all that the function refers
    to: defaults, variables of enclosing functions, globals, and the code of the user's
    own functions and classes among these. Installed packages count by name.

    Args:
        function: A callable: a function, a lambda, a `functools.partial`, a method, or
            an object with a `__call__` method.

    Example:

    >>> narrow, wide = (lambda hp, width=width: width for width in (8, 16))
    >>> code_digest(narrow) == code_digest(wide)
    False
    """
    text = repr(_described(function, []))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _described(value, seen):
    """A value as nested tuples of plain values, without addresses in memory."""
    if isinstance(value, PLAIN):
        return value
    if any(value is other for other in seen):  # A function that calls itself.
        return "seen"
    seen.append(value)
    for kind, describe in _DESCRIPTIONS:
        if isinstance(value, kind):
            return describe(value, seen)
    if hasattr(value, "get_config"):  # Keras' initializers, layers and models.
        return _named(type(value)), _described(value.get_config(), seen)
    if _is_own(type(value)):
        return _described(type(value), seen), _described(vars(value), seen)
    return _named(type(value))


def _function(function, seen):
    if not _is_own(function):
        return _named(function)
    code = function.__code__
    names = _names(code)
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_set(cell)]
    used = {name: function.__globals__.get(name) for name in names}
    modules = [v for v in used.values() if isinstance(v, types.ModuleType)]
    for module in filter(_is_own, modules):
        used |= {name: getattr(module, name, None) for name in names}
    parts = (function.__defaults__, function.__kwdefaults__, cells, used)
    return _code(code), *(_described(part, seen) for part in parts)


def _code(code):
    """The instructions of a function, and of those that are defined in it."""
    constants = [_code(c) if inspect.iscode(c) else c for c in code.co_consts]
    # The order of a set differs between processes.
    constants = [sorted(map(repr, c)) if isinstance(c, frozenset) else c
                 for c in constants]  # fmt: skip
    return code.co_code, tuple(constants), code.co_names, code.co_varnames


def _names(code):
    inner = (_names(c) for c in code.co_consts if inspect.iscode(c))
    return sorted({*code.co_names}.union(*inner))


def _is_set(cell):
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def _class(cls, seen):
    if not _is_own(cls):
        return _named(cls)
    own = {k: v for k, v in vars(cls).items() if k not in ("__dict__", "__weakref__")}
    bases = tuple(_described(base, seen) for base in cls.__bases__)
    return _named(cls), bases, _described(own, seen)


def _dict(value, seen):
    items = [(repr(_described(k, seen)), _described(v, seen)) for k, v in value.items()]
    return tuple(sorted(items, key=lambda item: item[0]))


def _named(value):
    module = getattr(value, "__module__", "")
    return f"{module}.{getattr(value, '__qualname__', type(value).__name__)}"


def _is_own(value):
    """Whether it is the user's: neither Python's, nor installed, nor this library's."""
    name = value.__name__ if isinstance(value, types.ModuleType) else value.__module__
    module = sys.modules.get(name or "")
    root = (name or "").split(".")[0]
    installed = "-packages" in str(getattr(module, "__file__", ""))
    return not installed and root not in (*sys.stdlib_module_names, "keras_reinit")


_DESCRIPTIONS = (
    (types.FunctionType, _function),
    (types.MethodType, lambda m, seen: (
        _described(m.__func__, seen), _described(m.__self__, seen))),
    (functools.partial, lambda p, seen: tuple(
        _described(part, seen) for part in (p.func, p.args, p.keywords))),
    ((staticmethod, classmethod), lambda m, seen: _described(m.__func__, seen)),
    (property, lambda p, seen: _described((p.fget, p.fset), seen)),
    (type, _class),
    (types.ModuleType, lambda m, seen: m.__name__),
    (dict, _dict),
    ((list, tuple), lambda v, seen: tuple(_described(one, seen) for one in v)),
    ((set, frozenset), lambda v, seen: tuple(sorted(repr(_described(o, seen))
                                                    for o in v))),
    ((np.ndarray, np.generic), lambda a, seen: (
        a.shape, str(a.dtype), hashlib.blake2b(a.tobytes()).hexdigest())),
)  # fmt: skip
