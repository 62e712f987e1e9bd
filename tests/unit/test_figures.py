"""Figures of scenes, on arrivals that are known."""

from __future__ import annotations

from roomgraph.tour.figures import Spell, level_at, percentiles, recovery

ANN = [(1, 1.0), (2, 2.0), (3, 3.0), (4, 4.0)]


def test_percentiles_are_in_milliseconds() -> None:
    assert percentiles([0.010] * 98 + [1.0] * 2) == {"p50": 10.0, "p99": 1000.0}
    assert percentiles([0.25]) == {"p50": 250.0, "p99": 250.0}
    assert percentiles([]) == {"p50": 0.0, "p99": 0.0}


def test_a_device_is_level_when_it_has_what_was_news_after_the_moment() -> None:
    bob = [(1, 1.1), (2, 5.0), (3, 5.1), (4, 5.2)]
    assert level_at({"Ann": ANN, "Bob": bob}, 1.5) == {"Ann": 2.0, "Bob": 5.0}
    assert level_at({"Ann": ANN, "Bob": bob}, 2.5) == {"Ann": 3.0, "Bob": 5.1}


def test_a_device_is_level_by_what_it_got_after_the_moment_only() -> None:
    bob = [(1, 1.1), (2, 5.0), (3, 5.1)]
    assert level_at({"Ann": ANN, "Bob": bob}, 2.0)["Bob"] == 5.1


def test_a_device_that_got_nothing_more_was_never_level() -> None:
    assert level_at({"Ann": ANN, "Bob": [(1, 1.1)]}, 1.5) == {"Ann": 2.0, "Bob": None}
    assert recovery({"Ann": ANN, "Bob": [(1, 1.1)]}, [Spell(1.2, 1.5)]) is None


def test_nothing_written_after_the_moment_is_told_apart_from_being_level_at_once() -> None:
    assert level_at({"Ann": ANN}, 4.0) == {"Ann": None}


def test_recovery_is_the_longest_time_from_the_end_of_a_spell_until_the_last_device_was_level() -> None:
    arrivals = {"Ann": ANN, "Bob": [(1, 1.1), (2, 2.4), (3, 3.7), (4, 4.1)]}
    assert recovery(arrivals, []) == 0.0
    assert recovery(arrivals, [Spell(0.5, 1.5)]) == 2.4 - 1.5
    assert recovery(arrivals, [Spell(0.5, 1.5), Spell(2.5, 2.5)]) == 3.7 - 2.5


def test_the_time_of_a_device_stands_still_while_something_else_is_broken_for_it() -> None:
    bob = [(1, 1.1), (2, 2.5), (3, 3.0), (4, 4.1)]
    first = Spell(0.5, 1.5)
    assert recovery({"Ann": ANN, "Bob": bob}, [first]) == 1.0
    of_bob = Spell(1.75, 2.25, frozenset({"Bob"}))
    assert recovery({"Ann": ANN, "Bob": bob}, [first, of_bob]) == 0.75, "Bob's after the end of his own spell"
    of_ann = Spell(1.75, 2.25, frozenset({"Ann"}))
    assert recovery({"Ann": ANN, "Bob": bob}, [first, of_ann]) == 1.0
    of_all = Spell(1.75, 2.25, None)
    assert recovery({"Ann": ANN, "Bob": bob}, [first, of_all]) == 0.75


def test_spells_that_overlap_stop_the_clock_once() -> None:
    bob = [(1, 1.1), (2, 3.5)]
    spells = [Spell(0.0, 1.5), Spell(2.0, 2.75, None), Spell(2.25, 3.0, None)]
    arrivals = {"Ann": [(1, 1.0), (2, 3.5)], "Bob": bob}
    assert recovery(arrivals, spells) == 1.0
