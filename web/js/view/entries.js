// What kind an entry is of, and by which key its line is found.

import { state } from "../state.js";

// Entries that say or ask something are shown as messages, the others in one line.
export const isMessage = ({ data }) => !data.deleted && data.user_id && (data.text || data.parts || data.interrupts || data.files);
export const isFinal = ({ data }) => data.run_id && data.user_id && !data.request_id;
export const isMine = ({ data }) => data.request_id && data.user_id === state.me;
export const byOthers = (entry) => isMessage(entry) && entry.data.user_id !== state.me;

// The same before and after it is in the log.
export const runKey = ({ run_id }) => `run ${run_id}`;
export const sentKey = ({ user_id, request_id }) => `${user_id} ${request_id}`;
export const keyOf = ({ seq, data }) => (data.request_id ? sentKey(data) : isFinal({ data }) ? runKey(data) : seq);
