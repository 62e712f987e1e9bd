"""Every Redis key and lifetime, in one place.

Keys of one conversation carry the hash tag of its partition, such as `{rg:8z}` (`partitions.py`), so that one
script's keys share a slot of a Redis Cluster. Keys of one user carry the user's own tag.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

from sio_server.store.partitions import partition, tag

TRACE = "rg:trace"  # the channel of trace events, for the stage; nothing depends on it

FORMAT = "rg:format"  # how keys are laid out, JSON; see `store/format.py`
MIGRATION = "{rg:format}:migration"  # string: which process brings data to another format, beside FORMAT; expires
NODES = "rg:nodes"  # sorted set: node id -> time of its last heartbeat (ms, Redis' clock)
SHARED_SECRET = "rg:secret"  # makes ids of conversations; signs guests' tokens when no AUTH_SECRET is set
DISABLED_HOOKS = "rg:hooks-disabled"  # hash: endpoint of webhooks that is told nothing more -> why (JSON)
DELETIONS = "rg:deletions"  # hash: user who is being deleted -> how (JSON); see `data/user_deletion.py`
RETENTION = "rg:retention"  # what is kept how long, as nodes were set last: "<settings> <since, ms>"
SWEEPER = "rg:sweeper"  # string: id of the node that looks for what need be kept no longer; expires
REVOCATIONS = "rg:revocations"  # grows when tokens are revoked: a node that finds it changed looks at its sessions
WORKERS = "workers"  # the consumer group on every run queue

REQUEST_KEPT_MS = 24 * 3600 * 1000  # the result of a request that has made no entry is kept so long
CALL_KEPT_MS = 10_000  # the reply to one call of a script is kept so long, in case that it was lost
RUN_RECORD_KEPT_MS = 24 * 3600 * 1000  # the record of a finished run is kept so long
ENTRY_BYTES = 300  # what an entry or a draft has beside its data, about
NODE_TTL_MS = 5_000  # a node that has not been heard for so long is dead
DEVICES_KEPT_MS = 90 * 24 * 3600 * 1000  # a user's devices are remembered so long after the last session
LAST_END_MS = 300_000  # why a session was disconnected is told to a device that returns within this time
UNLISTED_KEPT_MS = 30 * 24 * 3600 * 1000  # which conversations a user has left is known so long
UNREAD_BYTES = 256 * 1024  # of entries of a conversation in which a list looks for unread ones
LISTED_BYTES = 1_000_000  # of entries that one step looks at for a list, about
SEARCHED_BYTES = 1_000_000  # of entries that one step of a search looks through, about
PRESENCE_ROOMS = 200  # a user's coming and going is told to the members of at most so many of the conversations
MAX_UNLISTED = 1000  # conversations that a user has left, the latest
DROPPED_AT_ONCE = 8  # entries that the step drops which appends one
ARCHIVED_AT_LEAST = 100  # entries, in an object of the archive
RECORDS_LOOKED_AT = 2000  # entries in which the step that deletes a conversation looks for records of runs
MAX_EDITS = 1000  # of a message, which are deleted with it
ANY_BODY = "0" * 40  # in the result of a request, in place of the digest of its body
REWRITTEN_ENTRIES = 2000  # a log of at most so many is written again, to leave nothing of deleted entries
MAX_HOOKS = 2_000  # entries that wait for webhooks in a partition, about; older ones are dropped
LEASE_MS = 3_000  # unless LEASE is set: a lease that has not been renewed for so long may be taken by another node


def node(node_id: str) -> str:
    """Hash: what a node says of itself. Expires NODE_TTL_MS after its last heartbeat."""
    return f"rg:node:{node_id}"


def limit(kind: str, who: str) -> str:
    """String: how far what was spent under each rate of a limit reaches into the future. Expires with it."""
    return f"rg:limit:{kind}:{who}"


def node_sessions(node_id: str) -> str:
    """Hash: session id -> user id. Removed by whoever finds the node dead."""
    return f"rg:node:{node_id}:sessions"


def heartbeat_channel(node_id: str) -> str:
    """The channel on which a node hears itself, to know that its bus is alive."""
    return f"rg:heartbeat:{node_id}"


def shard_heartbeat_channel(label: str, node_id: str) -> str:
    """The same for one shard of a Redis Cluster: it is one that has the slot of this label."""
    return f"{{rg:{label}}}:heartbeat:{node_id}"


def user_sessions(user_id: str) -> str:
    """Hash: session id -> "<device id> <JSON>"."""
    return f"{{rg:u:{user_id}}}:sessions"


def user_devices(user_id: str) -> str:
    """Hash: device id -> "<last seen> <1: renamed> <name>". Expires DEVICES_KEPT_MS after the last session."""
    return f"{{rg:u:{user_id}}}:devices"


def user_signed_out(user_id: str) -> str:
    """Hash: device id, or * for all -> "<ms> <by, JSON>": tokens issued until then are refused. Never expires."""
    return f"{{rg:u:{user_id}}}:signed-out"


def user_last_end(user_id: str, device_id: str) -> str:
    """String: why the device's last session was disconnected (JSON). Expires.

    Once a session has been told it is "<session id> <JSON>", for some seconds.
    """
    return f"{{rg:u:{user_id}}}:last-end:{device_id}"


def user_device_link(user_id: str, link_hash: str) -> str:
    """String: "<made, ms> <device that used it, or -> <device that made it> <JSON>" of a code. Expires."""
    return f"{{rg:u:{user_id}}}:device-link:{link_hash}"


def user_call(user_id: str, call_id: str) -> str:
    """The reply to one call of a script (JSON), for some seconds, in case that it was lost."""
    return f"{{rg:u:{user_id}}}:call:{call_id}"


def user_request(user_id: str, request_id: str) -> str:
    """The result of a request that has changed a device of the user."""
    return f"{{rg:u:{user_id}}}:request:{request_id}"


def user_conversations(user_id: str) -> str:
    """Sorted set (all scores 0): ids of the user's conversations; may name one the user has just left."""
    return f"{{rg:u:{user_id}}}:conversations"


