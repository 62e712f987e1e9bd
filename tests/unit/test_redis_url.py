"""REDIS_URL is read in each of its forms, and a wrong one is named with what to write instead."""

from __future__ import annotations

import pytest

from sio_server.redis_url import RedisUrl, parse_redis_url


def test_a_single_server_is_named_as_redis_py_reads_it() -> None:
    for url in ("redis://h", "rediss://u:p@h:1/2?ssl_cert_reqs=none", "unix:///run/redis.sock?db=2"):
        assert parse_redis_url(url) == RedisUrl("single", url)


def test_sentinels_are_asked_with_their_own_credentials_and_the_primary_is_reached_with_those_of_the_url() -> None:
    url = "redis+sentinel://node:p%40w@a:1,b,[::1]:3/main/2?sentinel_username=s&sentinel_password=q%2Fr&client_name=n"
    at = parse_redis_url(url)
    assert (at.kind, at.service) == ("sentinel", "main")
    assert at.server == "redis://node:p%40w@a:1/2?client_name=n"
    assert at.sentinels == tuple(
        f"redis://{server}/?username=s&password=q%2Fr" for server in ("a:1", "b:26379", "[::1]:3")
    )


def test_sentinels_are_asked_over_tls_when_the_primary_is_reached_by_it() -> None:
    at = parse_redis_url("rediss+sentinel://:pw@a,b/main?ssl_ca_certs=/ca.crt&db=1")
    assert at.server == "rediss://:pw@a:26379/1?ssl_ca_certs=%2Fca.crt"
    assert at.sentinels[1] == "rediss://b:26379/?ssl_ca_certs=%2Fca.crt"


def test_the_servers_of_a_cluster_are_reached_with_the_same_credentials() -> None:
    at = parse_redis_url("rediss+cluster://u:p@a:7000,b?ssl_ca_certs=x")
    assert (at.kind, at.service) == ("cluster", "")
    assert at.servers == ("rediss://u:p@a:7000/?ssl_ca_certs=x", "rediss://u:p@b:6379/?ssl_ca_certs=x")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://a:1,b:2", "for Redis Sentinel write redis+sentinel://host:26379,host:26379/service/0"),
        ("redis://:Z@a:1,b:2", "for Redis Cluster redis+cluster://host:6379,host:6379"),
        ("sentinel://a:1/main", "for Redis Sentinel write redis+sentinel://"),
        ("redis-cluster://a:1", "for Redis Cluster write redis+cluster://"),
        ("redis+sentinel://a:1,b:2", "the name of the service"),
        ("redis+sentinel://a:1,b:2/", "the name of the service"),
        ("redis+sentinel://a:1,b:2/my main", "the name of the service"),
        ("redis+sentinel://a:1,/main", "host:port, with commas between"),
        ("redis+sentinel://a:0/main", "host:port, with commas between"),
        ("redis+sentinel://a:70000/main", "host:port, with commas between"),
        ("redis+sentinel:///main", "host:port, with commas between"),
        ("redis+sentinel://Z:Z/Z@a:1/main", "host:port, with commas between"),
        ("redis+sentinel://a:1/main/one", "the database is not a number"),
        ("redis+sentinel://a:1/main/1/2", "the database is not a number"),
        ("redis+sentinel://a:1/main?x=1", "there is no option 'x'"),
        ("redis+sentinel://u:Z?@a:1/main", "a ? in a password is written %3F"),
        ("redis+sentinel://u:Z#@a:1/main", "a # is written %23"),
        ("redis+sentinel://[::1/main", "a host or an option is wrong"),
        ("redis://a:1?sentinel_password=Z", "sentinel_password is for redis+sentinel:// only"),
        ("redis+cluster://a:1/1", "no databases but 0"),
        ("redis://:Z@a:1/0?ssl_cert_reqs=none", "ssl_cert_reqs is for TLS: write rediss://, or leave it out"),
        ("unix:///a.sock?ssl_ca_certs=/ca.crt", "ssl_ca_certs is for TLS: leave it out"),
        ("redis+sentinel://a:1/main?ssl_ca_certs=/ca.crt", "for TLS: write rediss+sentinel://, or leave it out"),
        ("redis+cluster://a:1?ssl_ca_certs=/ca.crt", "for TLS: write rediss+cluster://, or leave it out"),
        ("rediss://:Z@a:1?ssl_certs=/ca.crt", "there is no option 'ssl_certs'"),
        ("rediss://:Z@a:1?ssl_cert_reqs=CERT_NONE", "ssl_cert_reqs is none, optional or required"),
        ("rediss://a:1?password=x&ssl_Z", "the port or an option is wrong"),
        ("rediss://a:1?password=x&ssl_Z=y", "an & in a password is written %26"),
        ("redis+cluster://a:1?sentinel_password=Z", "sentinel_password is for redis+sentinel:// only"),
    ],
)
def test_a_wrong_url_is_named_with_what_to_write_instead(url: str, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_redis_url(url)
    assert said in str(caught.value)
    assert "Z" not in str(caught.value)
    assert "Z" not in repr(parse_redis_url("redis://u:Z@a"))
