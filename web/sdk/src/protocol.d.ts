// Made from docs/protocol.schema.json by scripts/schema: do not edit.

/** The ack of a request that was carried out. */
export type Ack = {
  ok: true;
};

/** The data of `answer`; `text` is what was said last. No `parts`: it is all that was said. */
export type Answer = {
  user_id: string;
  name: string;
  role: "assistant";
  run_id: string;
  attempt: number;
  node?: string;
  input_seq: number;
  replaces?: number;
  deleted?: true;
  text: string;
  parts?: SaidPart[];
  tools: Tool[];
};

export type AnswerEntry = {
  v: 2;
  conversation_id: string;
  epoch: string;
  seq: number;
  ts: string;
  turn_id?: number;
  hides?: number[];
  hidden_by?: number;
  pages?: number;
  n?: number;
  session_id?: string;
  type: "answer";
  data: Answer;
};

/** The data of `interrupt_resolved`, answered; `run_id` is null while other questions are open. */
export type Answered = {
  interrupt_id: string;
  outcome: "answered";
  value: unknown;
  by: By;
  run_id: string | null;
};

/** A choice about an action; `labels` says what its arguments are called. */
export type ApprovalForm = {
  text: string;
  free: boolean;
  kind: "approval";
  options: Option[];
  action?: AskedAction;
  labels?: Record<string, string>;
};

/** What is done if the answer is yes. */
export type AskedAction = {
  name: string;
  args: Record<string, unknown>;
};

/** A member, on which device and in which session: the author of a stop or of an answer to a question. */
export type By = {
  user_id: string;
  name: string;
  device_id: string;
  device_name: string;
  session_id: string;
  bot?: true;
};

/** What a catch-up found, in figures for people. */
export type Card = {
  user_id?: string;
  verdict: string;
  reason: string;
  replayed: number;
  history: number;
  last_activity: string;
};

/** The value of an option answers; any text too where `free`. */
export type ChoiceForm = {
  text: string;
  free: boolean;
  kind: "choice";
  options: Option[];
};

/** The data of a `citation`; `text` is the words that are cited. */
export type CitationData = {
  url?: string;
  title?: string;
  text?: string;
};

/** Of `conversation:configure`: the settings as they are now, and whether one of them was another. */
export type ConfigureAck = {
  ok: true;
  conversation_id: string;
  agent: "always" | "mention" | "off";
  access: "open" | "invitation";
  multitask_strategy: "enqueue" | "interrupt" | "rollback" | "reject";
  approvals: "members" | "owner";
  invites: "members" | "owner";
  changed: boolean;
};

/** The data of `conversation_configured`: the user that changed settings, and how all of them are now. */
export type Configured = {
  user_id: string;
  name: string;
  agent: "always" | "mention" | "off";
  access: "open" | "invitation";
  multitask_strategy: "enqueue" | "interrupt" | "rollback" | "reject";
  approvals: "members" | "owner";
  invites: "members" | "owner";
};

/** The user's list of conversations has changed. */
export type ConversationChanged = {
  conversation_id: string;
  change: "joined" | "left" | "invited";
  title: string;
  by: SessionRef;
};

/** Change settings of a conversation, as its owner; those that are left out stay. */
export type ConversationConfigure = {
  request_id: string;
  conversation_id: string;
  agent?: "always" | "mention" | "off" | null;
  access?: "open" | "invitation" | null;
  multitask_strategy?: "enqueue" | "interrupt" | "rollback" | "reject" | null;
  approvals?: "members" | "owner" | null;
  invites?: "members" | "owner" | null;
};

export type ConversationConfiguredEntry = {
  v: 2;
  conversation_id: string;
  epoch: string;
  seq: number;
  ts: string;
  turn_id?: number;
  hides?: number[];
  hidden_by?: number;
  pages?: number;
  n?: number;
  session_id?: string;
  type: "conversation_configured";
  data: Configured;
};

/** Create a conversation and become its owner. Only an open conversation may be given an id: that of a private one would tell whether it is taken. */
export type ConversationCreate = {
  request_id: string;
  conversation_id?: string | null;
  title?: string;
  access?: "open" | "invitation";
  agent?: "always" | "mention" | "off";
  graph?: string | null;
  multitask_strategy?: "enqueue" | "interrupt" | "rollback" | "reject";
  approvals?: "members" | "owner";
  invites?: "members" | "owner";
  invite?: string[];
  context?: Record<string, unknown> | null;
};

export type ConversationCreatedEntry = {
  v: 2;
  conversation_id: string;
  epoch: string;
  seq: number;
  ts: string;
  turn_id?: number;
  hides?: number[];
  hidden_by?: number;
  pages?: number;
  n?: number;
  session_id?: string;
  type: "conversation_created";
  data: Created;
};

/** Delete a conversation with all that it has, as its owner or an operator. */
export type ConversationDelete = {
  request_id: string;
  conversation_id: string;
};

