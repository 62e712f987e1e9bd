"""Only a valid token, signed with the secret and for this audience, stands for a user."""

import hashlib
import hmac
import json
import math
import re
import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt.utils import base64url_encode

from sio_server.gateway.sessions.auth import Tokens, guest_user_id
from sio_server.gateway.sessions.claims import CLOCK_SKEW_S, MAX_TIME, Identity
from sio_server.protocol.errors import ErrorCode, Refused
from sio_server.protocol.events import USER_ID_PATTERN

SECRET, OTHER = "s" * 32, "o" * 32
TOKENS = Tokens(SECRET, "roomgraph")


def signed(secret: str = SECRET, algorithm: str = "HS256", drop: str = "", **claims: Any) -> str:
    now = int(time.time())
    full = {"sub": "ann-1", "name": "Ann", "aud": "roomgraph", "iat": now, "exp": now + 3600, **claims}
    full.pop(drop, None)
    return jwt.encode(full, secret, algorithm=algorithm)


def outcome(token: str) -> Identity | str:
    """The identity that a token stands for, or the code with which it is refused."""
    try:
        return TOKENS.check(token)
    except Refused as exc:
        return exc.code


def signed_text(payload: bytes, header: bytes = b'{"alg":"HS256"}') -> str:
    """A token with any bytes for header and payload, and a signature that fits."""
    parts = b".".join(base64url_encode(part) for part in (header, payload))
    signature = hmac.new(SECRET.encode(), parts, hashlib.sha256).digest()
    return (parts + b"." + base64url_encode(signature)).decode()


def refused(token: str) -> Refused:
    with pytest.raises(Refused) as caught:
        TOKENS.check(token)
    return caught.value


def test_an_issued_token_stands_for_its_user_until_it_expires() -> None:
    before = int(time.time())
    identity = TOKENS.check(TOKENS.issue("ann-1", "安安", 60))
    assert (identity.user_id, identity.name) == ("ann-1", "安安")
    assert before + 60 <= identity.expires_at <= int(time.time()) + 60


def test_a_token_that_was_made_elsewhere_is_accepted_when_it_is_signed_with_the_secret() -> None:
    expected = Identity("ann-1", "Ann", 4_000_000_000, 1_700_000_000_000)
    assert TOKENS.check(signed(exp=4_000_000_000, iat=1_700_000_000)) == expected


def test_an_issued_token_tells_its_age_to_the_millisecond() -> None:
    before = time.time_ns() // 1_000_000
    issued = TOKENS.check(TOKENS.issue("ann-1", "Ann", 60)).issued_ms
    assert issued is not None
    assert before <= issued <= time.time_ns() // 1_000_000


def test_graphs_are_told_those_claims_that_the_operator_has_named_and_no_others() -> None:
    tokens = Tokens(SECRET, "roomgraph", claims=("tenant", "roles", "missing"))
    told = tokens.check(signed(tenant="north", roles=["a", {"b": 1}], email="ann@example.com")).claims
    assert told == {"tenant": "north", "roles": ["a", {"b": 1}]}
    assert TOKENS.check(signed(tenant="north")).claims == {}


@pytest.mark.parametrize("value", ["x" * 4096, float("inf"), "\ud83d"])
def test_a_token_is_refused_when_a_claim_for_graphs_is_too_long_or_no_plain_json(value: Any) -> None:
    tokens = Tokens(SECRET, "roomgraph", claims=("tenant",))
    with pytest.raises(Refused) as caught:
        tokens.check(signed(tenant=value))
    assert caught.value.code == "token_invalid"


@pytest.mark.parametrize(
    ("claims", "issued_ms"),
    [
        ({"iat": 1_700_000_000}, 1_700_000_000_000),  # the beginning of its second
        ({"iat": 1_700_000_000.25}, 1_700_000_000_250),
        ({"iat": 1_700_000_000, "iat_ms": 1_700_000_000_999}, 1_700_000_000_999),
        ({"iat": 1_700_000_000, "iat_ms": "soon"}, 1_700_000_000_000),
        ({"iat": 1_700_000_000, "iat_ms": True}, 1_700_000_000_000),
        ({"drop": "iat"}, None),
    ],
)
def test_a_token_that_was_made_elsewhere_tells_its_age_by_its_claims(
    claims: dict[str, Any], issued_ms: int | None
) -> None:
    assert TOKENS.check(signed(**claims)).issued_ms == issued_ms


NOT_TIMES: list[Any] = [
    *(True, None, "soon", "1700000000", [], {}, -1, -0.5, -(10**400), 10**400, MAX_TIME + 1, 1e300),
    *(math.nan, math.inf, -math.inf),
]


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", NOT_TIMES, ids=lambda value: str(value)[:12])
def test_a_claim_that_is_no_time_makes_a_token_invalid_and_is_named(claim: str, value: Any) -> None:
    error = refused(signed(**{claim: value}))
    assert error.code == ErrorCode.TOKEN_INVALID
    assert claim in error.message


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_a_time_after_the_allowed_clock_skew_makes_a_token_invalid(claim: str) -> None:
    later: dict[str, Any] = {claim: time.time() + CLOCK_SKEW_S + 10}
    error = refused(signed(**later))
    assert error.code == ErrorCode.TOKEN_INVALID
    assert f"not valid yet ({claim})" in error.message


