// Types of what others bring: they exist in comments only.

/**
 * Where unsent messages and drafts are kept. `memoryStore()` is one, `indexedDBStore()` another.
 * @typedef {object} Store
 * @property {boolean} shared other clients use it as well: then messages that a closed one has left are sent here
 * @property {{request: Function}} [locks] Web Locks, by which the clients of a shared store know which of them live
 * @property {(act: (records: StoredMessage[], table: Table) => void) => Promise<void>} step one transaction: `act` is
 *   given all records, and changes them by `table`; steps of other clients come before or after it
 * @property {(key: string) => KeptDraft | null | undefined | Promise<KeptDraft | null | undefined>} draft what was typed and not saved before
 * @property {(key: string, kept: KeptDraft | null) => void} keepDraft null: the server has it
 */

/**
 * @typedef {object} Table
 * @property {(record: StoredMessage) => void} put
 * @property {(requestId: string) => void} delete
 */

/** @typedef {{text: string, rev: number, epoch?: string}} KeptDraft */

/**
 * @typedef {object} StoredMessage
 * @property {string} request_id
 * @property {string} conversation_id
 * @property {string} text
 * @property {number} [edits] the seq of the message that it replaces
 * @property {object} [more] other fields of the request
 * @property {string} ts
 * @property {number} order
 * @property {string} user
 * @property {string} device
 * @property {"waiting" | "sent" | "refused"} state
 * @property {{code: string, message: string}} [error] why it was refused
 * @property {{code: string, message: string}} [delayed] why the server takes it later
 * @property {number} [seq] once it is in the log
 */

/**
 * What a conversation shows at a moment. The objects in it are those of docs/protocol.md.
 * @typedef {object} ConversationSnapshot
 * @property {string} id
 * @property {Status} status
 * @property {ProtocolError | null} error why it could not be opened, or is no longer this user's
 * @property {"resumed" | "snapshot" | "reset" | null} verdict of the last catch-up
 * @property {Link} connection
 * @property {string} title
 * @property {"" | "invited" | "member" | "owner"} role
 * @property {Settings["access"]} [access]
 * @property {Settings["agent"]} [agent]
 * @property {string} [graph]
 * @property {Settings["approvals"]} [approvals]
 * @property {Settings["invites"]} [invites]
 * @property {Settings["multitask_strategy"]} [multitask_strategy]
 * @property {string} [owner] a user id
 * @property {boolean} pinned
 * @property {boolean} archived
 * @property {Entry[]} entries those that are current, in order
 * @property {Map<number, Reaction[]>} reactions by the seq of what they are given to
 * @property {Map<number, Entry[]>} versions what was answered in a turn before it was answered again, the oldest first,
 *   by `turn_id`
 * @property {boolean} atEnd they reach to the newest one; otherwise `loadAt` has led to an earlier stretch
 * @property {boolean} hasOlder `loadBefore()` gives more
 * @property {StoredMessage[]} pending messages of this user's that are not in the log yet
 * @property {Run | null} run that is being written, or is next
 * @property {Run[]} waiting the runs after it
 * @property {OpenQuestion[]} questions that wait for an answer
 * @property {Map<string, Resolved>} resolved how others were answered, by `interrupt_id`
 * @property {Member[] | null} members once `loadMembers()` was called
 * @property {number} read this user's read mark
 * @property {Map<string, number>} reads everyone's
 * @property {Map<string, number>} delivered up to which seq a device has everything, by `"<user id> <device id>"`
 * @property {number} unread
 * @property {number} mentions
 * @property {string} draft
 * @property {string[]} typing ids of other users
 */

/**
 * @typedef {object} ClientSnapshot
 * @property {Link} status
 * @property {ProtocolError | null} error why the client has ended, or why it is not connected or in step yet
 * @property {number} retryAt when the next attempt to connect is due (ms since 1970), or 0
 * @property {string} node
 * @property {string} user_id
 * @property {string} name
 * @property {(import("./protocol.js").DeviceState & {here: boolean})[]} devices
 * @property {string[]} graphs
 * @property {string[]} features
 * @property {import("./protocol.js").Limits} limits
 * @property {Summary[]} conversations the newest first
 */

/**
 * @typedef {object} Summary
 * @property {string} id
 * @property {string} title
 * @property {"invited" | "member" | "owner"} role
 * @property {boolean} pinned
 * @property {boolean} archived
 * @property {{seq: number, user_id: string, name: string, text: string, deleted?: boolean} | null} last
 * @property {string} lastActivity
 * @property {number} unread
 * @property {number} mentions
 * @property {string} draft
 */

/** @typedef {"connecting" | "online" | "catching" | "reconnecting" | "offline" | "ended"} Link */
/**
 * opening: its entries are on their way, or will be when there is a connection; catching_up: what came meanwhile is;
 * refused: see `error`, `open` tries again; closed: by `close`; removed: the user is no longer in it, or it was deleted
 * @typedef {"opening" | "catching_up" | "in_step" | "refused" | "closed" | "removed"} Status
 */
/** @typedef {{code: string, message?: string, retryable?: boolean, details?: import("./protocol.js").ErrorObject["details"]}} ProtocolError */
/** @typedef {Pick<import("./protocol.js").SyncResult, "access" | "agent" | "multitask_strategy" | "approvals" | "invites">} Settings */
/** @typedef {import("./protocol.js").LoggedEntry} Entry */
/** @typedef {import("./protocol.js").Run & {withdrawn: import("./protocol.js").SaidPart[]}} Run */
/** @typedef {import("./protocol.js").OpenQuestion} OpenQuestion */
/** @typedef {import("./protocol.js").Answered | import("./protocol.js").Superseded} Resolved */
/** @typedef {import("./protocol.js").Member & {name: string}} Member */
/** @typedef {{reaction: string, users: {user_id: string, name: string}[]}} Reaction */

/**
 * What listeners of `client.on` are given.
 * @typedef {object} Events
 * @property {(requestId: string, seq: number) => void} acked the server has it
 * @property {(error: ProtocolError) => void} ended
 * @property {(conversation: import("./conversation.js").Conversation, entry: Entry) => void} entry
 * @property {(name: string, payload: any) => void} event any of the server's
 * @property {() => void} failed no node could be reached
 * @property {(opened: import("./protocol.js").SessionOpened) => void} ready
 * @property {(conversation: import("./conversation.js").Conversation) => void} removed
 * @property {(conversation: import("./conversation.js").Conversation) => void} reset
 * @property {(conversationId: string, requestId: string) => void} sent
 * @property {(error: any) => void} store_failed
 */

/**
 * What a request is asked with; its `request_id` need not be given.
 * @template {keyof import("./protocol.js").Requests} Event
 * @typedef {Omit<import("./protocol.js").Requests[Event], "request_id"> & {request_id?: string}} Payload
 */

/**
 * @template {keyof import("./protocol.js").Acks} Event
 * @typedef {Exclude<import("./protocol.js").Acks[Event], import("./protocol.js").Refusal>} Ack
 */

export {};