/** Invite users to a conversation one is a member of. */
export type ConversationInvite = {
  request_id: string;
  conversation_id: string;
  user_ids: string[];
};

/** Become a member (of an open conversation, or when invited) and follow it on this session. */
export type ConversationJoin = {
  request_id: string;
  conversation_id: string;
  position?: WirePosition | null;
};

/** Stop being a member; all this user's sessions stop following. */
export type ConversationLeave = {
  request_id: string;
  conversation_id: string;
};

/** This user's conversations in order of their ids, `limit` at a time, from above `after`. With `changed_since`, the `cursor` of an earlier answer, only those that have changed since. */
export type ConversationList = {
  after?: string | null;
  limit?: number;
  changed_since?: string | null;
};

/** Give a conversation another title, as its owner or an operator. */
export type ConversationRename = {
  request_id: string;
  conversation_id: string;
  title: string;
};

export type ConversationRenamedEntry = {
  v: 2;
  conversation_id: string;
  epoch: string;
  seq: number;
  ts: string;
  turn_id?: number;
  hides?: number[];
  hidden_by?: number;
  pages?: number;
  n?: number;
  session_id?: string;
  type: "conversation_renamed";
  data: Renamed;
};

/** The log has started over: sync. */
export type ConversationReset = {
  conversation_id: string;
  epoch?: string;
};

/** Of `conversation:create`. */
export type CreateAck = {
  title: string;
  access: "open" | "invitation";
  agent: "always" | "mention" | "off";
  graph: string;
  multitask_strategy: "enqueue" | "interrupt" | "rollback" | "reject";
  approvals: "members" | "owner";
  invites: "members" | "owner";
  conversation_id: string;
  verdict: "resumed" | "snapshot" | "reset";
  reason: "position_valid" | "no_position" | "new_epoch" | "older_than_retention" | "ahead_of_log";
  position: EpochSeq;
  after: number;
  n: number;
  head: number;
  more: boolean;
  entries: LoggedEntry[];
  runs: Run[];
  interrupts: OpenQuestion[];
  owner: string;
  reads?: Record<string, number>;
  delivered?: DeliveryMark[];
  card: Card;
  role: "owner" | "member";
  draft: Draft | null;
  members?: Member[] | null;
  ok: true;
  created: boolean;
};

/** The data of `conversation_created`: the owner, and the settings. */
export type Created = {
  title: string;
  access: "open" | "invitation";
  agent: "always" | "mention" | "off";
  graph: string;
  multitask_strategy: "enqueue" | "interrupt" | "rollback" | "reject";
  approvals: "members" | "owner";
  invites: "members" | "owner";
  user_id: string;
  name: string;
};

/** Of `conversation:delete`: whether there was something to delete. */
export type DeleteConversationAck = {
  ok: true;
  conversation_id: string;
  deleted: boolean;
};

/** Of `message:delete`: the entries that it has deleted; none, if that was done before. */
export type DeleteMessageAck = {
  ok: true;
  conversation_id: string;
  deleted: number[];
};

/** The data of `message_deleted`: whose doing it is, and the entries whose data has nothing left to show. */
export type Deleted = {
  user_id: string;
  name: string;
  deletes: number[];
};

/** What a device has received. */
export type DeliveryMark = {
  user_id: string;
  device_id: string;
  seq: number;
};

/** Make a code with which another device signs in as this user, once, within the next minutes. */
export type DeviceLink = {
  request_id: string;
};

/** This user's devices, online or not. */
export type DeviceList = Record<string, never>;

/** The device that signed another one out. */
export type DeviceRef = {
  device_id: string;
  device_name: string;
};

/** Call a device of one's own otherwise; it keeps the name, whatever it calls itself later. */
export type DeviceRename = {
  request_id: string;
  device_id: string;
  device_name: string;
};

/** A live connection of a device; `since` is a time. */
export type DeviceSession = {
  session_id: string;
  node: string;
  since: string;
};

/** End all sessions of a device of one's own; its tokens are not accepted any more. */
export type DeviceSignOut = {
  request_id: string;
  device_id: string;
};

/** A device of the user, with its sessions, the newest first. */
export type DeviceState = {
  device_id: string;
  device_name: string;
  online: boolean;
  sessions: DeviceSession[];
  last_seen: string;
};

/** Withdraw such a code. */
export type DeviceUnlink = {
  request_id: string;
  code: string;
};

/** Of `device:list`. */
export type DevicesAck = {
  ok: true;
  devices: DeviceState[];
};

/** The user's devices as they are now. */
export type DevicesChanged = {
  devices: DeviceState[];
};

/** A user's unsent text, and the session that saved it. */
export type Draft = {
  rev: number;
  device_id: string;
  text: string;
  session_id?: string;
};

/** Of `draft:save`. */
export type DraftAck = {
  ok: true;
  conversation_id: string;
  rev: number;
};

/** The user's unsent text has changed. */
export type DraftChanged = {
  conversation_id: string;
  draft: Draft;
};

