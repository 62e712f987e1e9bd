"""A run goes only where its life allows, and ends once."""

from itertools import product

import pytest

from sio_server.protocol.run import FINAL, IllegalTransition, RunStatus, final_entry_type, transition

LEGAL = {
    (RunStatus.PENDING, RunStatus.RUNNING),
    (RunStatus.PENDING, RunStatus.STOPPED),
    (RunStatus.RUNNING, RunStatus.RUNNING),
    *((RunStatus.RUNNING, final) for final in FINAL),
}
ILLEGAL = sorted(set(product(RunStatus, RunStatus)) - LEGAL)


@pytest.mark.parametrize(("current", "new"), sorted(LEGAL))
def test_a_legal_step_leads_to_the_new_status(current: RunStatus, new: RunStatus) -> None:
    assert transition(current, new) is new


@pytest.mark.parametrize(("current", "new"), ILLEGAL)
def test_every_other_step_is_refused_and_named(current: RunStatus, new: RunStatus) -> None:
    with pytest.raises(IllegalTransition, match=f"{current} cannot become {new}"):
        transition(current, new)


def test_each_end_of_a_run_has_its_own_entry_type() -> None:
    assert {status: final_entry_type(status) for status in FINAL} == {
        RunStatus.ANSWERED: "answer",
        RunStatus.INTERRUPTED: "interrupt",
        RunStatus.STOPPED: "stopped",
        RunStatus.FAILED: "failed",
    }


@pytest.mark.parametrize("status", sorted(set(RunStatus) - FINAL))
def test_a_run_that_has_not_ended_has_no_final_entry(status: RunStatus) -> None:
    with pytest.raises(KeyError):
        final_entry_type(status)
