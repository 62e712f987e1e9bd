import { memo } from "react";
import { Question } from "./Question.jsx";

// Entries stay the same objects: while an answer is written none of these renders again.
export const Message = memo(({ entry: { data, ts }, mine }) => (
  <article className={mine ? "message mine" : "message"}>
    <Author name={data.name} ts={ts} />
    <p dir="auto">{data.deleted ? <em>deleted</em> : data.text}</p>
  </article>
));

export const Answer = memo(({ entry: { type, data, ts }, open, resolved, conversation }) => {
  const asked = data.interrupts ?? [];
  return (
    <article className="answer">
      <Author name={data.name} ts={ts} />
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
    </article>
  );
});

export const Said = ({ parts }) =>
  parts.map(({ kind, text, data }, n) => {
    if (kind === "text") return text && <p key={n} dir="auto">{text}</p>;
    if (kind === "reasoning") return <details key={n}><summary>Thoughts</summary><p dir="auto">{text}</p></details>;
    if (kind === "image" && data.url) return <img key={n} src={data.url} alt={data.name ?? "An image"} />;
    if (kind === "file" && data.url) return <a key={n} href={data.url} download={data.name}>{data.name ?? "A file"}</a>;
    return null;
  });

export const Author = ({ name, ts }) => (
  <h2>
    <bdi>{name}</bdi> {ts && <time dateTime={ts}>{timeOf(ts)}</time>}
  </h2>
);

const timeOf = (ts) => new Date(ts).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