def user_unlisted(user_id: str) -> str:
    """Sorted set: conversation id -> when (ms) it went out of the user's list. Expires UNLISTED_KEPT_MS later."""
    return f"{{rg:u:{user_id}}}:unlisted"


def user_reserved(user_id: str) -> str:
    """Hash: conversation id -> bytes that the user may write there; "" -> their sum."""
    return f"{{rg:u:{user_id}}}:reserved"


def user_inviting(user_id: str) -> str:
    """Sorted set: "<conversation id> <user id>" of invitations by this user -> until when (ms) they hold."""
    return f"{{rg:u:{user_id}}}:inviting"


def runs(partition_number: int) -> str:
    """Stream: the run queue of a partition."""
    return f"{tag(partition_number)}:runs"


def bells(partition_number: int) -> str:
    """Channel: on a Redis Cluster, that something is new on the run queue of a partition. It may be lost."""
    return f"{tag(partition_number)}:bells"


def hooks(partition_number: int) -> str:
    """Stream: entries for webhooks: c: conversation, t: type, e: the envelope. Expires unless it is renewed."""
    return f"{tag(partition_number)}:hooks"


def hook_state(partition_number: int) -> str:
    """Hash: "<endpoint> <field>": position in the stream, owner and until of the lease, ...; expires with it."""
    return f"{tag(partition_number)}:hook-state"


def due(partition_number: int) -> str:
    """Sorted set: "<conversation id> <schedule id>" -> when (ms) it is due, or may be claimed again."""
    return f"{tag(partition_number)}:due"


def swept(partition_number: int) -> str:
    """Sorted set: id of each conversation of a partition -> when (ms) it was last swept; see `lua/sweep.lua`."""
    return f"{tag(partition_number)}:swept"


def archive_gone(partition_number: int) -> str:
    """Sorted set: what is to be deleted in the archive -> when (ms), at the earliest.

    It is the name of an object, or "<conversation id>/<archive>" or "<conversation id>": all of a conversation's.
    """
    return f"{tag(partition_number)}:archive-gone"


