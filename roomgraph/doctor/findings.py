"""What the doctor may find; the texts are in the catalogues, by the same names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How much a finding matters. Only `bad` makes the exit status 1."""

    GOOD = "good"
    UNKNOWN = "unknown"  # it could not be looked at
    WARN = "warn"  # it works, and something may be lost or be slow
    BAD = "bad"  # it does not work, or loses what was promised


class Fact(StrEnum):
    """What was found. Each is said with the values of its finding."""

    SETTINGS_GOOD = "settings_good"
    SETTING_WRONG = "setting_wrong"  # problem
    GUESTS = "guests"
    ANY_ORIGIN = "any_origin"
    NO_ISSUER = "no_issuer"
    KEYS_GOOD = "keys_good"  # count
    KEYS_BAD = "keys_bad"  # url, reason
    HOOK_BAD = "hook_bad"  # reason
    ARCHIVE_GOOD = "archive_good"  # url
    ARCHIVE_BAD = "archive_bad"  # url, reason
    STORE_GOOD = "store_good"  # url
    STORE_BAD = "store_bad"  # url, reason
    STORE_NOT_SHARED = "store_not_shared"  # url
    COLLECTOR_GOOD = "collector_good"  # url
    COLLECTOR_BAD = "collector_bad"  # url, reason
    COLLECTOR_SILENT = "collector_silent"  # url
    FILES_GOOD = "files_good"  # files
    FILES_FEW = "files_few"  # files, clients, needed

    REDIS_UNREACHABLE = "redis_unreachable"  # url, reason
    REDIS_NO_RIGHTS = "redis_no_rights"
    REDIS_GOOD = "redis_good"  # name, version
    REDIS_OLD = "redis_old"  # name, version
    REDIS_LOADING = "redis_loading"
    REDIS_IS_REPLICA = "redis_is_replica"
    REDIS_IS_CLUSTER = "redis_is_cluster"
    REDIS_WRITES = "redis_writes"
    REDIS_NO_FILE = "redis_no_file"
    REDIS_FILE_FAILS = "redis_file_fails"  # status
    REDIS_SYNCS_LATE = "redis_syncs_late"  # fsync
    REDIS_SYNC_UNKNOWN = "redis_sync_unknown"
    REDIS_EVICTS = "redis_evicts"  # policy
    REDIS_NEARLY_FULL = "redis_nearly_full"  # used, limit
    REDIS_NO_LIMIT = "redis_no_limit"
    REDIS_NO_REPLICA = "redis_no_replica"
    REDIS_REPLICAS = "redis_replicas"  # count
    REDIS_NO_MODULES = "redis_no_modules"
    REDIS_SLOW = "redis_slow"  # ms
    REDIS_NEAR = "redis_near"  # ms
    REDIS_BUFFER_SMALL = "redis_buffer_small"  # limits
    REPLICAS_TOO_FEW = "replicas_too_few"  # server, count, wanted
    NOT_DURABLE = "not_durable"

    SENTINEL_SILENT = "sentinel_silent"  # server, reason
    SENTINELS_DISAGREE = "sentinels_disagree"  # primaries
    SENTINELS_AGREE = "sentinels_agree"  # count, primary
    SENTINELS_FEW = "sentinels_few"  # count
    SENTINELS_NOT_NAMED = "sentinels_not_named"  # named, known
    SENTINEL_QUORUM = "sentinel_quorum"  # quorum, known
    SENTINEL_LATE = "sentinel_late"  # ms

    CLUSTER_COVERED = "cluster_covered"  # primaries
    CLUSTER_NOT_COVERED = "cluster_not_covered"  # state, slots
    CLUSTER_NO_REPLICA = "cluster_no_replica"  # server
    CLUSTER_LATE = "cluster_late"  # ms
    CLUSTER_ALL_OR_NOTHING = "cluster_all_or_nothing"

    CLOCK_GOOD = "clock_good"  # ms
    CLOCK_WRONG = "clock_wrong"  # seconds

    URL_UNREACHABLE = "url_unreachable"  # url, reason
    URL_NO_NODE = "url_no_node"  # url, status
    URL_NODE = "url_node"  # url, node
    URL_NOT_READY = "url_not_ready"  # node, reasons
    URL_PLAIN = "url_plain"  # url
    URL_REFUSES_HOST = "url_refuses_host"  # host
    URL_LOSES_HEADERS = "url_loses_headers"  # headers
    URL_REFUSES_ORIGIN = "url_refuses_origin"  # origin
    URL_TAKES_NO_CLIENTS = "url_takes_no_clients"  # reason
    URL_NO_WEBSOCKET = "url_no_websocket"  # status
    URL_SILENT = "url_silent"
    URL_WEBSOCKET = "url_websocket"  # ms


@dataclass(frozen=True)
class Finding:
    """One thing that was found."""

    level: Level
    fact: Fact
    values: dict[str, Any]


def good(fact: Fact, **values: Any) -> Finding:
    return Finding(Level.GOOD, fact, values)


def unknown(fact: Fact, **values: Any) -> Finding:
    return Finding(Level.UNKNOWN, fact, values)


def warn(fact: Fact, **values: Any) -> Finding:
    return Finding(Level.WARN, fact, values)


def bad(fact: Fact, **values: Any) -> Finding:
    return Finding(Level.BAD, fact, values)


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing must be changed."""
    return all(finding.level is not Level.BAD for finding in findings)
