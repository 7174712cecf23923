"""What TensorBoard's HParams view shows of a search."""

import pytest
from searching import BASE
from tensorboard.backend.event_processing import (
    data_provider,
    plugin_event_multiplexer,
)
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import (
    api_pb2,
    backend_context,
    get_experiment,
    list_session_groups,
)

from keras_reinit import results, tuning


def shown(folder):
    """Hyperparameters and metrics of each trial, as the view asks for them."""
    runs = plugin_event_multiplexer.EventMultiplexer()
    runs.AddRunsFromDirectory(str(folder))
    runs.Reload()
    provider = data_provider.MultiplexerDataProvider(runs, str(folder))
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    here = RequestContext(), context, ""
    experiment = get_experiment.Handler(*here, api_pb2.GetExperimentRequest()).run()
    columns = [
        api_pb2.ColParams(hparam=one.name) for one in experiment.hparam_infos
    ] + [api_pb2.ColParams(metric=one.name) for one in experiment.metric_infos]
    request = api_pb2.ListSessionGroupsRequest(
        slice_size=100, allowed_statuses=api_pb2.Status.values(), col_params=columns
    )
    groups = list_session_groups.Handler(*here, request).run().session_groups
    return [
        (
            {name: _plain(value) for name, value in group.hparams.items()},
            {one.name.tag: one.value for one in group.metric_values},
        )
        for group in groups
    ]


def _plain(value):
    return getattr(value, value.WhichOneof("kind"))


@pytest.mark.parametrize("epoch", ["final", "best"])
def test_the_hparams_view_shows_every_trial(tmp_path, epoch):
    hypermodel = tuning.HyperModel(
        lambda hp: {
            "learning_rate": hp.Choice("learning_rate", [0.01, 0.1]),
            "method": hp.Choice("method", ["standard", "born_again"]),
        },
        BASE,
        epoch=epoch,
    )
    tuning.GridSearch(hypermodel, directory=tmp_path, report=lambda line: None).search()
    rows = results.read_rows(tmp_path / "rows.jsonl")
    found = shown(tmp_path)
    assert len(found) == len(rows) == 4
    for row in rows:
        (metrics,) = (m for hp, m in found if hp == row["hyperparameters"])
        for name, value in row["metrics"].items():
            assert metrics[name] == pytest.approx(value, abs=1e-5)
        assert metrics["curves/train_accuracy"] == pytest.approx(
            row["history"]["train_accuracy"][-1], abs=1e-5
        )


def test_a_trial_that_failed_is_shown_without_metrics(tmp_path):
    hypermodel = tuning.HyperModel(
        lambda hp: {"learning_rate": hp.Choice("learning_rate", [1e30])}, BASE
    )
    tuning.GridSearch(hypermodel, directory=tmp_path, report=lambda line: None).search()
    ((hyperparameters, metrics),) = shown(tmp_path)
    assert hyperparameters == {"learning_rate": 1e30, "seed": 0} and not metrics
