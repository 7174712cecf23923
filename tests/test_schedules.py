import pytest

from keras_reinit import Stages


def test_equal_stages():
    schedule = Stages(epochs=100, stages=5)
    assert schedule.starts == (0, 20, 40, 60, 80)
    assert schedule.ends == (19, 39, 59, 79, 99)
    assert schedule.stage_epochs == 20


def test_uneven_stages_use_the_whole_budget_and_end_with_a_long_one():
    schedule = Stages(epochs=11, stages=3)
    lengths = [b - a + 1 for a, b in zip(schedule.starts, schedule.ends, strict=True)]
    assert sum(lengths) == 11
    assert lengths == [3, 4, 4] and schedule.stage_epochs == lengths[-1]


def test_there_is_one_event_less_than_stages_and_none_at_the_ends():
    schedule = Stages(epochs=10, stages=4)
    events = {e: schedule.event(e) for e in range(12) if schedule.event(e) is not None}
    assert events == {2: 1, 5: 2, 7: 3}
    assert Stages(10, 1).event(0) is None


@pytest.mark.parametrize(
    ("epochs", "stages", "name"),
    [(0, 1, "epochs"), (2.5, 1, "epochs"), (5, 6, "stages"), (5, 0, "stages")],
)
def test_bad_numbers(epochs, stages, name):
    with pytest.raises(ValueError, match=f"`{name}` must be.*Received: {name}="):
        Stages(epochs, stages)