/** This user's unsent text in a conversation; an empty text clears it. */
export type DraftSave = {
  request_id: string;
  conversation_id: string;
  text: string;
};

/** Why the server disconnected the device's last session, which could not be told. */
export type Ended = {
  session_id: string;
  reason: "not_reading" | "too_far_behind" | "flooding";
  ts: string;
};

/** One page of the whole data of an entry whose envelope has `pages`; pages count from 0. */
export type EntryRead = {
  conversation_id: string;
  seq: number;
  page: number;
};

/** Of `entry:read`: all texts joined are the JSON of the entry's whole data. */
export type EntryReadAck = {
  ok: true;
  conversation_id: string;
  epoch: string;
  seq: number;
  page: number;
  pages: number;
  text: string;
};

/** A position in a log. */
export type EpochSeq = {
  epoch: string;
  seq: number;
};

/** Why a request or a handshake was refused. */
export type ErrorObject = {
  code: string;
  message: string;
  retryable: boolean;
  retry_after_ms?: number;
  details?: Winner;
};

/** The data of `failed`. */
export type Failed = {
  user_id: string;
  name: string;
  role: "assistant";
  run_id: string;
  attempt: number;
  node?: string;
  input_seq: number;
  replaces?: number;
  deleted?: true;
  code: "graph_failed" | "timeout" | "no_answer" | "too_many_steps" | "interrupted_too_often" | "unknown_graph" | "graph_changed" | "node_lost" | "answer_too_large";
  reason: string;
};

export type FailedEntry = {
  v: 2;
  conversation_id: string;
  epoch: string;
  seq: number;
  ts: string;
  turn_id?: number;
  hides?: number[];
  hidden_by?: number;
  pages?: number;
  n?: number;
  session_id?: string;
  type: "failed";
  data: Failed;
};

/** The data of an `image` or `file`: an http or https address, or a data URL. */
export type FileData = {
  mime_type: string;
  url: string;
  name?: string;
};

/** An address under which a file is read for a while without a token, such as an image of a page. */
export type FileLink = {
  conversation_id: string;
  file_id: string;
};

/** Of `file:link`: a path of this server, below its address, which holds for so many seconds. */
export type FileLinkAck = {
  ok: true;
  url: string;
  expires_in: number;
};

/** The `auth` object of the handshake. A device keeps its `device_id` across sessions. */
export type HandshakeAuth = {
  token: string;
  device_id?: string | null;
  device_name?: string;
  bot?: boolean;
};

/** Of `history:read`: one page, ascending. */
export type HistoryAck = {
  ok: true;
  conversation_id: string;
  epoch: string;
  first: number;
  head: number;
  entries: LoggedEntry[];
};

/** One page of ascending entries: just above `after`, just below `before` (default: the end), on both sides of `around`, or from the first one that is not older than `since`. */
export type HistoryRead = {
  conversation_id: string;
  after?: number | null;
  before?: number | null;
  around?: number | null;
  since?: string | null;
  limit?: number;
};

/** An entry that a search has found; `text` is at most 200 characters around the first match. */
export type Hit = {
  conversation_id: string;
  title: string;
  seq: number;
  type: "message" | "answer" | "interrupt" | "stopped";
  ts: string;
  user_id: string;
  name: string;
  text: string;
};

/** The data of `interrupt`: what was said, and the questions; `parts` are what was said before it asked. `reason` says why they are asked again. */
export type Interrupt = {
  user_id: string;
  name: string;
  role: "assistant";
  run_id: string;
  attempt: number;
  node?: string;
  input_seq: number;
  replaces?: number;
  deleted?: true;
  text: string;
  parts?: SaidPart[];
  interrupts: Question[];
  reason?: string;
};

export type InterruptEntry = {
  v: 2;
  conversation_id: string;
  epoch: string;
  seq: number;
  ts: string;
  turn_id?: number;
  hides?: number[];
  hidden_by?: number;
  pages?: number;
  n?: number;
  session_id?: string;
  type: "interrupt";
  data: Interrupt;
};

export type InterruptResolvedEntry = {
  v: 2;
  conversation_id: string;
  epoch: string;
  seq: number;
  ts: string;
  turn_id?: number;
  hides?: number[];
  hidden_by?: number;
  pages?: number;
  n?: number;
  session_id?: string;
  type: "interrupt_resolved";
  data: Answered | Superseded;
};

/** Answer an interrupt: the graph is resumed with `value` when all of its interrupts are answered. */
export type InterruptRespond = {
  request_id: string;
  conversation_id: string;
  interrupt_id: string;
  value: unknown;
};

/** A conversation that the user is invited to. */
export type Invitation = {
  conversation_id: string;
  title: string;
  role: "invited";
};

/** Of `conversation:invite`: the users for whom it is new, and those who have never been here. */
export type InviteAck = {
  ok: true;
  conversation_id: string;
  invited: string[];
  unknown: string[];
};

/** In place of a conversation's result. */
export type ItemError = {
  error: ErrorObject;
};

