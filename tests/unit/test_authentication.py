"""A token stands for a user by one of the secrets, a key of the issuer, or the application's own function."""

import asyncio
import json
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sio_server.gateway.sessions import issuer_keys
from sio_server.gateway.sessions.auth import Tokens
from sio_server.gateway.sessions.authenticate_hook import MAX_THREADS, AuthenticateHook, BadHook, load_hook
from sio_server.gateway.sessions.authentication import Authentication
from sio_server.gateway.sessions.issuer_keys import AGAIN_S, IssuerKeys
from sio_server.gateway.sessions.key_set import NoKeys, parse_key_set
from sio_server.protocol.errors import ErrorCode, Refused, RoomgraphError, Unavailable

SECRET, NEW_SECRET, ISSUER = "s" * 32, "n" * 32, "https://login.example.com/"
HEADERS: dict[str, str] = {}
RSA_KEY, OTHER_RSA_KEY = (rsa.generate_private_key(65537, 2048) for _ in range(2))
EC_KEY = ec.generate_private_key(ec.SECP256R1())
turned = threading.Event()


def public(key: Any, key_id: str | None, **fields: Any) -> dict[str, Any]:
    """A public key as an issuer publishes it."""
    algorithm = jwt.algorithms.ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else None
    made = (algorithm or jwt.algorithms.RSAAlgorithm).to_jwk(key.public_key(), as_dict=True)
    return {**made, **({} if key_id is None else {"kid": key_id}), **fields}


