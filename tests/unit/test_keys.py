"""Keys of one conversation share a slot of a Redis Cluster, and stay where they are from version to version."""

import hashlib
import re
from bisect import bisect_right
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from sio_server.protocol.events import ID_PATTERN, USER_ID_PATTERN
from sio_server.store import keys
from sio_server.store.keys import ConversationKeys
from sio_server.store.partitions import PARTITIONS, TABLE, TAGS, partition, tag

SLOTS = 16_384

ids = st.from_regex(ID_PATTERN, fullmatch=True)
user_ids = st.from_regex(USER_ID_PATTERN, fullmatch=True)


def hash_tag(key: str) -> str:
    """What Redis Cluster hashes: between the first `{` and the next `}`."""
    found = re.search(r"\{([^}]+)\}", key)
    assert found is not None, f"{key} has no hash tag"
    return found.group(1)


@given(ids)
def test_all_keys_of_a_conversation_carry_the_tag_of_its_partition(conversation_id: str) -> None:
    all_keys = vars(ConversationKeys(conversation_id)).values()
    assert {hash_tag(key) for key in all_keys} == {f"rg:{TAGS[partition(conversation_id)]}"}
    assert len(set(all_keys)) == len(all_keys)


@given(ids, ids)
def test_two_conversations_share_no_key_but_their_partitions(one: str, other: str) -> None:
    common = set(vars(ConversationKeys(one)).values()) & set(vars(ConversationKeys(other)).values())
    if one != other:
        number = partition(one)
        of_partition = {
            key(number)
            for key in (keys.runs, keys.stats, keys.hooks, keys.due, keys.swept, keys.archive_gone, keys.files_due)
        }
        shared = of_partition | {ConversationKeys(one).run_prefix}
        assert common <= shared


@pytest.mark.parametrize(
    ("conversation_id", "number"), [("general", 42), ("c-1", 62), ("team.a:b", 85), ("0", 65), ("Z" * 64, 9)]
)
def test_a_known_conversation_is_in_the_partition_it_has_always_been_in(conversation_id: str, number: int) -> None:
    assert partition(conversation_id) == number


@pytest.mark.parametrize("primaries", [2, 3, 4, 6, 8, 12, 16, 24, 32])
def test_partitions_spread_evenly_over_the_primaries_of_a_cluster(primaries: int) -> None:
    # As `redis-cli --cluster create` gives each primary its slots.
    ends = [round((number + 1) * SLOTS / primaries) for number in range(primaries)]
    counts = Counter(bisect_right(ends, key_slot(tag(number).encode())) for number in range(PARTITIONS))
    assert set(counts.values()) == {PARTITIONS // primaries}
    assert len(counts) == primaries


def test_the_table_of_tags_has_not_changed_without_its_version() -> None:
    assert (TABLE, hashlib.sha256(" ".join(TAGS).encode()).hexdigest()[:16]) == (1, "b663d9a42ed4850e")
    assert len(set(TAGS)) == PARTITIONS


@given(ids)
def test_every_partition_is_one_of_those_that_have_a_run_queue(conversation_id: str) -> None:
    queues = [keys.runs(number) for number in range(PARTITIONS)]
    assert ConversationKeys(conversation_id).runs in queues


@given(user_ids)
def test_keys_of_one_user_share_a_slot_of_their_own(user_id: str) -> None:
    kinds = (keys.user_sessions, keys.user_devices, keys.user_signed_out, keys.user_conversations)
    names = {key(user_id) for key in kinds}
    assert {hash_tag(name) for name in names} == {f"rg:u:{user_id}"}
    assert len(names) == len(kinds)


def test_the_rooms_of_a_user_and_of_a_conversation_with_the_same_id_differ() -> None:
    assert keys.user_room("ann") != keys.conversation_room("ann")


def test_the_keys_of_a_node_name_it() -> None:
    names = {keys.node("web-1"), keys.node_sessions("web-1"), keys.heartbeat_channel("web-1")}
    assert len(names) == 3
    assert names.isdisjoint({keys.node("web-2"), keys.node_sessions("web-2"), keys.heartbeat_channel("web-2")})
