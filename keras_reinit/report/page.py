"""Sections of a report, and how they become Markdown or one HTML page."""

import dataclasses

from keras_reinit.results import inert, markdown_table
from keras_reinit.storage import MARK

TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="generator" content="{{ mark }}">
<meta http-equiv="Content-Security-Policy"
content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --line: #8886; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 80rem; margin: auto;
       padding: 1rem; }
nav a { margin-right: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line);
         text-align: left; vertical-align: top; }
td { font-variant-numeric: tabular-nums; }
td:not(.long) { white-space: nowrap; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; flex: 0 1 24rem; min-width: 0; max-width: 100%; }
figcaption { font-weight: bold; }
svg { max-width: 100%; height: auto; }
code { overflow-wrap: anywhere; min-width: 16rem; display: inline-block; }
.helps { color: #1f9d5c; font-weight: bold; }
.hurts { color: #d9534f; font-weight: bold; }
</style></head><body>
<header><h1>{{ title }}</h1>
<nav>{% for one in sections %}<a href="#section-{{ loop.index }}">{{ one.title }}</a>
{% endfor %}</nav></header>
<main>{% for one in sections %}
<section id="section-{{ loop.index }}"><h2>{{ one.title }}</h2>
{% for text in one.text %}<p>{{ text }}</p>
{% endfor %}
{% if one.figures %}<div class="figures">{% for figure in one.figures %}
<figure role="img" aria-label="{{ figure.caption }}: {{ figure.alt }}">
<figcaption>{{ figure.caption }}</figcaption>{{ figure.svg | safe }}</figure>
{% endfor %}</div>{% endif %}
{% if one.lines %}{% if one.folded %}<details><summary>{{ one.lines | length }} lines
</summary>{% endif %}<div class="wide" tabindex="0" role="region"
aria-label="{{ one.title }}"><table><thead><tr>
{% for name in one.header %}<th scope="col">{{ name }}</th>{% endfor %}
</tr></thead><tbody>
{% for line in one.lines %}<tr>{% for text in line %}
<td{% if text in ("helps", "hurts") %} class="{{ text }}"
{%- elif text | length > 50 %} class="long"{% endif %}>
{%- if text.startswith("python -m") %}<code>{{ text }}</code>
{%- elif text.startswith("**") %}<strong>{{ text.strip("*") }}</strong>
{%- else %}{{ text }}{% endif %}</td>{% endfor %}</tr>
{% endfor %}</tbody></table></div>{% if one.folded %}</details>{% endif %}{% endif %}
{% if one.notes %}<ul>{% for note in one.notes %}<li>{{ note }}</li>
{% endfor %}</ul>{% endif %}
</section>
{% endfor %}</main></body></html>
"""


@dataclasses.dataclass(frozen=True)
class Figure:
    """One panel of a figure.

    Attributes:
        caption: String, what stands above it.
        alt: String, what it says, for those who do not see it.
        svg: String, an SVG element.
    """

    caption: str
    alt: str
    svg: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a report: text, figures, a table and notes, each of which may lack.

    Attributes:
        title: String.
        text: Tuple of paragraphs.
        figures: Tuple of `Figure`.
        header: Tuple of the strings above the columns of the table.
        lines: Tuple of its lines, tuples of strings.
        notes: Tuple of strings.
        folded: Whether a page shows the table on demand only.
    """

    title: str
    text: tuple = ()
    figures: tuple = ()
    header: tuple = ()
    lines: tuple = ()
    notes: tuple = ()
    folded: bool = False


def html(title, sections):
    """One HTML page that needs no other file and runs no script."""
    import jinja2  # Who trains does without.

    template = jinja2.Environment(autoescape=True).from_string(TEMPLATE)
    return template.render(title=title, sections=sections, mark=MARK)


def markdown(title, sections):
    """The same as Markdown; in place of a figure stands what it says.

    Example:

    >>> print(markdown("Report", [Section("Runs", header=("n",), lines=(("4",),))]))
    # Report
    <BLANKLINE>
    ## Runs
    <BLANKLINE>
    | n |
    | --- |
    | 4 |
    <BLANKLINE>
    """
    parts = [f"# {title}"]
    for one in sections:
        parts += [f"## {inert(one.title)}", *map(inert, one.text)]
        parts += [
            "\n".join(f"- {inert(f.caption)}: {inert(f.alt)}" for f in one.figures)
        ]
        parts += [markdown_table(one.header, one.lines) if one.lines else ""]
        parts += ["\n".join(f"- {inert(note)}" for note in one.notes)]
    return "\n\n".join(part for part in parts if part) + "\n"