def published(*keys: Mapping[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"sub": "ann", "aud": "roomgraph", "iss": ISSUER, "iat": now, "exp": now + 600, **changed}


def signed(key: Any, algorithm: str, key_id: str | None = None, **changed: Any) -> str:
    headers = {} if key_id is None else {"kid": key_id}
    return jwt.encode(claims(**changed), key, algorithm=algorithm, headers=headers)


class Issuer:
    """Publishes keys; `away` makes it unreachable. `asked` counts the fetches."""

    def __init__(self, *keys: Mapping[str, Any]) -> None:
        self.keys = keys
        self.away = False
        self.asked = 0
        self.time = 1000.0
        self.known = IssuerKeys("http://issuer/keys", fetch=self.fetch, now=lambda: self.time)

    async def fetch(self, url: str) -> bytes:
        self.asked += 1
        if self.away:
            raise ConnectionRefusedError("the issuer is away")
        return published(*self.keys)

    def authentication(self, secret: str = "") -> Authentication:
        return Authentication(Tokens(secret, "roomgraph", issuer=ISSUER), keys=self.known, now=time.time)


async def refused(authentication: Authentication, token: str) -> RoomgraphError:
    with pytest.raises(RoomgraphError) as caught:
        await authentication.identify(token, HEADERS)
    return caught.value


# Secrets


def test_a_token_of_an_older_secret_is_accepted_while_new_ones_are_signed_with_the_first() -> None:
    old, rotated = Tokens(SECRET, "roomgraph"), Tokens(NEW_SECRET, "roomgraph", older=(SECRET,))
    assert rotated.check(old.issue("ann", "Ann", 60)).user_id == "ann"
    assert Tokens(NEW_SECRET, "roomgraph").check(rotated.issue("ann", "Ann", 60)).user_id == "ann"
    with pytest.raises(Refused, match="Signature"):
        old.check(rotated.issue("ann", "Ann", 60))


def test_an_expired_token_of_an_older_secret_is_expired_and_not_invalid() -> None:
    with pytest.raises(Refused) as caught:
        Tokens(NEW_SECRET, "roomgraph", older=(SECRET,)).check(Tokens(SECRET, "roomgraph").issue("ann", "Ann", -5))
    assert caught.value.code == ErrorCode.TOKEN_EXPIRED


def test_without_a_secret_no_token_is_issued_or_accepted_by_one() -> None:
    tokens = Tokens("", "roomgraph")
    for key in ("", "\0" * 32, SECRET):
        with pytest.raises(Refused):
            tokens.check(jwt.encode(claims(), key, algorithm="HS256") if key else "e30.e30.")
    with pytest.raises(Refused):
        tokens.issue("ann", "Ann", 60)


@pytest.mark.parametrize("iss", [None, "https://other.example.com/", "", 7, ["https://login.example.com/"]])
def test_a_token_of_another_issuer_is_invalid_and_an_issued_one_names_the_right_one(iss: Any) -> None:
    tokens = Tokens(SECRET, "roomgraph", issuer=ISSUER)
    assert tokens.check(tokens.issue("ann", "Ann", 60)).user_id == "ann"
    given = {name: value for name, value in claims(iss=iss).items() if value is not None}
    with pytest.raises(Refused) as caught:
        tokens.check(jwt_of_any(given))
    assert caught.value.code == ErrorCode.TOKEN_INVALID


def jwt_of_any(given: dict[str, Any]) -> str:
    return jwt.api_jws.encode(json.dumps(given).encode(), SECRET, algorithm="HS256", headers={"typ": "JWT"})


@pytest.mark.parametrize(
    ("claimed", "is_operator"),
    [
        ("admin", True),
        (["staff", "admin"], True),
        ("administrator", False),
        (["staff"], False),
        ({"admin": True}, False),
        (True, False),
        (None, False),
    ],
)
def test_operators_are_those_whose_claim_is_the_value_or_holds_it(claimed: Any, is_operator: bool) -> None:
    tokens = Tokens(SECRET, "roomgraph", operator=("roles", "admin"))
    assert tokens.check(jwt_of_any(claims(roles=claimed))).is_operator is is_operator


def test_a_token_is_an_operators_only_when_it_was_issued_as_one() -> None:
    tokens = Tokens(SECRET, "roomgraph")
    assert tokens.check(tokens.issue("ops", "Ops", 60, operator=True)).is_operator
    assert not tokens.check(tokens.issue("ann", "Ann", 60)).is_operator


# Keys of an issuer


@pytest.mark.parametrize(("key", "algorithm"), [(RSA_KEY, "RS256"), (EC_KEY, "ES256")])
async def test_a_token_that_is_signed_with_a_published_key_is_accepted(key: Any, algorithm: str) -> None:
    issuer = Issuer(public(RSA_KEY, "r"), public(EC_KEY, "e"))
    token = signed(key, algorithm, "r" if key is RSA_KEY else "e", name="Ann")
    identity = await issuer.authentication().identify(token, HEADERS)
    assert (identity.user_id, identity.name) == ("ann", "Ann")


async def test_keys_are_fetched_once_for_many_tokens_at_the_same_time() -> None:
    issuer = Issuer(public(EC_KEY, "e"))
    authentication, token = issuer.authentication(), signed(EC_KEY, "ES256", "e")
    await asyncio.gather(*(authentication.identify(token, HEADERS) for _ in range(20)))
    assert issuer.asked == 1


async def test_a_key_that_the_issuer_has_added_is_found_by_the_first_token_that_names_it() -> None:
    issuer = Issuer(public(RSA_KEY, "old"))
    authentication = issuer.authentication()
    await authentication.identify(signed(RSA_KEY, "RS256", "old"), HEADERS)
    issuer.keys = (public(RSA_KEY, "old"), public(EC_KEY, "new"))
    issuer.time += AGAIN_S
    assert (await authentication.identify(signed(EC_KEY, "ES256", "new"), HEADERS)).user_id == "ann"
    assert issuer.asked == 2


async def test_tokens_that_name_invented_keys_do_not_make_the_node_ask_the_issuer_each_time() -> None:
    issuer = Issuer(public(RSA_KEY, "r"))
    authentication = issuer.authentication()
    for number in range(50):
        error = await refused(authentication, signed(EC_KEY, "ES256", f"invented-{number}"))
        assert error.code == ErrorCode.TOKEN_INVALID
    assert issuer.asked == 1
    issuer.time += AGAIN_S
    await refused(authentication, signed(EC_KEY, "ES256", "invented"))
    assert issuer.asked == 2


async def test_known_keys_count_while_the_issuer_is_away_and_others_are_not_judged() -> None:
    issuer = Issuer(public(RSA_KEY, "r"))
    authentication = issuer.authentication()
    await authentication.identify(signed(RSA_KEY, "RS256", "r"), HEADERS)
    issuer.away = True
    issuer.time += AGAIN_S
    error = await refused(authentication, signed(EC_KEY, "ES256", "e"))
    assert (error.code, error.retryable) == ("unavailable", True)
    assert (await authentication.identify(signed(RSA_KEY, "RS256", "r"), HEADERS)).user_id == "ann"
    issuer.away, issuer.keys = False, (public(EC_KEY, "e"),)
    issuer.time += AGAIN_S
    assert (await authentication.identify(signed(EC_KEY, "ES256", "e"), HEADERS)).user_id == "ann"
    assert (await refused(authentication, signed(RSA_KEY, "RS256", "r"))).code == ErrorCode.TOKEN_INVALID


async def test_as_long_as_no_keys_were_fetched_no_token_is_called_invalid(
    caplog: pytest.LogCaptureFixture,
) -> None:
    issuer = Issuer()
    issuer.away = True
    authentication = issuer.authentication()
    for _ in range(3):
        assert isinstance(await refused(authentication, signed(RSA_KEY, "RS256", "r")), Unavailable)
    assert issuer.asked == 1
    (line,) = [record.getMessage() for record in caplog.records]
    assert "AUTH_JWKS_URL" in line


async def test_keys_are_fetched_again_regularly_and_sooner_after_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise asyncio.CancelledError
        issuer.away = len(pauses) == 1

    issuer = Issuer(public(RSA_KEY, "r"))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await issuer.known.run()
    assert pauses == [issuer_keys.REFRESH_S, AGAIN_S, issuer_keys.REFRESH_S]


async def test_a_token_without_a_key_id_is_checked_with_the_only_key_and_with_none_of_several() -> None:
    token = signed(EC_KEY, "ES256")
    assert (await Issuer(public(EC_KEY, None)).authentication().identify(token, HEADERS)).user_id == "ann"
    several = Issuer(public(EC_KEY, "e"), public(RSA_KEY, "r"))
    assert "kid" in (await refused(several.authentication(), token)).message


async def test_a_token_does_not_choose_how_it_is_checked() -> None:
    """A public key is known to everyone: as the secret of HS256 it would let anyone sign."""
    issuer = Issuer(public(RSA_KEY, "r"), public(EC_KEY, "e"))
    pem = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forged = jwt.api_jws.PyJWS()
    hmac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    hmac.prepare_key = lambda key: key if isinstance(key, bytes) else key.encode()  # type: ignore[method-assign]
    forged.unregister_algorithm("HS256")
    forged.register_algorithm("HS256", hmac)
    payload = json.dumps(claims()).encode()
    for token in (
        forged.encode(payload, pem, algorithm="HS256", headers={"kid": "r"}),
        jwt.encode(claims(), "", algorithm="none", headers={"kid": "r"}),
        signed(RSA_KEY, "RS512", "r"),
        signed(RSA_KEY, "PS256", "r"),
        signed(RSA_KEY, "RS256", "e"),
        signed(EC_KEY, "ES256", "r"),
        signed(OTHER_RSA_KEY, "RS256", "r"),
    ):
        for secret in ("", SECRET):
            assert (await refused(issuer.authentication(secret), token)).code == ErrorCode.TOKEN_INVALID


async def test_tokens_of_a_secret_and_of_an_issuer_are_accepted_beside_each_other() -> None:
    issuer = Issuer(public(RSA_KEY, "r"))
    authentication = issuer.authentication(SECRET)
    for token in (signed(SECRET, "HS256"), signed(SECRET, "HS256", "ours"), signed(RSA_KEY, "RS256", "r")):
        assert (await authentication.identify(token, HEADERS)).user_id == "ann"
    assert issuer.asked == 1, "a secret's token, with an id or without, needs no key of the issuer"
    assert (await refused(authentication, signed(SECRET, "HS256", exp=1))).code == ErrorCode.TOKEN_EXPIRED


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.e30", "\ud800"])
async def test_what_is_no_token_is_refused_beside_an_issuer_too(token: str) -> None:
    issuer = Issuer(public(RSA_KEY, "r"), public(EC_KEY, "e"))
    error = await refused(issuer.authentication(), token)
    assert error.code == (ErrorCode.TOKEN_INVALID if token else ErrorCode.TOKEN_MISSING)


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        (b"<html>", "JSON"),
        (b"[]", "JSON"),
        (b'{"keys": {}}', "JSON"),
        (b"[" * 100_000, "JSON"),
        (published(), "no keys"),
        (b'{"keys": [7]}', "no object"),
        (published({"kty": "oct", "k": "c2VjcmV0"}), "not RS256 or ES256"),
        (published({"kty": "oct", "k": "c2VjcmV0", "alg": "RS256"}), "not RS256 or ES256"),
        (published(public(RSA_KEY, "r", alg="HS256")), "not RS256 or ES256"),
        (published(public(RSA_KEY, "r", use="enc")), "signatures"),
        (published(public(RSA_KEY, "r", key_ops=["encrypt"])), "signatures"),
        (published(public(EC_KEY, "e", crv="P-384")), "P-384"),
        (published({"kty": "RSA", "n": "AQAB"}), "not a key"),
        (published({"kty": "EC", "crv": "P-256", "x": 1, "y": "é"}), "not a key"),
        (published(public(rsa.generate_private_key(65537, 1024), "r")), "1024 bits"),
    ],
)
def test_a_key_that_must_not_check_tokens_is_left_out_and_told_why(listed: bytes, why: str) -> None:
    with pytest.raises(NoKeys, match=why):
        parse_key_set(listed)


