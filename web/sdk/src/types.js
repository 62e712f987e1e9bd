// Types of what others bring: they exist in comments only.

/**
 * Where unsent messages and drafts are kept. `memoryStore()` is one, `indexedDBStore()` another.
 * @typedef {object} Store
 * @property {boolean} shared other clients use it as well: then messages that a closed one has left are sent here
 * @property {LockManager} [locks] Web Locks, by which the clients of a shared store know which of them live
 * @property {(act: (records: StoredMessage[], table: Table) => void) => Promise<void>} step one transaction: `act` is
 *   given all records, and changes them by `table`; steps of other clients come before or after it
 * @property {(key: string) => KeptDraft | null} draft what was typed and not saved before
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
 * @property {number} [seq] once it is in the log
 */

export {};
