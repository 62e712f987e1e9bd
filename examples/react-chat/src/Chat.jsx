import { useEffect, useRef, useState } from "react";
import { useConnection } from "roomgraph/react";
import { Room } from "./Room.jsx";

const WORDS = {
  connecting: "Connecting",
  online: "Online",
  catching: "Catching up",
  reconnecting: "Reconnecting",
  offline: "Offline",
  ended: "Signed out",
};

export function Chat({ client, leave }) {
  const { status, node, name, conversations, error } = useConnection(client);
  const [chosen, setChosen] = useState(null);
  const creating = useRef(false);
  const open = chosen ?? conversations[0]?.id ?? null;

  const start = async () => {
    if (creating.current) return;
    creating.current = true;
    await client.create({ title: "With the concierge" }).then(setChosen, console.error);
    creating.current = false;
  };

  // Once the list is there: whoever has no conversation gets one.
  useEffect(() => {
    if (status === "online" && !open) start();
  }, [status, open]);

  if (error) {
    return (
      <main className="ended">
        <p>{error.message ?? `You have been signed out (${error.code}).`}</p>
        <button onClick={leave}>Sign in again</button>
      </main>
    );
  }
  return (
    <div className="chat">
      <header>
        <strong>{name || "React chat"}</strong>
        <span className={`status ${status}`} role="status">
          {WORDS[status]}
          {status === "online" && ` · node ${node}`}
        </span>
        <button className="plain" onClick={leave}>
          Sign out
        </button>
      </header>
      <nav aria-label="Conversations">
        <button className="plain" onClick={start} disabled={status !== "online"}>
          + New conversation
        </button>
        {conversations.map(({ id, title, last, unread }) => (
          <button key={id} className="item" aria-current={id === open} onClick={() => setChosen(id)}>
            <b>{title}</b>
            <small>{last ? `${last.name}: ${last.text}` : "Nothing said yet"}</small>
            {unread > 0 && id !== open && <i>{unread}</i>}
          </button>
        ))}
      </nav>
      {open ? <Room key={open} client={client} id={open} /> : <main className="empty">One moment …</main>}
    </div>
  );
}
