"""Writes docs/api.md, the public names with their signatures and docstrings.

python -m benchmarks.api_page
"""

import inspect
import pathlib

import keras_reinit
from benchmarks import pages
from keras_reinit import data, models, report, results, study, training, tuning
from keras_reinit.config import Config

PAGE = pathlib.Path(__file__).parent.parent / "docs" / "api.md"
HEAD = """# API

<!-- made by python -m benchmarks.api_page; do not edit -->

Every example here runs as a test.
"""


def page():
    """The whole page, as Markdown."""
    parts = [HEAD]
    for title, module in (
        ("keras_reinit", keras_reinit),
        ("keras_reinit.data", data),
        ("keras_reinit.models", models),
        ("keras_reinit.tuning", tuning),
    ):
        parts.append(f"## {title}\n")
        parts += [_entry(name, getattr(module, name)) for name in module.__all__]
    parts.append("## Studies\n")
    parts += [
        _entry(f"keras_reinit.{thing.__module__.split('.')[1]}.{thing.__name__}", thing)
        for thing in (
            Config,
            training.run,
            study.Study,
            study.run_study,
            report.write,
            results.read_rows,
        )
    ]
    return "\n".join(parts)


def _entry(name, thing):
    if not callable(thing):
        return f"### {name}\n\nA {type(thing).__name__}: {', '.join(thing)}.\n"
    # The default of a field that is a table of names would be as long as the table.
    signature = f"{name.rsplit('.', 1)[-1]}{inspect.signature(thing)}"
    if " at 0x" in signature:
        signature = f"{name.rsplit('.', 1)[-1]}(...)"
    text = inspect.getdoc(thing)
    return f"### {name}\n\n```text\n{signature}\n\n{text}\n```\n"


if __name__ == "__main__":
    pages.run(PAGE, page)
