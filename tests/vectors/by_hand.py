"""Cases with what is expected, written by hand: each names a rule of the two cores."""

from __future__ import annotations

from typing import Any

Step = dict[str, Any]
Case = dict[str, Any]


def delivery_case(name: str, *steps: Step, seq: int = 0) -> Case:
    return {"name": name, "epoch": "e1", "seq": seq, "steps": list(steps)}


def did(*do: Any, seq: int, behind: bool = False, **gives: Any) -> Step:
    return {"do": list(do), **gives, "seq": seq, "behind": behind}


E = "e1"
DELIVERY = [
    delivery_case(
        "entries in order are handed on at once",
        did("entry", E, 8, hand_on=[8, 8], seq=8),
        did("entry", E, 9, hand_on=[9, 9], seq=9),
        seq=7,
    ),
    delivery_case(
        "an entry that was handed on before is dropped",
        did("entry", E, 7, seq=7),
        did("entry", E, 3, seq=7),
        did("entry", E, 8, hand_on=[8, 8], seq=8),
        did("entry", E, 8, seq=8),
        seq=7,
    ),
    delivery_case(
        "a gap is noticed and read once",
        did("entry", E, 9, read_after=7, seq=7, behind=True),
        did("entry", E, 11, seq=7, behind=True),
        did("page", E, 11, 8, 11, hand_on=[8, 11], seq=11),
        seq=7,
    ),
    delivery_case(
        "an entry that was only late closes the gap without the answer",
        did("entry", E, 2, read_after=0, seq=0, behind=True),
        did("entry", E, 1, hand_on=[1, 2], seq=2),
        did("page", E, 2, 1, 2, seq=2),
    ),
    delivery_case(
        "a page that is not the last asks for the next",
        did("entry", E, 5, read_after=0, seq=0, behind=True),
        did("page", E, 5, 1, 2, hand_on=[1, 2], read_after=2, seq=2, behind=True),
        did("page", E, 6, 3, 4, hand_on=[3, 5], read_after=5, seq=5, behind=True),
        did("page", E, 6, 6, 6, hand_on=[6, 6], seq=6),
    ),
    delivery_case(
        "entries kept while reading save the next read",
        did("entry", E, 3, read_after=0, seq=0, behind=True),
        did("page", E, 3, 1, 2, hand_on=[1, 3], seq=3),
    ),
    delivery_case(
        "a page brings nothing twice",
        did("entry", E, 4, read_after=2, seq=2, behind=True),
        did("entry", E, 3, hand_on=[3, 4], seq=4),
        did("page", E, 5, 3, 5, hand_on=[5, 5], seq=5),
        seq=2,
    ),
    delivery_case(
        "after a failed read the next entry asks again, from where the delivery is then",
        did("entry", E, 3, read_after=0, seq=0, behind=True),
        did("entry", E, 1, hand_on=[1, 1], seq=1, behind=True),
        did("read_failed", seq=1, behind=True),
        did("entry", E, 4, read_after=1, seq=1, behind=True),
        did("page", E, 4, 2, 2, hand_on=[2, 4], seq=4),
    ),
    delivery_case(
        "a head above the last entry of the page is read on",
        did("page", E, 9, 1, 4, hand_on=[1, 4], read_after=4, seq=4, behind=True),
        did("page", E, 9, 5, 9, hand_on=[5, 9], seq=9),
    ),
    delivery_case(
        "a flood beyond the buffer is bounded, and read from the log instead",
        did("flood", E, 2, 1500, read_after=0, seq=0, behind=True),
        did("page", E, 1500, 1, 1, hand_on=[1, 1001], read_after=1001, seq=1001, behind=True),
        did("page", E, 1500, 1002, 1500, hand_on=[1002, 1500], seq=1500),
    ),
    delivery_case(
        "the next entry is handed on even when the buffer is full",
        did("flood", E, 2, 1200, read_after=0, seq=0, behind=True),
        did("entry", E, 1, hand_on=[1, 1001], seq=1001, behind=True),
    ),
    delivery_case(
        "what a page brings again takes no room in the buffer",
        did("page", E, 1000, 1, 1000, seq=1000),
        did("entry", E, 1002, read_after=1000, seq=1000, behind=True),
        did("page", E, 1002, 1001, 1001, hand_on=[1001, 1002], seq=1002),
        seq=1000,
    ),
    delivery_case("an entry of another epoch means start over", did("entry", "e2", 4, reset=True, seq=3), seq=3),
    delivery_case(
        "an entry of another epoch means start over even if its seq is known",
        did("entry", "e2", 1, reset=True, seq=3),
        seq=3,
    ),
    delivery_case(
        "a page of another epoch means start over", did("page", "e2", 9, 4, 9, reset=True, seq=3), seq=3
    ),
    delivery_case(
        "a log that ends below what was seen before the read means start over",
        did("page", E, 2, reset=True, seq=3),
        seq=3,
    ),
    delivery_case(
        "a page that does not join on means start over, and moves nothing",
        did("entry", E, 9, read_after=3, seq=3, behind=True),
        did("page", E, 9, 5, 9, reset=True, seq=3, behind=True),
        seq=3,
    ),
    delivery_case(
        "a page older than what came live meanwhile is no reason to start over",
        did("entry", E, 2, read_after=0, seq=0, behind=True),
        did("entry", E, 1, hand_on=[1, 2], seq=2),
        did("entry", E, 3, hand_on=[3, 3], seq=3),
        did("page", E, 2, 1, 2, seq=3),
    ),
    delivery_case("a page of a log that has nothing more asks for nothing", did("page", E, 3, seq=3), seq=3),
]


