import { useState } from "react";
import { Chat } from "./Chat.jsx";
import { signIn, signOut } from "./session.js";

export function App({ first }) {
  const [client, setClient] = useState(first);
  const leave = () => {
    signOut(client);
    setClient(null);
  };
  return client ? <Chat client={client} leave={leave} /> : <SignIn enter={setClient} />;
}

function SignIn({ enter }) {
  const [error, setError] = useState("");
  const submit = async (event) => {
    event.preventDefault();
    setError("");
    const name = new FormData(event.currentTarget).get("name").trim();
    if (name) await signIn(name).then(enter, ({ message }) => setError(message));
  };
  return (
    <form className="sign-in" onSubmit={submit}>
      <h1>React chat</h1>
      <label>
        Your name
        <input name="name" maxLength={60} required autoFocus autoComplete="nickname" />
      </label>
      <button>Start</button>
      <p role="alert">{error}</p>
    </form>
  );
}
