"""Only a token of ours, for us, and still valid, says who somebody is."""

import re
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sio_server.gateway.sessions.auth import Identity, Tokens, guest_user_id
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.events import USER_ID_PATTERN

SECRET, OTHER = "s" * 32, "o" * 32
TOKENS = Tokens(SECRET, "roomgraph")


def signed(secret: str = SECRET, algorithm: str = "HS256", drop: str = "", **claims: Any) -> str:
    now = int(time.time())
    full = {"sub": "ann-1", "name": "Ann", "aud": "roomgraph", "iat": now, "exp": now + 3600, **claims}
    full.pop(drop, None)
    return jwt.encode(full, secret, algorithm=algorithm)


def refused(token: str) -> Refused:
    with pytest.raises(Refused) as caught:
        TOKENS.check(token)
    return caught.value


def test_an_issued_token_stands_for_its_user_until_it_expires() -> None:
    before = int(time.time())
    identity = TOKENS.check(TOKENS.issue("ann-1", "安安", 60))
    assert (identity.user_id, identity.name) == ("ann-1", "安安")
    assert before + 60 <= identity.expires_at <= int(time.time()) + 60


def test_a_token_of_ones_own_making_is_as_good_when_it_is_signed_with_the_secret() -> None:
    expected = Identity("ann-1", "Ann", 4_000_000_000, 1_700_000_000_000)
    assert TOKENS.check(signed(exp=4_000_000_000, iat=1_700_000_000)) == expected


def test_an_issued_token_tells_its_age_to_the_millisecond() -> None:
    before = time.time_ns() // 1_000_000
    issued = TOKENS.check(TOKENS.issue("ann-1", "Ann", 60)).issued_ms
    assert issued is not None
    assert before <= issued <= time.time_ns() // 1_000_000


@pytest.mark.parametrize(
    ("claims", "issued_ms"),
    [
        (
            {"iat": 1_700_000_000},
            1_700_000_000_000,
        ),  # its second's beginning: it passes for no newer
        ({"iat": 1_700_000_000.25}, 1_700_000_000_250),
        ({"iat": "1700000000"}, 1_700_000_000_000),
        ({"iat": 1_700_000_000, "iat_ms": 1_700_000_000_999}, 1_700_000_000_999),
        ({"iat": 1_700_000_000, "iat_ms": "soon"}, 1_700_000_000_000),
        ({"iat": 1_700_000_000, "iat_ms": True}, 1_700_000_000_000),
        ({"drop": "iat"}, None),
    ],
)
def test_a_foreign_token_is_as_old_as_it_says_it_is(claims: dict[str, Any], issued_ms: int | None) -> None:
    assert TOKENS.check(signed(**claims)).issued_ms == issued_ms


def test_a_token_for_several_audiences_is_accepted_when_ours_is_among_them() -> None:
    assert TOKENS.check(signed(aud=["other", "roomgraph"])).user_id == "ann-1"


def test_a_token_without_a_name_shows_the_user_id() -> None:
    assert TOKENS.check(signed(drop="name")).name == "ann-1"


def test_a_very_long_name_is_cut() -> None:
    assert TOKENS.check(signed(name="x" * 1000)).name == "x" * 200


def test_no_token_is_missing() -> None:
    assert refused("").code == ErrorCode.TOKEN_MISSING


def test_an_old_token_is_expired() -> None:
    assert refused(TOKENS.issue("ann-1", "Ann", -10)).code == ErrorCode.TOKEN_EXPIRED


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (signed(aud="elsewhere"), "audience"),
        (signed(algorithm="none", secret=""), "HS256"),
        (signed(algorithm="HS512", secret="s" * 64), "HS256"),
        (signed(secret=OTHER), "not valid"),
        (signed(drop="sub"), "sub"),
        (signed(drop="aud"), "aud"),
        (signed(drop="exp"), "exp"),
        (signed(exp="soon"), "not valid"),
        (signed(sub="agent:concierge"), "agent:"),
        (signed(sub="ann b"), "user id"),
        (signed(sub="ann\n"), "user id"),
        (signed(sub=""), "user id"),
        (signed(sub="x" * 129), "user id"),
        ("not a token", "not valid"),
        ("a.b.c", "not valid"),
        (signed()[:-4], "not valid"),
        (signed() + "x", "not valid"),
        (signed().rsplit(".", 1)[0] + ".", "not valid"),
    ],
)
def test_any_other_token_is_invalid_and_is_told_why(token: str, why: str) -> None:
    error = refused(token)
    assert error.code == ErrorCode.TOKEN_INVALID
    assert why in error.message


def test_a_user_id_that_is_no_text_is_invalid() -> None:
    token = jwt.api_jws.encode(
        b'{"sub": 7, "aud": "roomgraph", "exp": 4000000000}', SECRET, algorithm="HS256", headers={"typ": "JWT"}
    )
    assert refused(token).code == ErrorCode.TOKEN_INVALID


@given(st.text(min_size=1))
def test_no_text_is_taken_for_a_token(token: str) -> None:
    assert refused(token).code == ErrorCode.TOKEN_INVALID


def test_a_token_with_any_letter_changed_that_is_signed_is_invalid() -> None:
    token = signed()
    for place in range(token.rindex(".")):
        letter = "A" if token[place] != "A" else "B"
        assert refused(token[:place] + letter + token[place + 1 :]).code == ErrorCode.TOKEN_INVALID


@pytest.mark.parametrize("user_id", ["", "agent:concierge", "ann b", "-ann", "安安", "x" * 129, "ann\n"])
def test_no_token_is_issued_for_what_cannot_be_a_user_id(user_id: str) -> None:
    with pytest.raises(Refused) as caught:
        TOKENS.issue(user_id, "Ann", 60)
    assert caught.value.code == ErrorCode.INVALID_PAYLOAD


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("Ann", r"ann-[0-9a-f]{8}"),
        ("  Ann van Dyk! ", r"ann-van-dyk-[0-9a-f]{8}"),
        ("安安", r"guest-[0-9a-f]{8}"),
        ("安安 2", r"2-[0-9a-f]{8}"),
        ("", r"guest-[0-9a-f]{8}"),
        ("agent:concierge", r"agent-concierge-[0-9a-f]{8}"),
        ("x" * 60, r"x{24}-[0-9a-f]{8}"),
    ],
)
def test_a_guests_user_id_is_readable(name: str, shape: str) -> None:
    assert re.fullmatch(shape, guest_user_id(name))


def test_two_guests_of_one_name_are_two_users() -> None:
    assert len({guest_user_id("安安") for _ in range(50)} | {guest_user_id("Ann") for _ in range(50)}) == 100


@given(st.text(max_size=60))
def test_a_guest_of_any_name_can_have_a_token(name: str) -> None:
    user_id = guest_user_id(name)
    assert re.fullmatch(USER_ID_PATTERN, user_id)
    assert TOKENS.check(TOKENS.issue(user_id, name, 60)).user_id == user_id


@pytest.mark.parametrize("token", ["\ud800", "a.\ud800.c"])
def test_a_token_that_is_not_unicode_is_invalid(token: str) -> None:
    with pytest.raises(Refused) as caught:
        Tokens("s" * 32, "roomgraph").check(token)
    assert caught.value.code == ErrorCode.TOKEN_INVALID
