"""What an error of Redis means is known from its class or its code, wherever redis-py has left it."""

from __future__ import annotations

import pytest
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from sio_server.protocol.errors import ErrorCode, Unavailable
from sio_server.store.connection import redis_errors
from sio_server.store.failures import explain

READONLY = "READONLY You can't write against a read only replica."
SAID = {
    READONLY: "read-only replica",
    f"{READONLY} script: 1b9a, on @user_script:9.": "read-only replica",
    "ERR Error running script (call to f_1b9a): @user_script:1: -READONLY You can't write.": "read-only replica",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": "lost its primary",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)": "has become a",
    "OOM command not allowed when used memory > 'maxmemory'.": "out of memory",
    "MISCONF Redis is configured to save RDB snapshots": "cannot write to its disk",
    "NOREPLICAS Not enough good replicas to write.": "waits for its replicas",
    "LOADING Redis is loading the dataset in memory": "still loading",
    "BUSY Redis is busy running a script.": "busy with a script",
    "MOVED 3999 127.0.0.1:6381": "must name it as one",
    "ASK 3999 127.0.0.1:6381": "must name it as one",
    "CROSSSLOT Keys in request don't hash to the same slot": "refused a command",
    "CLUSTERDOWN The cluster is down": "no primary at this moment",
    "TRYAGAIN Multiple keys request during rehashing of slot": "is being moved",
    "NOPERM User node has no permissions to run the 'set' command": "needs the rights in docs/operations.md",
    "NOAUTH Authentication required.": "the password of REDIS_URL",
    "WRONGPASS invalid username-password pair or user is disabled.": "the password of REDIS_URL",
    "WRONGTYPE Operation against a key": "refused a command",
}


def parsed(text: str) -> RedisError:
    """As redis-py gives it, which takes some codes out of the text."""
    error = BaseParser.parse_error(text)
    assert isinstance(error, RedisError)
    return error


@pytest.mark.parametrize("text", SAID)
def test_the_message_says_what_is_wrong_with_the_store(text: str) -> None:
    with pytest.raises(Unavailable, match=SAID[text]), redis_errors():
        raise parsed(text)


@pytest.mark.parametrize("text", SAID)
def test_only_a_replica_makes_connections_leave(text: str) -> None:
    assert explain(parsed(text)).demoted == any(code in text for code in ("READONLY", "MASTERDOWN", "UNBLOCKED"))


@pytest.mark.parametrize("text", SAID)
def test_errors_that_pass_by_themselves_are_told_from_those_the_operator_must_correct(text: str) -> None:
    by_itself = (
        "READONLY",
        "MASTERDOWN",
        "UNBLOCKED",
        "OOM",
        "MISCONF",
        "NOREPLICAS",
        "LOADING",
        "BUSY",
        "TRYAGAIN",
        "CLUSTERDOWN",
    )
    assert explain(parsed(text)).passes == any(code in text for code in by_itself)


def test_an_error_in_a_pipeline_is_read_after_the_command_that_it_names() -> None:
    full = "Command # 2 (HSET k OOM ': -READONLY') of pipeline caused error: MISCONF Redis is configured to save"
    assert "its disk" in explain(ResponseError(full)).message
    assert explain(ResponseError("Command # 1 (SET MISCONF OOM) of pipeline caused error: ERR x")).message == (
        "the store refused a command"
    )


@pytest.mark.parametrize("error", [RedisConnectionError("reset"), OSError("reset"), TimeoutError()])
def test_a_lost_connection_is_a_store_that_cannot_be_reached(error: Exception) -> None:
    with pytest.raises(Unavailable, match="cannot be reached") as caught, redis_errors():
        raise error
    assert caught.value.code == ErrorCode.UNAVAILABLE