@pytest.mark.parametrize(
    "iat_ms",
    [10**400, MAX_TIME + 1, -1, (int(time.time()) + 86_400) * 1000],
    ids=["huge", "too-large", "negative", "ahead-of-the-skew"],
)
def test_no_token_is_newer_than_now_so_that_a_sign_out_ends_it(iat_ms: int) -> None:
    error = refused(signed(iat_ms=iat_ms))
    assert error.code == ErrorCode.TOKEN_INVALID
    assert "iat_ms" in error.message


def test_a_time_may_have_a_fraction() -> None:
    assert TOKENS.check(signed(exp=4_000_000_000.75)).expires_at == 4_000_000_000


@pytest.mark.parametrize("depth", [900, 30_000])
def test_a_token_that_is_nested_too_deep_is_invalid_whether_it_is_signed_or_not(depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    header = b'{"alg":"HS256","x":' + deep + b"}"
    for token in (
        signed_text(b"{}", header),
        signed_text(b'{"sub":"a","aud":"roomgraph","exp":4000000000,"name":' + deep + b"}"),
        base64url_encode(header).decode() + ".e30.x",
    ):
        code = outcome(token)
        assert isinstance(code, Identity) or code == ErrorCode.TOKEN_INVALID


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 2**53, 2**63, 1e308])
    | st.floats()
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
VALID = {"sub": "ann-1", "name": "Ann", "aud": "roomgraph", "iat": 1_700_000_000, "exp": 4_000_000_000}
CLAIMS = st.dictionaries(
    st.sampled_from(["sub", "name", "aud", "iat", "iat_ms", "nbf", "exp", "iss", "jti", "crit"]), JSON, min_size=1
)


@given(CLAIMS)
def test_whatever_the_claims_hold_a_token_stands_for_a_user_or_is_refused(claims: dict[str, Any]) -> None:
    identity = outcome(signed_text(json.dumps({**VALID, **claims}).encode()))
    if isinstance(identity, str):
        assert identity in (ErrorCode.TOKEN_INVALID, ErrorCode.TOKEN_EXPIRED)
    else:
        assert re.fullmatch(USER_ID_PATTERN, identity.user_id)
        assert len(identity.name.encode()) <= 4 * 200
        assert time.time() < identity.expires_at <= MAX_TIME
        assert identity.issued_ms is None or 0 <= identity.issued_ms < (time.time() + 2 * CLOCK_SKEW_S) * 1000


@given(st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk"]), JSON, min_size=1))
def test_whatever_the_header_holds_a_token_stands_for_a_user_or_is_refused(header: dict[str, Any]) -> None:
    token = signed_text(json.dumps(VALID).encode(), json.dumps({"alg": "HS256", **header}).encode())
    identity = outcome(token)
    assert identity == ErrorCode.TOKEN_INVALID if isinstance(identity, str) else identity.user_id == "ann-1"


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_bytes_that_are_no_claims_are_refused(header: bytes, payload: bytes) -> None:
    assert refused(signed_text(payload, header)).code == ErrorCode.TOKEN_INVALID
    assert refused(signed_text(payload)).code == ErrorCode.TOKEN_INVALID


def test_a_token_for_several_audiences_is_accepted_when_ours_is_among_them() -> None:
    assert TOKENS.check(signed(aud=["other", "roomgraph"])).user_id == "ann-1"


def test_a_token_without_a_name_shows_the_user_id() -> None:
    assert TOKENS.check(signed(drop="name")).name == "ann-1"


def test_a_very_long_name_is_cut_in_a_line_of_the_terminal() -> None:
    assert TOKENS.check(signed(name="x" * 1000)).name == "x" * 200


def test_half_of_a_surrogate_pair_in_a_name_is_replaced() -> None:
    assert TOKENS.check(signed(name="Ann \ud83d")).name == "Ann \ufffd"


@pytest.mark.parametrize("name", ["", " ", "\u200b\u200d", "\n\x00"])
def test_a_name_that_shows_nothing_is_replaced_by_the_user_id(name: str) -> None:
    assert TOKENS.check(signed(name=name)).name == "ann-1"


def test_an_empty_token_is_missing() -> None:
    assert refused("").code == ErrorCode.TOKEN_MISSING


def test_a_token_after_its_exp_is_expired() -> None:
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
def test_arbitrary_text_is_no_valid_token(token: str) -> None:
    assert refused(token).code == ErrorCode.TOKEN_INVALID


def test_a_token_with_any_signed_letter_changed_is_invalid() -> None:
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


OURS = b'{"alg":"HS256","typ":"JWT"}'
AUD = '"aud":"roomgraph"'