def live_case(name: str, *steps: Step) -> Case:
    return {"name": name, "steps": list(steps)}


def heard(kind: str, run_id: str, attempt: int, *, runs: list[Any], missing: bool = False, **fields: Any) -> Step:
    payload = {"run_id": run_id, "attempt": attempt, **fields}
    return {"do": ["event", f"run:{kind}", payload], "missing": missing, "runs": runs}


def looked(unfinished: dict[str, Any] | None, *, runs: list[Any], starts_over: bool = False) -> Step:
    return {"do": ["view", unfinished, starts_over], "runs": runs}


def ended(kind: str, run_id: str, *, runs: list[Any]) -> Step:
    return {"do": ["entry", kind, run_id], "runs": runs}


def card(run_id: str, attempt: int, text: str, *numbers: int, status: str = "running") -> dict[str, Any]:
    updates = [told(run_id, attempt, number) for number in numbers]
    return {
        "run_id": run_id,
        "attempt": attempt,
        "status": status,
        "input_seq": 1,
        "text": text,
        "updates": updates,
    }


def told(run_id: str, attempt: int, number: int) -> dict[str, Any]:
    return {"run_id": run_id, "attempt": attempt, "number": number, "kind": "custom", "data": number}


def report(attempt: int, number: int, *, runs: list[Any]) -> Step:
    return {"do": ["event", "run:update", told("r", attempt, number)], "missing": False, "runs": runs}