def stats(partition_number: int) -> str:
    """Hash: how many conversations, entries and runs the partition has seen; `primary`: by which failover.

    `primary0`: the first that was noted. On a Redis Cluster `noted` says of which primary `primary` is: its
    replid, id and configuration epoch.
    """
    return f"{tag(partition_number)}:stats"


def checkpoint_threads(partition_number: int) -> str:
    """Set: ids of the threads of checkpoints of a partition's conversations, of the plain saver."""
    return f"{tag(partition_number)}:threads"


class MemoryKeys:
    """The keys of one partition of the graphs' store, that of all namespaces with the same first label."""

    def __init__(self, number: int) -> None:
        base = f"{tag(number)}:memory"
        self.items = f"{base}:items"  # hash: member -> times and value; see dialog/memory/lua/_items.lua
        self.order = f"{base}:order"  # sorted set (all scores 0): members
        self.updated = f"{base}:updated"  # sorted set: member -> when it was written last (microseconds)
        self.expiries = f"{base}:expiries"  # sorted set: member -> when it expires (microseconds)

    @property
    def all(self) -> list[str]:
        """The keys in the order in which the store's scripts name them."""
        return [self.items, self.order, self.updated, self.expiries]


MEMORY_VECTORS = (
    "rg:memory-vectors"  # + dimensions: the index; + dimensions, digest of a member: JSON, its vectors
)


class CheckpointKeys:
    """The keys of one thread of checkpoints, of the plain saver; all share the slot of its conversation.

    A thread is named `<conversation id>@<the rest>`; one without `@` is named as a conversation.
    """

    def __init__(self, thread_id: str) -> None:
        conversation_id = thread_id.rpartition("@")[0] or thread_id
        number = partition(conversation_id)
        base = tag(number)
        self.checkpoints = f"{base}:checkpoints:{thread_id}"  # hash: namespace, id -> record, and namespace -> id
        self.order = f"{base}:checkpoint-order:{thread_id}"  # list: checkpoints in the order of their writing
        self.values = f"{base}:checkpoint-values:{thread_id}"  # hash: namespace, channel, version -> value
        self.writes = f"{base}:checkpoint-writes:{thread_id}"  # sorted set (all scores 0): what tasks have written
        self.threads = checkpoint_threads(number)
        self.lease = conversation_keys(conversation_id).lease
        # in the order in which the savers' scripts name them (`lua/_thread.lua`)
        self.all = [self.checkpoints, self.order, self.values, self.writes, self.threads, self.lease]


@lru_cache(maxsize=500)
def checkpoint_keys(thread_id: str) -> CheckpointKeys:
    """The keys of one thread of checkpoints; those of threads that are being written are made once."""
    return CheckpointKeys(thread_id)