/** Of `conversation:join`. */
export type JoinAck = {
  title: string;
  access: "open" | "invitation";
  agent: "always" | "mention" | "off";
  graph: string;
  multitask_strategy: "enqueue" | "interrupt" | "rollback" | "reject";
  approvals: "members" | "owner";
  invites: "members" | "owner";
  conversation_id: string;
  verdict: "resumed" | "snapshot" | "reset";
  reason: "position_valid" | "no_position" | "new_epoch" | "older_than_retention" | "ahead_of_log";
  position: EpochSeq;
  after: number;
  n: number;
  head: number;
  more: boolean;
  entries: LoggedEntry[];
  runs: Run[];
  interrupts: OpenQuestion[];
  owner: string;
  reads?: Record<string, number>;
  delivered?: DeliveryMark[];
  card: Card;
  role: "owner" | "member";
  draft: Draft | null;
  members?: Member[] | null;
  ok: true;
  joined: boolean;
};

/** The data of `member_joined`; `by`: who added the member, where it was not the member. */
export type Joined = {
  user_id: string;
  name: string;
  by?: By;
};

/** The newest message or answer, with the beginning of its text; without one, the names of its files. */
export type LastEntry = {
  seq: number;
  type: "message" | "answer";
  ts: string;
  user_id: string;
  name: string;
  text: string;
  files?: number;
  deleted?: true;
};

/** Of `conversation:leave`. */
export type LeaveAck = {
  ok: true;
  conversation_id: string;
  left: boolean;
};

/** The data of `member_left`; `by`: who removed the member, where it was not the member. */
export type Left = {
  user_id: string;
  name: string;
  by?: By;
};

/** What the node accepts; `followed_conversations` null: any number; `files` of a message 0: none. */
export type Limits = {
  frame_bytes: number;
  text_bytes: number;
  page_entries: number;
  sync_conversations: number;
  marked_conversations: number;
  followed_conversations: number | null;
  invites: number;
  files: number;
  file_bytes: number;
  device_name_characters: number;
  rates: Rates;
};

/** Of `device:link`: the code, and for how many seconds it may be used. */
export type LinkAck = {
  ok: true;
  code: string;
  expires_in: number;
};

/** Of `conversation:list`; `complete`: nothing was left out. The first page has a `cursor`. `unavailable`: ids of conversations that cannot be read now. */
export type ListAck = {
  ok: true;
  conversations: (ListedConversation | Invitation)[];
  next: string | null;
  complete: boolean;
  left: string[];
  unavailable: string[];
  cursor: string | null;
};

/** How a conversation stands in the user's list. */
export type ListChanged = {
  conversation_id: string;
  pinned: boolean;
  archived: boolean;
  session_id: string;
};

/** Pin a conversation in this user's list, or put it into the archive of the list; None: as it is. */
export type ListSet = {
  request_id: string;
  conversation_id: string;
  pinned?: boolean | null;
  archived?: boolean | null;
};

/** Of `list:set`: how the conversation stands in the user's list now. */
export type ListSetAck = {
  ok: true;
  conversation_id: string;
  pinned: boolean;
  archived: boolean;
};

/** A conversation that the user is a member of. */
export type ListedConversation = {
  conversation_id: string;
  title: string;
  access: "open" | "invitation";
  agent: "always" | "mention" | "off";
  graph: string;
  role: "owner" | "member";
  position: EpochSeq;
  read: number;
  unread: number;
  mentions: number;
  draft: Draft | null;
  last_entry: LastEntry | null;
  last_activity: string;
  pinned: boolean;
  archived: boolean;
};

/** An entry of the log, in a page or in an event. */
export type LoggedEntry = ConversationCreatedEntry | ConversationRenamedEntry | ConversationConfiguredEntry | MemberJoinedEntry | MemberLeftEntry | MessageEntry | MessageDeletedEntry | ReactionChangedEntry | AnswerEntry | InterruptEntry | InterruptResolvedEntry | StoppedEntry | FailedEntry;

/** How far a conversation has come: up to `read` for this user, up to `delivered` for this device. */
export type Mark = {
  read?: number | null;
  delivered?: number | null;
};

/** The user's read mark and this device's delivery mark, as they are now. */
export type Marks = {
  read?: number;
  delivered?: number;
};

/** Of `marks:set`. */
export type MarksAck = {
  ok: true;
  marks: Record<string, Marks | ItemError>;
};

/** A user has read further, or a device has received more. */
export type MarksMoved = {
  conversation_id: string;
  user_id: string;
  device_id: string | null;
  session_id: string | null;
  read?: number;
  delivered?: number;
};

/** Move marks up, each to the seq that is named at most; a mark never goes back. */
export type MarksSet = {
  marks: Record<string, never>;
};

/** A member of a conversation. */
export type Member = {
  user_id: string;
  role: "owner" | "member";
  online: boolean;
};

export type MemberJoinedEntry = {
  v: 2;
  conversation_id: string;
  epoch: string;
  seq: number;
  ts: string;
  turn_id?: number;
  hides?: number[];
  hidden_by?: number;
  pages?: number;
  n?: number;
  session_id?: string;
  type: "member_joined";
  data: Joined;
};