def test_keys_that_are_not_used_do_not_keep_others_out() -> None:
    keys = parse_key_set(published({"kty": "OKP", "crv": "Ed25519"}, public(RSA_KEY, "r", use="sig", alg="RS256")))
    assert len(keys) == 1
    assert keys.find("r") is not None


# The application's function


def by(function: Any, ttl_s: int = 600, tokens: Tokens | None = None) -> Authentication:
    hook = AuthenticateHook(function, ttl_s=ttl_s)
    return Authentication(tokens or Tokens(SECRET, "roomgraph"), hook=hook, now=time.time)


async def test_the_function_gets_token_and_headers_and_its_claims_are_the_users() -> None:
    got: list[Any] = []

    async def check(token: str, headers: Mapping[str, str]) -> dict[str, Any]:
        got.append((token, headers["cookie"]))
        return {"sub": "ann", "name": "Ann", "tenant": "north", "iat": 1_700_000_000, "roomgraph_role": "operator"}

    tokens = Tokens(SECRET, "roomgraph", claims=("tenant",))
    identity = await by(check, tokens=tokens).identify("opaque", {"cookie": "a=b"})
    assert got == [("opaque", "a=b")]
    assert (identity.user_id, identity.name, identity.claims) == ("ann", "Ann", {"tenant": "north"})
    assert (identity.issued_ms, identity.is_operator) == (1_700_000_000_000, True)
    assert 590 < identity.expires_at - time.time() <= 600


