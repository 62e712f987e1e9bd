"""Histograms: bounded, a few per cent exact, and the same whether counted in one process or in several."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomgraph.load import Figures, Histogram

times = st.lists(st.floats(min_value=0, max_value=3600), min_size=1, max_size=200)


def of(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(values=times, share=st.sampled_from([0.01, 0.5, 0.9, 0.99, 0.999, 1.0]))
def test_a_quantile_is_at_most_a_few_per_cent_too_high(values: list[float], share: float) -> None:
    exact = sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]
    found = of(values).quantile(share)
    assert exact - 1e-6 <= found <= exact * 1.04 + 2e-6


@given(values=times, at=st.integers(min_value=0, max_value=200))
def test_histograms_of_two_processes_merge_to_that_of_one(values: list[float], at: int) -> None:
    mine, theirs = of(values[:at]), of(values[at:])
    mine.merge(Histogram.from_wire(json.loads(json.dumps(theirs.to_wire()))))
    assert mine.to_wire() == of(values).to_wire()
    assert mine.count == len(values)
    assert mine.quantile(0.9) == of(values).quantile(0.9)


def test_an_empty_histogram_has_percentiles_of_zero() -> None:
    assert Histogram().percentiles_ms() == {"p50": 0.0, "p99": 0.0, "p99_9": 0.0}


def test_times_below_zero_and_above_all_bounds_are_counted() -> None:
    histogram = of([-1.0, 1e9])
    assert histogram.count == 2
    assert histogram.quantile(0.5) <= 2e-6
    assert histogram.highest == 1e9


def test_a_histogram_counts_its_shares_by_bounds() -> None:
    assert of([0.1, 0.2, 0.7, 5.0, 9.0]).shares([0, 0.5, 1, 6]) == [2, 1, 1, 1]


def test_a_million_times_take_no_more_room_than_one() -> None:
    chance = random.Random(1)
    histogram = of([chance.expovariate(100) for _ in range(100_000)])
    assert len(histogram._counts) == len(Histogram()._counts)
    assert histogram.percentiles_ms()["p50"] == pytest.approx(6.93, rel=0.05)


def test_load_figures_of_two_processes_add_up_over_the_wire() -> None:
    mine, theirs = Figures(sent=2, acked=1), Figures(sent=3, acked=3, duplicated=1)
    theirs.latency.add(0.25)
    mine.merge(Figures.from_wire(json.loads(json.dumps(theirs.to_wire()))))
    assert (mine.sent, mine.acked, mine.duplicated, mine.latency.count) == (5, 4, 1, 1)