export type MemberLeftEntry = {
  v: 2;
  conversation_id: string;
  epoch: string;
  seq: number;
  ts: string;
  turn_id?: number;
  hides?: number[];
  hidden_by?: number;
  pages?: number;
  n?: number;
  session_id?: string;
  type: "member_left";
  data: Left;
};

/** Of `members:list`. */
export type MembersAck = {
  ok: true;
  conversation_id: string;
  members: Member[];
};

/** The members, with who is online. */
export type MembersList = {
  conversation_id: string;
};

/** End another user's membership, or withdraw the invitation, as the owner or an operator. */
export type MembersRemove = {
  request_id: string;
  conversation_id: string;
  user_id: string;
};

/** The data of `message`; `run_id` when a run was begun for it, `edits` when it replaces a message. `reply_to`: seq of the entry that it answers. */
export type Message = {
  user_id: string;
  name: string;
  role: "user";
  device_id: string;
  request_id: string;
  text: string;
  run_id?: string;
  edits?: number;
  reply_to?: number;
  files?: MessageFile[];
  bot?: true;
  deleted?: true;
};

/** Delete a message, or what the agent has said: its place stays, with nothing of its text. `forget`: the agent forgets the whole dialog as well. */
export type MessageDelete = {
  request_id: string;
  conversation_id: string;
  seq: number;
  forget?: boolean;
};

export type MessageDeletedEntry = {
  v: 2;
  conversation_id: string;
  epoch: string;
  seq: number;
  ts: string;
  turn_id?: number;
  hides?: number[];
  hidden_by?: number;
  pages?: number;
  n?: number;
  session_id?: string;
  type: "message_deleted";
  data: Deleted;
};

/** Replace the conversation's last message, one's own: the dialog forgets what came of the old one. */
export type MessageEdit = {
  request_id: string;
  conversation_id: string;
  after?: string | null;
  reply_to?: number | null;
  files?: string[];
  text: string;
  seq: number;
};

export type MessageEntry = {
  v: 2;
  conversation_id: string;
  epoch: string;
  seq: number;
  ts: string;
  turn_id?: number;
  hides?: number[];
  hidden_by?: number;
  pages?: number;
  n?: number;
  session_id?: string;
  type: "message";
  data: Message;
};

/** A file of a message: the name that its user gave it, and what its bytes are; `width`, `height` of images. */
export type MessageFile = {
  file_id: string;
  name: string;
  mime_type: string;
  size: number;
  width?: number;
  height?: number;
};

/** Find messages and what agents have said that contain `query`, newest first, from below the cursor `before`. In one conversation, or (None) in all of which the user is a member. */
export type MessageSearch = {
  query: string;
  conversation_id?: string | null;
  before?: string | null;
  limit?: number;
};

/** Append a message; `after` is the request_id of the one that must be in the log before it. */
export type MessageSend = {
  request_id: string;
  conversation_id: string;
  after?: string | null;
  reply_to?: number | null;
  files?: string[];
  text: string;
};

/** In its place, when its data URL has more than MAX_DATA_URL_BYTES. */
export type OmittedFile = {
  mime_type: string;
  size: number;
  omitted: "too_large";
  name?: string;
};

/** A question that nobody has answered, and the entry that asks it. */
export type OpenQuestion = {
  interrupt_id: string;
  value: unknown;
  form: TextForm | ChoiceForm | ApprovalForm | SchemaForm | ReviewForm;
  seq: number;
  run_id: string;
};

/** An answer that may be chosen; `value` is what is sent. */
export type Option = {
  value: unknown;
  label: string;
};

/** What one speaker has said so far in one message of a run; `cut`: more was said than is streamed. */
export type Part = {
  part: number;
  kind: "text" | "reasoning" | "image" | "file" | "citation" | "data";
  speaker: string;
  text: string;
  data?: FileData | OmittedFile | CitationData | StructuredData;
  cut?: true;
};

/** A user's first session has begun, or the last one has ended. */
export type PresenceChanged = {
  user_id: string;
  online: boolean;
};

/** Of `push:subscribe`: whether this device is sent notifications now. */
export type PushAck = {
  ok: true;
  device_id: string;
  subscribed: boolean;
};

/** The keys of a browser's subscription, base64url: of messages for it. */
export type PushKeys = {
  p256dh: string;
  auth: string;
};

/** Send this device notifications from now on, or no more (None). */
export type PushSubscribe = {
  request_id: string;
  subscription: PushSubscription | null;
};

/** Where a browser takes notifications, as `PushSubscription.toJSON()` says it. */
export type PushSubscription = {
  endpoint: string;
  keys: PushKeys;
};

/** One question of a graph; `value` is whatever the graph asks with, `form` how it is shown and answered. */
export type Question = {
  interrupt_id: string;
  value: unknown;
  form: TextForm | ChoiceForm | ApprovalForm | SchemaForm | ReviewForm;
};

