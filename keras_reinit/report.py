"""The report of a study: Markdown, figure and a self-contained HTML page, from rows."""

import base64
import io
import pathlib

import jinja2

from keras_reinit.results import markdown_table
from keras_reinit.schedules import Stages
from keras_reinit.verdict import REFIT, cells, setting_name

RULE = (
    "*helps* / *hurts*: the 95% interval (Student's t) of the paired differences to "
    "standard training, seed by seed, lies wholly above / below zero; else, or with "
    "fewer than three seeds, *no clear effect*. The interval is over seeds, for this "
    "one test set; each cell is judged on its own. Test accuracy is after the last "
    "epoch; *early stopping* takes the epoch of the best validation accuracy instead. "
    "Learning rate and weight decay were chosen for each method and setting on "
    "validation data."
)
HEADER = (
    "Setting",
    "Method",
    "Test accuracy",
    "n",
    "Difference to standard",
    "Verdict",
    "Training accuracy at stage ends",
    "With early stopping",
    "Difference to standard",
    "Verdict",
    "Learning rate, weight decay",
)
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>When does re-initialization work? {{ title }}</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: auto;
       padding: 1rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #8886; text-align: left; }
img { max-width: 100%; background: white; }
.helps { color: #1b9e5a; font-weight: bold; }
.hurts { color: #d9534f; font-weight: bold; }
</style></head><body>
<h1>When does re-initialization work?</h1>
<p>{{ title }}</p>
<p>{{ rule }}</p>
<div class="wide"><table><thead><tr>
{% for name in header %}<th scope="col">{{ name }}</th>{% endfor %}
</tr></thead><tbody>
{% for line in lines %}<tr>
{% for text in line %}<td class="{{ text }}">{{ text }}</td>{% endfor %}
</tr>{% endfor %}
</tbody></table></div>
{% if notes %}<ul>{% for note in notes %}<li>{{ note }}</li>{% endfor %}</ul>{% endif %}
<p><img src="data:image/png;base64,{{ figure }}" alt="Above, for each setting, the
difference of each method's test accuracy to standard training with its 95% interval,
as in the table; below, mean validation accuracy over epochs."></p>
</body></html>
"""


def markdown(rows):
    """The verdict as Markdown: title, table, notes and the rule.

    Args:
        rows: List of result rows, one for each method, setting and seed.
    """
    found = cells(rows)
    table = markdown_table(HEADER, map(_line, found))
    notes = [f"- {note}" for note in _notes(found)]
    return "\n".join([_title(rows), "", table, "", *notes, *[""] * bool(notes), RULE])


def write(rows, folder):
    """Writes verdict.md, verdict.png and report.html; returns their paths."""
    folder = pathlib.Path(folder)
    paths = [folder / name for name in ("verdict.md", "verdict.png", "report.html")]
    png = figure_png(rows)
    paths[0].write_text(markdown(rows) + "\n", encoding="utf-8")
    paths[1].write_bytes(png)
    paths[2].write_text(html(rows, png), encoding="utf-8")
    return paths


def html(rows, png):
    """The verdict as one HTML page that needs no other file."""
    found = cells(rows)
    page = jinja2.Environment(autoescape=True).from_string(PAGE)
    return page.render(
        title=_title(rows),
        rule=RULE.replace("*", ""),
        header=HEADER,
        lines=map(_line, found),
        notes=_notes(found),
        figure=base64.b64encode(png).decode("ascii"),
    )


def figure_png(rows):
    """The verdict's figure, as the bytes of a PNG file."""
    from keras_reinit import plots

    config = rows[0]["config"]
    starts = Stages(config["epochs"], config["stages"]).starts
    figure = plots.verdict_figure(cells(rows), _curves(rows), starts)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    plots.plt.close(figure)
    return buffer.getvalue()


def _curves(rows):
    curves = {}
    for row in rows:
        if row["status"] == "ok":
            config = row["config"]
            setting = setting_name(config)
            curve = row["history"]["validation_accuracy"]
            curves.setdefault((setting, config["method"]), []).append(curve)
    return {
        key: [sum(values) / len(values) for values in zip(*group, strict=True)]
        for key, group in curves.items()
    }


def _title(rows):
    row = next((row for row in rows if row["status"] == "ok"), rows[0])
    config = row["config"]
    size = row.get("train_examples", config["train_size"])
    validation = "noisy" if config["noisy_validation"] else "clean"
    return (
        f"{config['model']} on {size} training images of {config['dataset']}: "
        f"{config['epochs']} epochs in {config['stages']} stages, "
        f"{row.get('steps_per_epoch')} steps an epoch; where training labels are "
        f"noisy, validation labels are {validation}; weight decay is "
        f"{config['weight_decay_mode']}."
    )


def _line(cell):
    return (
        cell.setting,
        cell.method,
        str(cell.accuracy or "—"),
        str(cell.accuracy.n if cell.accuracy else 0),
        _signed(cell.difference),
        cell.word,
        " → ".join(f"{fit:.3f}" for fit in cell.stage_fits),
        str(cell.early_stopping or "—"),
        _signed(cell.early_stopping_difference),
        cell.early_stopping_word,
        f"{cell.learning_rate:g}, {cell.weight_decay:g}",
    )


def _signed(difference):
    return difference.signed() if difference else ""


def _notes(found):
    notes = []
    if not any(cell.method == "standard" for cell in found):
        notes.append("There is no standard training to compare with.")
    for cell in found:
        name = f"{cell.setting}, {cell.method}"
        if cell.refits is False:
            notes.append(
                f"{name}: the stages do not re-fit the training labels to {REFIT:.0%} "
                f"of what standard training reaches ({min(cell.stage_fits[1:]):.3f} at "
                "the lowest stage end). Part of the difference may come from "
                "fitting less; longer stages would tell."
            )
        if cell.method == "standard" and min(cell.stage_fits[-1:], default=1) < REFIT:
            notes.append(
                f"{name}: standard training itself fits only {cell.stage_fits[-1]:.3f} "
                "of the training labels by the last epoch."
            )
        if cell.failures:
            notes.append(
                f"{name}: {len(cell.failures)} failed run(s): {cell.failures[-1]}"
            )
    return notes
