"""Proves on generated histories that the checker finds every kind of anomaly, and accuses no correct run."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roomgraph.check import AnomalyKind, History, check
from tests.histories import correct_histories, kinds, plant


@settings(deadline=None)
@given(correct_histories())
def test_no_correct_history_is_accused(history: History) -> None:
    report = check(history)
    assert report.anomalies == ()
    assert (report.lost, report.duplicated, report.reordered) == (0, 0, 0)


@pytest.mark.parametrize("kind", AnomalyKind)
@settings(deadline=None, max_examples=40)
@given(history=correct_histories(), data=st.data())
def test_a_broken_promise_planted_anywhere_is_named(
    kind: AnomalyKind, history: History, data: st.DataObject
) -> None:
    assert kind in kinds(check(plant(kind, history, data.draw)))