/** So many in so many seconds. */
export type RateLimit = {
  count: number;
  seconds: number;
};

/** For one user; an empty list: as many as one likes. */
export type Rates = {
  writes: RateLimit[];
  marks: RateLimit[];
  events: RateLimit[];
};

/** Of `reaction:set`; `entry_seq`: of the entry that says so, null when there was nothing to take back. */
export type ReactionAck = {
  ok: true;
  conversation_id: string;
  seq: number;
  reaction: string;
  set: boolean;
  entry_seq: number | null;
};

/** The data of `reaction_changed`: who gave the entry `to` a reaction, or took it back. */
export type ReactionChanged = {
  user_id: string;
  name: string;
  to: number;
  reaction: string;
  set: boolean;
};

export type ReactionChangedEntry = {
  v: 2;
  conversation_id: string;
  epoch: string;
  seq: number;
  ts: string;
  turn_id?: number;
  hides?: number[];
  hidden_by?: number;
  pages?: number;
  n?: number;
  session_id?: string;
  type: "reaction_changed";
  data: ReactionChanged;
};

/** Give a message or a final entry a reaction, or take it back. */
export type ReactionSet = {
  request_id: string;
  conversation_id: string;
  seq: number;
  reaction: string;
  set: boolean;
};

/** The ack of a request that was refused, or whose outcome is unknown. */
export type Refusal = {
  ok: false;
  error: ErrorObject;
};

/** Of `run:regenerate`. */
export type RegenerateAck = {
  ok: true;
  conversation_id: string;
  run_id: string;
};

/** Of `members:remove`: whether the user was a member. */
export type RemoveAck = {
  ok: true;
  conversation_id: string;
  user_id: string;
  left: boolean;
};

/** Of `device:rename`. */
export type RenameAck = {
  ok: true;
  device_id: string;
  device_name: string;
};

/** Of `conversation:rename`: whether it had another title. */
export type RenameConversationAck = {
  ok: true;
  conversation_id: string;
  title: string;
  changed: boolean;
};

/** The data of `conversation_renamed`: who gave it which title. */
export type Renamed = {
  user_id: string;
  name: string;
  title: string;
};

/** What a graph reports: `number` counts from 1 in each version, with holes where much was reported at once. */
export type Report = {
  number: number;
  kind: "custom" | "node" | "tool";
  data?: unknown;
  path?: string[];
  tool?: ToolReport;
};

/** Of `interrupt:respond`; `run_id` is null while the graph has other open questions. */
export type RespondAck = {
  ok: true;
  conversation_id: string;
  interrupt_id: string;
  seq: number;
  outcome: "answered";
  value: unknown;
  by: By;
  run_id: string | null;
};

/** One decision for each action, in order, answers: `{"decisions": [...]}`. */
export type ReviewForm = {
  text: string;
  free: boolean;
  kind: "review";
  dialect: "hitl" | "call" | "inbox";
  actions: ReviewedAction[];
};

/** An action that waits for a decision; `args_schema` is a JSON Schema of arguments after an edit. */
export type ReviewedAction = {
  name: string;
  args: Record<string, unknown>;
  description: string;
  decisions: ("approve" | "edit" | "reject" | "respond" | "ignore")[];
  args_schema?: Record<string, unknown>;
};

/** A conversation as all of its members may see it at one moment, with the entries above `after`. */
export type RoomView = {
  title: string;
  access: "open" | "invitation";
  agent: "always" | "mention" | "off";
  graph: string;
  multitask_strategy: "enqueue" | "interrupt" | "rollback" | "reject";
  approvals: "members" | "owner";
  invites: "members" | "owner";
  conversation_id: string;
  verdict: "resumed" | "snapshot" | "reset";
  reason: "position_valid" | "no_position" | "new_epoch" | "older_than_retention" | "ahead_of_log";
  position: EpochSeq;
  after: number;
  n: number;
  head: number;
  more: boolean;
  entries: LoggedEntry[];
  runs: Run[];
  interrupts: OpenQuestion[];
  owner: string;
  reads?: Record<string, number>;
  delivered?: DeliveryMark[];
  card: Card;
};

/** An unfinished run as it is now. `version` is the attempt whose text counts. */
export type Run = {
  run_id: string;
  turn_id: number;
  status: "queued" | "running" | "stalled";
  attempt: number;
  version: number;
  node: string;
  replaces: number | null;
  parts: Part[];
  reports: Report[];
};

/** A run was queued, has begun, has stalled, or continues. */
export type RunChanged = {
  conversation_id: string;
  n: number;
  run: Run;
};

/** Answer the message of the last turn again; `seq` is the entry that ended the turn. */
export type RunRegenerate = {
  request_id: string;
  conversation_id: string;
  seq: number;
};

/** End a run now, or all unfinished runs of the conversation; the text so far is kept. */
export type RunStop = {
  request_id: string;
  conversation_id: string;
  run_id?: string | null;
};