LIVE = [
    live_case(
        "deltas join on",
        heard("started", "r", 1, runs=[["r", 1, "", []]]),
        heard("delta", "r", 1, offset=0, text="I ", runs=[["r", 1, "I ", []]]),
        heard("delta", "r", 1, offset=2, text="can", runs=[["r", 1, "I can", []]]),
    ),
    live_case(
        "a delta that came before adds nothing, one that overlaps adds what is new",
        heard("delta", "r", 1, offset=0, text="abc", runs=[["r", 1, "abc", []]]),
        heard("delta", "r", 1, offset=0, text="abc", runs=[["r", 1, "abc", []]]),
        heard("delta", "r", 1, offset=1, text="bcde", runs=[["r", 1, "abcde", []]]),
    ),
    live_case(
        "offsets count code points",
        heard("delta", "r", 1, offset=0, text="😀", runs=[["r", 1, "😀", []]]),
        heard("delta", "r", 1, offset=1, text="é好", runs=[["r", 1, "😀é好", []]]),
        heard("delta", "r", 1, offset=2, text="好👩‍👧", runs=[["r", 1, "😀é好👩‍👧", []]]),
        heard("delta", "r", 1, offset=6, text="!", runs=[["r", 1, "😀é好👩‍👧!", []]]),
    ),
    live_case(
        "a delta beyond a gap is kept until what is missing comes",
        heard("delta", "r", 1, offset=3, text="def", missing=True, runs=[["r", 1, "", []]]),
        heard("delta", "r", 1, offset=6, text="g", missing=True, runs=[["r", 1, "", []]]),
        heard("delta", "r", 1, offset=0, text="abc", runs=[["r", 1, "abcdefg", []]]),
    ),
    live_case(
        "of two deltas with one offset the longer one is kept",
        heard("delta", "r", 1, offset=1, text="bcd", missing=True, runs=[["r", 1, "", []]]),
        heard("delta", "r", 1, offset=1, text="b", missing=True, runs=[["r", 1, "", []]]),
        heard("delta", "r", 1, offset=0, text="a", runs=[["r", 1, "abcd", []]]),
    ),
    live_case(
        "the card's text closes a gap, and deltas go on from it",
        heard("delta", "r", 1, offset=4, text="e", missing=True, runs=[["r", 1, "", []]]),
        looked(card("r", 1, "abcd"), runs=[["r", 1, "abcde", []]]),
        heard("delta", "r", 1, offset=5, text="f", runs=[["r", 1, "abcdef", []]]),
    ),
    live_case(
        "a card older than what was heard takes nothing back",
        heard("delta", "r", 1, offset=0, text="abc", runs=[["r", 1, "abc", []]]),
        looked(card("r", 1, "a"), runs=[["r", 1, "abc", []]]),
        looked(None, runs=[["r", 1, "abc", []]]),
    ),
    live_case(
        "what begins starts_over forgets what was before",
        heard("delta", "q", 1, offset=0, text="abc", runs=[["q", 1, "abc", []]]),
        looked(card("r", 2, "x"), starts_over=True, runs=[["r", 2, "x", []]]),
        looked(None, starts_over=True, runs=[]),
    ),
    live_case(
        "a run that has not begun is known, and says nothing",
        looked(card("r", 0, "", status="pending"), runs=[["r", 0, "", []]]),
        heard("started", "r", 1, runs=[["r", 1, "", []]]),
    ),
    live_case(
        "a superseded attempt's text is void at once",
        heard("delta", "r", 1, offset=0, text="I can", runs=[["r", 1, "I can", []]]),
        heard("superseded", "r", 1, withdrawn_chars=5, runs=[["r", 2, "", []]]),
        heard("delta", "r", 1, offset=5, text=" book", runs=[["r", 2, "", []]]),
        heard("started", "r", 2, runs=[["r", 2, "", []]]),
        heard("delta", "r", 2, offset=0, text="Well", runs=[["r", 2, "Well", []]]),
    ),
    live_case(
        "a later attempt begins with an empty text, whatever names it first",
        heard("delta", "r", 1, offset=0, text="old", runs=[["r", 1, "old", []]]),
        heard("delta", "r", 3, offset=0, text="new", runs=[["r", 3, "new", []]]),
        heard("superseded", "r", 1, withdrawn_chars=3, runs=[["r", 3, "new", []]]),
        looked(card("r", 2, "older"), runs=[["r", 3, "new", []]]),
        looked(card("r", 4, ""), runs=[["r", 4, "", []]]),
    ),
    live_case(
        "deltas kept of an earlier attempt are not joined to a later one",
        heard("delta", "r", 1, offset=2, text="cd", missing=True, runs=[["r", 1, "", []]]),
        heard("started", "r", 2, runs=[["r", 2, "", []]]),
        heard("delta", "r", 2, offset=0, text="xy", runs=[["r", 2, "xy", []]]),
    ),
    live_case(
        "what comes of a run after its end is ignored",
        heard("delta", "r", 1, offset=0, text="abc", runs=[["r", 1, "abc", []]]),
        ended("answer", "r", runs=[]),
        heard("delta", "r", 1, offset=3, text="d", runs=[]),
        heard("started", "r", 2, runs=[]),
        looked(card("r", 1, "abc"), runs=[]),
    ),
    live_case(
        "run:finished says the end as well",
        heard("delta", "r", 1, offset=0, text="abc", runs=[["r", 1, "abc", []]]),
        heard("finished", "r", 1, status="answered", seq=5, runs=[]),
        heard("delta", "r", 1, offset=3, text="d", runs=[]),
        looked(card("r", 1, "abc"), runs=[]),
        ended("answer", "r", runs=[]),
        heard("delta", "r", 1, offset=3, text="d", runs=[]),
    ),
    *(
        live_case(
            f"{kind} ends a run, and no other",
            heard("started", "q", 1, runs=[["q", 1, "", []]]),
            heard("started", "r", 1, runs=[["q", 1, "", []], ["r", 1, "", []]]),
            ended(kind, "q", runs=[["r", 1, "", []]]),
        )
        for kind in ("answer", "interrupt", "stopped", "failed")
    ),
    live_case(
        "reports are in their order, each once, and of the last attempt",
        report(1, 2, runs=[["r", 1, "", [2]]]),
        report(1, 1, runs=[["r", 1, "", [1, 2]]]),
        report(1, 2, runs=[["r", 1, "", [1, 2]]]),
        looked(card("r", 1, "", 1, 2, 3), runs=[["r", 1, "", [1, 2, 3]]]),
        report(2, 1, runs=[["r", 2, "", [1]]]),
        report(1, 4, runs=[["r", 2, "", [1]]]),
    ),
]