def blocking(token: str, headers: Mapping[str, str]) -> str:
    """Blocks its thread until the event loop has turned."""
    assert turned.wait(5)
    return "ann"


class Called:
    """An object that is called as a function is."""

    async def __call__(self, token: str, headers: Mapping[str, str]) -> str:
        return "ann"


async def test_a_function_that_is_not_async_does_not_block_the_event_loop() -> None:
    asking = asyncio.create_task(by(blocking).identify("t", HEADERS))
    await asyncio.sleep(0)
    turned.set()
    assert (await asking).user_id == "ann"


async def test_an_object_and_a_function_that_returns_an_awaitable_serve_as_well() -> None:
    for function in (Called(), lambda token, headers: Called()(token, headers)):
        assert (await by(function).identify("t", HEADERS)).user_id == "ann"


async def test_a_token_of_which_the_function_knows_nothing_is_checked_as_usual() -> None:
    authentication = by(lambda token, headers: None)
    assert (
        await authentication.identify(Tokens(SECRET, "roomgraph").issue("bob", "Bob", 60), HEADERS)
    ).name == "Bob"
    assert (await refused(authentication, "opaque")).code == ErrorCode.TOKEN_INVALID
    assert (await refused(authentication, "")).code == ErrorCode.TOKEN_MISSING


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (ValueError("the secret detail"), "token_invalid"),
        (PermissionError("the secret detail"), "token_invalid"),
        (RuntimeError("the secret detail"), "token_invalid"),
        (StopIteration("the secret detail"), "token_invalid"),
        (SystemExit("the secret detail"), "token_invalid"),
        (asyncio.CancelledError("the secret detail"), "token_invalid"),
        (ConnectionRefusedError("the secret detail"), "unavailable"),
        (TimeoutError("the secret detail"), "unavailable"),
        (Refused(ErrorCode.TOKEN_EXPIRED, "log in again"), "token_expired"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_whatever_the_function_raises_is_a_refusal_that_is_logged_once(
    caplog: pytest.LogCaptureFixture, raised: BaseException, code: str, is_async: bool
) -> None:
    async def later(token: str, headers: Mapping[str, str]) -> Any:
        raise raised

    def now(token: str, headers: Mapping[str, str]) -> Any:
        raise raised

    caplog.set_level(logging.WARNING)
    if isinstance(raised, StopIteration) and is_async:
        return  # Python itself makes a RuntimeError of it
    authentication = by(later if is_async else now)
    for _ in range(5):
        error = await refused(authentication, "t")
        assert error.code == code
        assert "secret detail" not in error.message
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "AUTHENTICATE" in record.getMessage()


@pytest.mark.parametrize(
    "said", [7, True, ["ann"], "ann b", "agent:x", {}, {"sub": 7}, {"sub": "ann", "exp": "x"}]
)
async def test_what_the_function_says_is_checked_as_a_tokens_claims_are(said: Any) -> None:
    assert (await refused(by(lambda token, headers: said), "t")).code == ErrorCode.TOKEN_INVALID


async def test_a_function_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(token: str, headers: Mapping[str, str]) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("sio_server.gateway.sessions.authenticate_hook.CALL_S", 0.01)
    assert isinstance(await refused(by(check), "t"), Unavailable)


async def test_calls_that_do_not_return_hold_a_bounded_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sio_server.gateway.sessions.authenticate_hook.MAX_THREADS", 2)
    monkeypatch.setattr("sio_server.gateway.sessions.authenticate_hook.CALL_S", 0.05)
    may_return, began = threading.Event(), []

    def check(token: str, headers: Mapping[str, str]) -> str:
        began.append(token)
        may_return.wait(60)
        return "ann"

    authentication = by(check)
    for number in range(4):
        assert isinstance(await refused(authentication, str(number)), Unavailable)
    assert began == ["0", "1"]
    may_return.set()
    monkeypatch.setattr("sio_server.gateway.sessions.authenticate_hook.CALL_S", 60.0)
    assert (await authentication.identify("t", HEADERS)).user_id == "ann"


async def test_a_thread_that_cannot_be_started_says_nothing_about_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    authentication = by(lambda token, headers: "ann")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", start)
        for _ in range(MAX_THREADS + 1):
            assert isinstance(await refused(authentication, "t"), Unavailable)
    assert (await authentication.identify("t", HEADERS)).user_id == "ann"


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("no_such_module:check", "ModuleNotFoundError"),
        ("json:none", "AttributeError"),
        ("json:__name__", "function"),
    ],
)
def test_a_place_where_there_is_no_function_is_named(place: str, why: str) -> None:
    with pytest.raises(BadHook, match=why) as caught:
        load_hook(place, 60)
    assert f"AUTHENTICATE={place}" in str(caught.value)