/** What a run has said and reported since the last such event. */
export type RunWritten = {
  conversation_id: string;
  n: number;
  run_id: string;
  version: number;
  parts: WrittenPart[];
  reports: Report[];
};

/** What one speaker says in one message; `data` of all kinds but `text` and `reasoning`. */
export type SaidPart = {
  kind: "text" | "reasoning" | "image" | "file" | "citation" | "data";
  speaker: string;
  text: string;
  data?: FileData | OmittedFile | CitationData | StructuredData;
};

/** What matches the JSON Schema answers. */
export type SchemaForm = {
  text: string;
  free: boolean;
  kind: "schema";
  schema: Record<string, unknown>;
};

/** Of `message:search`; with `complete` false the page was not filled: ask again from `next`. */
export type SearchAck = {
  ok: true;
  hits: Hit[];
  next: string | null;
  complete: boolean;
};

/** Of `message:send` and `message:edit`; `run_id` is null when the agent does not answer. */
export type SendAck = {
  ok: true;
  conversation_id: string;
  epoch: string;
  seq: number;
  ts: string;
  run_id: string | null;
};

/** The software of the node. */
export type Server = {
  name: string;
  version: string;
};

/** The session has ended: whether to come back, after how long at the least, and to which nodes. */
export type SessionEnded = {
  reason: "signed_out" | "token_expired" | "token_revoked" | "node_stopping" | "cut_off";
  reconnect: boolean;
  after_ms: number;
  nodes: string[];
  by: DeviceRef | null;
};

/** The first event of a session. */
export type SessionOpened = {
  v: 2;
  session_id: string;
  user_id: string;
  name: string;
  device_id: string;
  node: string;
  nodes: string[];
  graphs: string[];
  server: Server;
  limits: Limits;
  features: string[];
  push_key?: string;
  devices: DeviceState[];
  last_end: Ended | null;
};

/** The session that has changed something. */
export type SessionRef = {
  user_id: string;
  device_id: string;
  session_id: string;
};

/** Follow conversations on this session and be caught up in each from its position (None: a snapshot). `positions` None: all conversations of which the user is a member, each with a snapshot; `limit` at a time, in the order of their ids, from above `after`. The answer holds at most `entries` entries of each conversation. */
export type SessionSync = {
  positions: Record<string, never> | null;
  after?: string | null;
  limit?: number;
  entries?: number;
  members?: boolean;
  marks?: boolean;
};

/** Of `device:sign_out`: how many sessions were ended. */
export type SignOutAck = {
  ok: true;
  device_id: string;
  sessions: number;
};

/** Of `run:stop`: the runs that it has ended. */
export type StopAck = {
  ok: true;
  conversation_id: string;
  stopped: string[];
};

/** The data of `stopped`: the text until then. `by` is absent when a message has ended the run. */
export type Stopped = {
  user_id: string;
  name: string;
  role: "assistant";
  run_id: string;
  attempt: number;
  node?: string;
  input_seq: number;
  replaces?: number;
  deleted?: true;
  text: string;
  parts?: SaidPart[];
  rolled_back: boolean;
  by?: By;
};

export type StoppedEntry = {
  v: 2;
  conversation_id: string;
  epoch: string;
  seq: number;
  ts: string;
  turn_id?: number;
  hides?: number[];
  hidden_by?: number;
  pages?: number;
  n?: number;
  session_id?: string;
  type: "stopped";
  data: Stopped;
};

/** The data of a part of kind `data`: structured output of a graph. */
export type StructuredData = {
  value: unknown;
};

/** The data of `interrupt_resolved` when a later message or run has made the question void. */
export type Superseded = {
  interrupt_id: string;
  outcome: "superseded";
};

/** Of `session:sync`; `next` is the cursor of the next page of conversations. */
export type SyncAck = {
  ok: true;
  conversations: Record<string, SyncResult | ItemError>;
  next: string | null;
};

/** The answer to create, join and each conversation of a sync; `members` null: they did not fit, ask. */
export type SyncResult = {
  title: string;
  access: "open" | "invitation";
  agent: "always" | "mention" | "off";
  graph: string;
  multitask_strategy: "enqueue" | "interrupt" | "rollback" | "reject";
  approvals: "members" | "owner";
  invites: "members" | "owner";
  conversation_id: string;
  verdict: "resumed" | "snapshot" | "reset";
  reason: "position_valid" | "no_position" | "new_epoch" | "older_than_retention" | "ahead_of_log";
  position: EpochSeq;
  after: number;
  n: number;
  head: number;
  more: boolean;
  entries: LoggedEntry[];
  runs: Run[];
  interrupts: OpenQuestion[];
  owner: string;
  reads?: Record<string, number>;
  delivered?: DeliveryMark[];
  card: Card;
  role: "owner" | "member";
  draft: Draft | null;
  members?: Member[] | null;
};

/** Any text answers, and any other JSON value. */
export type TextForm = {
  text: string;
  free: boolean;
  kind: "text";
};

