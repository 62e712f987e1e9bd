import { Question } from "./Question.jsx";

export const Message = ({ entry: { data, ts }, mine }) => (
  <article className={mine ? "message mine" : "message"}>
    <h2>{data.name}</h2>
    <p dir="auto">{data.deleted ? <em>deleted</em> : data.text}</p>
    <time dateTime={ts}>{timeOf(ts)}</time>
  </article>
);

export function Answer({ entry: { type, data, ts }, open, resolved, conversation }) {
  const asked = data.interrupts ?? [];
  return (
    <article className="answer">
      <h2>{data.name}</h2>
      <Said parts={data.parts ?? [{ kind: "text", text: data.text ?? "" }]} />
      {data.tools?.length > 0 && <p className="quiet">Used {data.tools.map(({ name }) => name).join(", ")}</p>}
      {type === "failed" && <p className="failed">{data.reason}</p>}
      {type === "stopped" && <p className="quiet">Stopped{data.by ? ` by ${data.by.name}` : ""}</p>}
      {asked.map((one) => (
        <Question
          key={one.interrupt_id}
          form={one.form}
          answer={resolved.get(one.interrupt_id)}
          isOpen={open.some(({ interrupt_id }) => interrupt_id === one.interrupt_id)}
          respond={(value) => conversation.respond(one.interrupt_id, value)}
        />
      ))}
      <time dateTime={ts}>{timeOf(ts)}</time>
    </article>
  );
}

export const Said = ({ parts }) =>
  parts.map(({ kind, text, data }, n) => {
    if (kind === "text") return text && <p key={n} dir="auto">{text}</p>;
    if (kind === "reasoning") return <details key={n}><summary>Thoughts</summary><p dir="auto">{text}</p></details>;
    if (kind === "image" && data.url) return <img key={n} src={data.url} alt={data.name ?? "An image"} />;
    if (kind === "file" && data.url) return <a key={n} href={data.url} download={data.name}>{data.name ?? "A file"}</a>;
    return null;
  });

const timeOf = (ts) => new Date(ts).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
