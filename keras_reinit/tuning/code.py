"""What decides a network that a user's function builds: its code, and the network.

A search finds a finished training again only if both are the same.
"""

import functools
import hashlib
import inspect
import json
import os
import pathlib
import sys
import sysconfig
import types

import keras
import numpy as np

from keras_reinit.network import all_layers

PLAIN = (str, bytes, bool, int, float, complex, type(None), type(Ellipsis))
# Of classes, what says nothing of what they do.
SILENT = ("__dict__", "__weakref__", "__module__", "__doc__", "__qualname__")


def network_digest(network):
    """A string that is the same for networks of the same structure and code.

    Their configurations count, without names that Keras counts up, and the shapes of
    their weights, and the code of the user's own layers.

    Args:
        network: A built `keras.Model`.

    Example:

    >>> made = [keras.Sequential([keras.Input((3,)), keras.layers.Dense(n)])
    ...         for n in (4, 4, 5)]
    >>> same, again, other = map(network_digest, made)
    >>> same == again, same == other
    (True, False)
    """
    layers = list(all_layers(network))
    try:
        config = json.dumps(keras.saving.serialize_keras_object(network), default=repr)
    except Exception:  # A subclass without a configuration.
        config = ""
    names = sorted({layer.name for layer in layers}, key=len, reverse=True)
    order = {layer.name: f"layer_{i}" for i, layer in enumerate(layers)}
    for name in names:
        config = config.replace(json.dumps(name), json.dumps(order[name]))
    parts = [
        (_described(type(layer), ()), [tuple(v.shape) for v in layer.weights])
        for layer in layers
    ]
    return _digest((config, parts))


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
    return _digest(_described(function, ()))


def _digest(value):
    return hashlib.blake2b(repr(value).encode(), digest_size=16).hexdigest()


def _described(value, path):
    """A value as nested tuples of plain values, without addresses in memory.

    Args:
        value: Anything.
        path: Tuple of the values that it lies in, from the outermost on.
    """
    if isinstance(value, PLAIN):
        return value
    for depth, above in enumerate(path):
        if value is above:  # A function that calls itself.
            return "above", depth
    if len(path) > 50:
        return _named(type(value))
    inside = functools.partial(_described, path=(*path, value))
    for kind, describe in _DESCRIPTIONS:
        if isinstance(value, kind):
            return describe(value, inside)
    return _instance(value, inside)


def _instance(value, inside):
    if isinstance(value, keras.Variable) or hasattr(value, "__array__"):
        return _named(type(value)), _array(np.asarray(value), inside)
    for attribute in ("__wrapped__", "python_function", "func"):
        if hasattr(value, attribute):  # Of caches and of compiled functions.
            return _named(type(value)), inside(getattr(value, attribute))
    parts = [_named(value) if callable(value) else "", inside(type(value))]
    try:  # Keras' initializers, layers and models, without the names it counts up.
        config = value.get_config()
        return *parts, inside({k: v for k, v in config.items() if k != "name"})
    except Exception:
        state = getattr(value, "__dict__", None) or _slots(value)
        return *parts, inside(state) if state else _text(value)


def _slots(value):
    slots = [
        name for cls in type(value).__mro__ for name in vars(cls).get("__slots__", ())
    ]
    return {name: getattr(value, name) for name in slots if hasattr(value, name)}


def _text(value):
    """The representation of a value, unless it is an address in memory."""
    text = repr(value)
    return "" if " at 0x" in text else text


def _function(function, inside):
    if not _is_own(function):
        return _named(function)
    code = function.__code__
    names = _names(code)
    cells = [_content(cell) for cell in function.__closure__ or ()]
    used = {n: function.__globals__[n] for n in names if n in function.__globals__}
    modules = [v for v in used.values() if isinstance(v, types.ModuleType)]
    of_modules = [
        (module.__name__, {n: getattr(module, n) for n in names if hasattr(module, n)})
        for module in filter(_is_own, [*modules, *_imported(code)])
    ]
    parts = (function.__defaults__, function.__kwdefaults__, cells, used, of_modules)
    return _code(code), inside(parts), inside(vars(function))


def _code(code):
    """The instructions of a function, and of those that are defined in it."""
    constants = [_code(c) if inspect.iscode(c) else c for c in code.co_consts]
    # The order of a set differs between processes.
    constants = [
        sorted(map(repr, c)) if isinstance(c, frozenset) else c for c in constants
    ]
    return code.co_code, constants, code.co_names, code.co_varnames


def _names(code):
    inner = (_names(c) for c in code.co_consts if inspect.iscode(c))
    return sorted({*code.co_names}.union(*inner))


def _imported(code):
    """The modules that are imported inside of a function, as far as they were."""
    return [sys.modules[name] for name in _names(code) if name in sys.modules]


def _content(cell):
    try:
        return cell.cell_contents
    except ValueError:  # It is not set yet.
        return None


def _class(cls, inside):
    if not _is_own(cls):
        return _named(cls)
    own = {k: v for k, v in vars(cls).items() if k not in SILENT}
    own = {
        k: v for k, v in own.items() if not isinstance(v, types.GetSetDescriptorType)
    }
    return _named(cls), [inside(base) for base in cls.__bases__], inside(own)


def _array(array, inside):
    if array.dtype == object:
        return array.shape, [inside(one) for one in array.ravel().tolist()]
    content = hashlib.blake2b(np.ascontiguousarray(array).tobytes()).hexdigest()
    return array.shape, str(array.dtype), content


def _named(value):
    name = getattr(value, "__qualname__", getattr(value, "__name__", ""))
    return f"{getattr(value, '__module__', '')}.{name or type(value).__qualname__}"


def _is_own(value):
    """Whether it is the user's: neither Python's, nor installed, nor this library's."""
    if isinstance(value, types.FunctionType):
        file = value.__code__.co_filename
    else:
        is_module = isinstance(value, types.ModuleType)
        name = (value.__name__ if is_module else value.__module__) or ""
        if name in sys.builtin_module_names:
            return False
        file = getattr(sys.modules.get(name), "__file__", None) or ""
    paths = sysconfig.get_paths()
    others = [paths[key] for key in ("purelib", "platlib", "stdlib", "platstdlib")]
    others.append(str(pathlib.Path(__file__).parent.parent))
    return not file.startswith(tuple(f"{other}{os.sep}" for other in others))


_DESCRIPTIONS = (
    (types.FunctionType, _function),
    (types.MethodType, lambda m, inside: (inside(m.__func__), inside(m.__self__))),
    (types.BuiltinFunctionType, lambda f, inside: (
        _named(f), "" if inspect.ismodule(f.__self__) else inside(f.__self__))),
    (functools.partial, lambda p, inside: inside((p.func, p.args, p.keywords))),
    ((staticmethod, classmethod), lambda m, inside: inside(m.__func__)),
    (property, lambda p, inside: inside((p.fget, p.fset))),
    (type, _class),
    (types.ModuleType, lambda m, inside: m.__name__),
    # Its order may decide the order of layers.
    (dict, lambda d, inside: [(inside(k), inside(v)) for k, v in d.items()]),
    ((list, tuple), lambda v, inside: [inside(one) for one in v]),
    ((set, frozenset), lambda v, inside: sorted(repr(inside(one)) for one in v)),
    (np.ndarray, _array),
)  # fmt: skip