class ConversationKeys:
    """The keys of one conversation."""

    def __init__(self, conversation_id: str) -> None:
        partition_tag = tag(partition(conversation_id))
        base = f"{partition_tag}:conv:{conversation_id}"
        self.meta = f"{base}:meta"  # hash: META_FIELDS
        self.members = f"{base}:members"  # hash: user id -> role
        self.invitations = f"{base}:invitations"  # sorted set: user id -> until when (ms) the user may join
        # stream: <seq>-0 -> e: the finished envelope, k: its field in `sent`, a: the author of a message,
        # for whom its bytes count, or "agent:" of an answer or question, m: whom a message mentions, " name name "
        self.log = f"{base}:log"
        # hash: seq of an entry that was deleted, or is without a user who was
        # -> "<its field in `sent`>\n<m: a message>\n<what it is now>"
        self.deleted = f"{base}:deleted"
        # hash: "<user id> <request_id>" -> "<digest> <call id> <seq> <reply>", as long as the entry seq, and
        # no longer than REQUESTS_KEPT; user id -> request_id of the user's message whose result was dropped last
        self.sent = f"{base}:sent"
        self.reads = f"{base}:reads"  # hash: user id -> seq
        # hash: user id -> when (ISO) the user's read mark or draft has last changed; "" -> when the epoch has
        self.touched = f"{base}:touched"
        self.listed = f"{base}:listed"  # hash: user id -> how it stands in the user's list: p: pinned, a: archived
        self.drafts = f"{base}:drafts"  # hash: user id -> JSON {text, rev, device_id, session_id}
        self.delivered = f"{base}:delivered"  # sorted set: "<user id> <device id>" -> seq
        self.lease = f"{base}:lease"  # hash: owner, token, run_id, ms (how long it lasts); expires with the lease
        self.unfinished = f"{base}:unfinished"  # sorted set: run id -> its place in the order of turns
        self.interrupts = f"{base}:interrupts"  # hash: id of an open interrupt -> the graph's own id of it
        self.forms = f"{base}:forms"  # hash: id of an open interrupt -> how it may be answered (JSON)
        self.answers = f"{base}:answers"  # hash: the graph's id -> value (JSON), until all have been answered
        self.resolved = (
            f"{base}:resolved"  # hash: interrupt id -> how it was resolved (JSON), until others are asked
        )
        self.threads = f"{base}:threads"  # list: threads of finished runs, newest first
        # hash: user id -> bytes of the user's messages and draft; "granted <user id>" -> how many there may be;
        # "left <user id>": the user was a member
        self.usage = f"{base}:usage"
        self.retired = f"{base}:retired"  # set: threads that nobody needs, until they have been deleted
        self.turns = (
            f"{base}:turns"  # sorted set: seq of a current entry -> that of the message its turn began with
        )
        self.hidden = f"{base}:hidden"  # hash: seq of an entry that is not current -> seq of the one that hides it
        # hash, for data that is too long for the log: seq -> how many pages it has; "<seq> <page>" -> text
        self.long = f"{base}:long"
        # + run id: hash, the run record; + ":parts": list of the heads (JSON) of what it says; + ":text:<part>":
        # the text of each so far; + ":reports": list of what it reported
        self.run_prefix = f"{partition_tag}:run:"
        self._call_prefix = f"{base}:call:"
        self._request_prefix = f"{partition_tag}:request:{conversation_id} "
        self.runs = runs(partition(conversation_id))
        self.stats = stats(partition(conversation_id))
        self.hooks = hooks(partition(conversation_id))
        self.schedules = (
            f"{base}:schedules"  # hash: schedule id -> "<due ms, 0: no more> <what is to be done, JSON>"
        )
        self.due = due(partition(conversation_id))
        self.swept = swept(partition(conversation_id))
        self.gone = archive_gone(partition(conversation_id))
        self.archived = f"{base}:archived"  # sorted set: name of an object -> seq of its first entry

    def all(self) -> tuple[str, ...]:
        """The keys in the order of CONVERSATION_KEYS, as scripts get them."""
        return self._in_order

    @cached_property
    def _in_order(self) -> tuple[str, ...]:
        return tuple(getattr(self, name) for name in CONVERSATION_KEYS)

    def call(self, call_id: str) -> str:
        """The reply to one call of a script (JSON), for some seconds, in case that it was lost."""
        return f"{self._call_prefix}{call_id}"

    def request(self, user_id: str, request_id: str) -> str:
        """The result of a request that has made no entry, for REQUEST_KEPT_MS."""
        return f"{self._request_prefix}{user_id} {request_id}"


@lru_cache(maxsize=2000)
def conversation_keys(conversation_id: str) -> ConversationKeys:
    """The keys of one conversation; those of busy ones are made once."""
    return ConversationKeys(conversation_id)