/** A tool that the agent has called; `result` when there is one. */
export type Tool = {
  id: string | null;
  name: string;
  args: unknown;
  status: "called" | "done" | "failed";
  result?: unknown;
};

/** A tool is called (`name` and `args`), or has answered (`result`). */
export type ToolReport = {
  id: string | null;
  name: string;
  status: "called" | "done" | "failed";
  args?: unknown;
  result?: unknown;
};

/** A member types, or has stopped. */
export type TypingChanged = {
  conversation_id: string;
  user_id: string;
  device_id: string;
  session_id: string;
  typing: boolean;
};

/** This user began or stopped typing. May be lost. */
export type TypingSet = {
  conversation_id: string;
  typing: boolean;
};

/** Of `device:unlink`: whether the code could still be used. */
export type UnlinkAck = {
  ok: true;
  withdrawn: boolean;
};

/** With `already_resolved`: the answer that came first. */
export type Winner = {
  seq: number;
  value: unknown;
  by: By;
};

/** A position as an object on the wire: `{epoch, seq}`. */
export type WirePosition = {
  epoch: string;
  seq: number;
};

/** Text to append to a part; `kind`, `speaker` and `data` come when the part begins, `cut` when it is cut. */
export type WrittenPart = {
  part: number;
  text: string;
  kind?: "text" | "reasoning" | "image" | "file" | "citation" | "data";
  speaker?: string;
  data?: FileData | OmittedFile | CitationData | StructuredData;
  cut?: true;
};

export interface Requests {
  "conversation:create": ConversationCreate;
  "conversation:join": ConversationJoin;
  "conversation:leave": ConversationLeave;
  "conversation:list": ConversationList;
  "list:set": ListSet;
  "history:read": HistoryRead;
  "entry:read": EntryRead;
  "conversation:invite": ConversationInvite;
  "conversation:rename": ConversationRename;
  "conversation:configure": ConversationConfigure;
  "conversation:delete": ConversationDelete;
  "members:remove": MembersRemove;
  "members:list": MembersList;
  "message:send": MessageSend;
  "message:edit": MessageEdit;
  "message:delete": MessageDelete;
  "message:search": MessageSearch;
  "reaction:set": ReactionSet;
  "file:link": FileLink;
  "run:stop": RunStop;
  "run:regenerate": RunRegenerate;
  "interrupt:respond": InterruptRespond;
  "marks:set": MarksSet;
  "draft:save": DraftSave;
  "typing:set": TypingSet;
  "session:sync": SessionSync;
  "device:list": DeviceList;
  "device:rename": DeviceRename;
  "device:link": DeviceLink;
  "device:unlink": DeviceUnlink;
  "device:sign_out": DeviceSignOut;
  "push:subscribe": PushSubscribe;
}

export interface Acks {
  "conversation:create": CreateAck | Refusal;
  "conversation:join": JoinAck | Refusal;
  "conversation:leave": LeaveAck | Refusal;
  "conversation:invite": InviteAck | Refusal;
  "conversation:rename": RenameConversationAck | Refusal;
  "conversation:configure": ConfigureAck | Refusal;
  "conversation:delete": DeleteConversationAck | Refusal;
  "members:remove": RemoveAck | Refusal;
  "conversation:list": ListAck | Refusal;
  "list:set": ListSetAck | Refusal;
  "members:list": MembersAck | Refusal;
  "history:read": HistoryAck | Refusal;
  "entry:read": EntryReadAck | Refusal;
  "message:send": SendAck | Refusal;
  "message:edit": SendAck | Refusal;
  "message:delete": DeleteMessageAck | Refusal;
  "message:search": SearchAck | Refusal;
  "reaction:set": ReactionAck | Refusal;
  "file:link": FileLinkAck | Refusal;
  "run:stop": StopAck | Refusal;
  "run:regenerate": RegenerateAck | Refusal;
  "interrupt:respond": RespondAck | Refusal;
  "marks:set": MarksAck | Refusal;
  "draft:save": DraftAck | Refusal;
  "typing:set": Ack | Refusal;
  "session:sync": SyncAck | Refusal;
  "device:list": DevicesAck | Refusal;
  "device:rename": RenameAck | Refusal;
  "device:link": LinkAck | Refusal;
  "device:unlink": UnlinkAck | Refusal;
  "device:sign_out": SignOutAck | Refusal;
  "push:subscribe": PushAck | Refusal;
}

export interface Events {
  "session:opened": SessionOpened;
  "session:ended": SessionEnded;
  "entry:appended": LoggedEntry & {
  n: number;
};
  "run:changed": RunChanged;
  "run:written": RunWritten;
  "conversation:synced": RoomView;
  "conversation:reset": ConversationReset;
  "conversation:changed": ConversationChanged;
  "list:changed": ListChanged;
  "presence:changed": PresenceChanged;
  "devices:changed": DevicesChanged;
  "marks:moved": MarksMoved;
  "draft:changed": DraftChanged;
  "typing:changed": TypingChanged;
}
