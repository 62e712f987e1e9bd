import { useEffect, useLayoutEffect, useRef, useState } from "react";
import { useConversation } from "roomgraph/react";
import { Answer, Author, Message, Said } from "./Entry.jsx";

const ANSWERS = new Set(["answer", "interrupt", "stopped", "failed"]);

export function Room({ client, id }) {
  const [state, conversation] = useConversation(client, id);
  const { entries, pending, run, questions, resolved, hasOlder, status, error } = state;
  const log = useRef(null);
  const atEnd = useRef(true);

  // What is new is in sight, unless somebody reads further up.
  useLayoutEffect(() => {
    if (atEnd.current) log.current.scrollTop = log.current.scrollHeight;
  });
  useEffect(() => {
    if (status === "in_step" && document.visibilityState === "visible") conversation.markRead().catch(() => {}); // again with the next entry
  }, [status, entries.length]);

  const scrolled = ({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) => {
    atEnd.current = scrollHeight - scrollTop - clientHeight < 40;
  };
  const send = (text) => {
    atEnd.current = true;
    conversation.send(text);
  };
  if (status === "removed") return <main className="empty">{error.message}</main>;
  if (error) return <main className="empty">This conversation cannot be opened: {error.message ?? error.code}</main>;
  return (
    <main>
      <div className="log" role="log" aria-label="Messages" tabIndex={0} ref={log} onScroll={scrolled}>
        {hasOlder && (
          <button className="plain" onClick={() => conversation.loadBefore()}>
            Show earlier messages
          </button>
        )}
        {status === "opening" && <p className="quiet">Opening …</p>}
        {status === "in_step" && !run && entries.length < 2 && <Hint send={send} />}
        {entries.map((entry) =>
          entry.type === "message" ? (
            <Message key={entry.seq} entry={entry} mine={entry.data.user_id === client.me} />
          ) : ANSWERS.has(entry.type) ? (
            <Answer key={entry.seq} entry={entry} open={questions} resolved={resolved} conversation={conversation} />
          ) : null,
        )}
        {run && <Writing run={run} name={client.nameOf(`agent:${state.graph}`)} stop={() => conversation.stop(run)} />}
        {pending.map((item) => (
          <Pending key={item.request_id} item={item} conversation={conversation} />
        ))}
      </div>
      <Composer draft={state.draft} conversation={conversation} send={send} />
    </main>
  );
}

const STARTERS = ["What can you do?", "Book a room for a workshop tomorrow at 15:00 for 6 people"];

const Hint = ({ send }) => (
  <div className="hint">
    <p>The concierge books rooms. Open this page in a second tab: both show the same.</p>
    {STARTERS.map((text) => (
      <button key={text} onClick={() => send(text)}>
        {text}
      </button>
    ))}
  </div>
);

// An answer while it is written. When another node takes over, what was said stays, dimmed, until there is more.
function Writing({ run, name, stop }) {
  const over = !run.parts.length && run.withdrawn?.length > 0;
  return (
    <article className="answer" aria-busy="true">
      <Author name={name} />
      <div className={over ? "dimmed" : ""}>
        <Said parts={over ? run.withdrawn : run.parts} />
      </div>
      <footer>
        <span className="caret" aria-hidden="true" />
        {run.status === "stalled" ? "Another node will continue" : over ? `Node ${run.node} continues` : "Writing"}
        <button className="plain" onClick={stop}>
          Stop
        </button>
      </footer>
    </article>
  );
}

const Pending = ({ item, conversation }) => (
  <article className="message mine pending">
    <p dir="auto">{item.text}</p>
    <footer>
      {item.state === "refused" ? item.error.message : "Waiting to be sent"}
      {item.state === "refused" && (
        <button className="plain" onClick={() => conversation.drop(item)}>
          Discard
        </button>
      )}
    </footer>
  </article>
);

function Composer({ draft, conversation, send }) {
  const [text, setText] = useState(draft);
  const [error, setError] = useState("");
  // Written in another tab, or on another device.
  useEffect(() => setText(conversation.draft.text), [draft]);
  const write = (value) => {
    setText(value);
    conversation.saveDraft(value);
  };
  const submit = (event) => {
    event.preventDefault();
    if (!text.trim()) return;
    try {
      send(text.trim());
    } catch ({ message }) {
      return setError(message); // too long, say: the text stays
    }
    setText("");
    setError("");
  };
  const key = (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) submit(event);
  };
  return (
    <form className="composer" onSubmit={submit}>
      <textarea
        aria-label="Message"
        placeholder="Write a message"
        dir="auto"
        rows={Math.min(6, text.split("\n").length)}
        value={text}
        onChange={(event) => write(event.target.value)}
        onKeyDown={key}
      />
      <button disabled={!text.trim()}>Send</button>
      {error && <p role="alert">{error}</p>}
    </form>
  );
}