META_FIELDS = {
    "epoch": "of the log",
    "seq": "of the last entry",
    "n": "of the last event in the conversation's stream",
    "ts": "of the last entry",
    "first": "seq of the oldest entry that is kept",
    "retention": "how many entries are kept, 0: all",
    "archive": "the name of its archive",
    "archived_from": "seq of the oldest entry in the archive",
    "changes": "how often entries of the log have been changed",
    "left_threads": "a node has to delete retired threads that no run of its own has left",
    "rewrite": "entries were deleted since the log was last written again",
    "results_from": "seq of the oldest entry whose request's result may be kept",
    "owner": "user id of the user who created the conversation",
    "digest": "of the request that created it",
    "title": "setting",
    "access": "setting: open or invitation",
    "agent": "setting: when the agent answers",
    "graph": "setting: which agent",
    "agent_name": "its name, as people see it",
    "context": "of the graph, JSON or ''; not shown to members",
    "multitask": "setting: what a second message does to a run",
    "approvals": "setting: which members may answer interrupts",
    "invites": "setting: which members may invite",
    "fence": "the count in the last fencing token",
    "thread": "the thread of checkpoints at which the dialog stands",
    "said_seq": "of the last message or answer",
    "draft_rev": "the revision of the newest draft",
    "cut_in": "the start of Redis in which a device has last caused a new epoch",
    "primary": "the promotion of Redis in which its epoch was last looked at",
    "message_seq": "of the last message",
    "message_user": "its author",
    "turn_seq": "of the message that began the last turn",
    "turn_final": "seq of the entry that ended it",
    "turn_base": "the thread from which it began",
    "asked_seq": "of the entry whose interrupts are open",
    "asked_in": "the thread in which they were asked",
    "asked_base": "turn_base of the turn that asked",
    "asked_for": "turn_seq of the turn that asked",
    "regenerated": "turn_final of the turn that was regenerated last",
    "regenerated_by": "the run that did so",
}

# The names by which scripts know the keys of a conversation, and those of a user, in this order.
CONVERSATION_KEYS = (
    *("meta", "members", "invitations", "log", "sent", "reads", "drafts", "delivered"),
    *("lease", "unfinished", "interrupts", "answers", "resolved", "threads", "retired", "usage"),
    *("forms", "turns", "hidden", "touched", "long", "run_prefix", "runs", "stats", "hooks"),
    *("schedules", "due", "swept", "deleted", "gone", "archived", "listed"),
)
USER_KEYS = (
    "sessions",
    "devices",
    "signed_out",
    "conversations",
    "reserved",
    "inviting",
    "unlisted",
    "last_end_prefix",
    "device_link_prefix",
)


def user_keys(user_id: str) -> list[str]:
    """The keys of a user in the order of USER_KEYS, as scripts get them."""
    return [
        *(user_sessions(user_id), user_devices(user_id), user_signed_out(user_id)),
        *(user_conversations(user_id), user_reserved(user_id), user_inviting(user_id), user_unlisted(user_id)),
        *(user_last_end(user_id, ""), user_device_link(user_id, "")),
    ]


# Rooms.

CONVERSATION_ROOM = "conversation:"
USER_ROOM = "user:"


def conversation_room(conversation_id: str) -> str:
    """The room of the sessions that follow a conversation."""
    return CONVERSATION_ROOM + conversation_id


def user_room(user_id: str) -> str:
    """The room of a user's sessions."""
    return USER_ROOM + user_id


# Channels of the bus: one for each room. A script publishes on channels of its own hash tag only.


def conversation_channel(conversation_id: str) -> str:
    """The channel of what is told to the room of a conversation."""
    return f"{tag(partition(conversation_id))}:conv:{conversation_id}:bus"


def user_channel(user_id: str) -> str:
    """The channel of what is told to the room of a user."""
    return f"{{rg:u:{user_id}}}:bus"


def channel_of(room: str) -> str:
    """The channel of a room. Raises ValueError for what is no room."""
    if room.startswith(CONVERSATION_ROOM):
        return conversation_channel(room.removeprefix(CONVERSATION_ROOM))
    if room.startswith(USER_ROOM):
        return user_channel(room.removeprefix(USER_ROOM))
    raise ValueError(f"{room!r} is no room: it begins with {CONVERSATION_ROOM!r} or {USER_ROOM!r}")


def room_of(channel: str) -> str:
    """The room whose channel this is, the reverse of `channel_of`."""
    if channel.startswith("{rg:u:"):
        return user_room(channel.removeprefix("{rg:u:").removesuffix("}:bus"))
    return conversation_room(channel.partition(":conv:")[2].removesuffix(":bus"))
