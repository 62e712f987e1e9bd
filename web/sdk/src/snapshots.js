// What is known at a moment, as plain values for a user interface; their objects are those of the protocol.

/** @returns {import("./types.js").ClientSnapshot} */
export function ofClient(client) {
  const { link: status, node, me: user_id, name, devices, graphs, features, limits, error, connection } = client;
  const conversations = [...client.conversations.values()].filter((c) => c.role).map(summary);
  conversations.sort((a, b) => (a.lastActivity < b.lastActivity ? 1 : -1));
  return { status, node, user_id, name, devices, graphs, features, limits, error, retryAt: connection.retryAt, conversations };
}

function summary({ id, title, role, pinned, archived, last, lastActivity, unread, draft }) {
  return { id, title, role, pinned, archived, last, lastActivity, unread: unread?.count ?? 0, mentions: unread?.mentions ?? 0, draft: draft.text };
}

/** @returns {import("./types.js").ConversationSnapshot} */
export function ofConversation(c) {
  const { client, stream } = c;
  const { current: run = null } = stream;
  const status = c.error ? "refused" : !c.loaded ? "opening" : stream.syncing ? "catching_up" : "in_step";
  return {
    id: c.id,
    status,
    error: c.error,
    verdict: c.verdict,
    connection: client.link,
    title: c.title,
    role: c.role,
    access: c.access,
    agent: c.agent,
    graph: c.graph,
    approvals: c.approvals,
    invites: c.invites,
    multitask_strategy: c.strategy,
    owner: c.owner,
    entries: c.shown.filter(c.isCurrent),
    atEnd: !c.aside,
    hasOlder: Boolean(c.hasOlder),
    pending: client.outbox.of(c.id).filter((item) => item.state !== "sent" || item.seq > c.head),
    run,
    waiting: [...stream.runs.values()].slice(1),
    questions: [...stream.interrupts.values()].filter(({ interrupt_id }) => !c.resolved.has(interrupt_id)),
    resolved: new Map(c.resolved),
    members: c.members,
    read: c.read,
    reads: new Map(c.reads),
    unread: c.unread?.count ?? 0,
    mentions: c.unread?.mentions ?? 0,
    draft: c.draft.text,
    typing: [...c.typing.keys()].filter((userId) => userId !== client.me),
  };
}
