// Puts a log of so many entries into the open conversation, and gives a test `window.long` to act on it.
async (count) => {
  const { state, changed } = await import("/js/state.js");
  const c = state.open;
  const { epoch } = c.stream.position;
  const text = (n) => "lorem ipsum dolor sit amet ".repeat(1 + (n % 9)) + n;
  const entry = (seq, type, data) => ({ epoch, seq, type, ts: new Date(Date.now() - (count - seq) * 30000).toISOString(), data });
  const message = (seq, user_id) =>
    entry(seq, "message", { role: "user", user_id, name: user_id, device_id: "d", request_id: `c${seq}`, text: text(seq) });
  const answer = (seq) => {
    const agent = { role: "assistant", user_id: "agent:teller", name: "Teller", run_id: `r${seq}`, input_seq: seq - 1 };
    return entry(seq, "answer", { ...agent, tools: [], text: `**${text(seq)}**\n\n- a\n- b\n\n\`\`\`\nc\n\`\`\`` });
  };
  const made = (seq) => (seq % 3 ? message(seq, seq % 3 > 1 ? state.me : "Bob") : answer(seq));
  c.entries = Array.from({ length: count }, (_, n) => made(n + 1));
  c.stream.position = { epoch, seq: count };
  Object.assign(c, { first: 1, reads: new Map([["Bob", count - 50], [state.me, count]]), read: count });

  const tell = (name, payload) => c.stream.on(name, { n: c.stream.n + 1, ...payload });
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const drawn = () => frame(changed());
  window.long = {
    async open() {
      const began = performance.now();
      state.open = c;
      await drawn();
      return performance.now() - began;
    },
    async live(times) {
      for (let n = 0; n < times; n++) {
        const seq = c.head + 1;
        c.add(tell("entry:appended", message(seq, "Bob")).entries);
        c.mark(state.me, seq);
        await drawn();
      }
    },
    async stream(times) {
      const run = { run_id: "live", version: 1 };
      tell("run:changed", { run: { ...run, turn_id: c.head, status: "running", parts: [], reports: [] } });
      for (let n = 0; n < times; n++) {
        const more = text(n) + (n % 4 ? " " : "\n\n");
        tell("run:written", { ...run, parts: [{ part: 0, kind: "text", speaker: "Teller", text: more }], reports: [] });
        await drawn();
      }
      c.stream.runs.delete("live");
      await drawn();
    },
    // Scrolls to the beginning; how often what was seen has jumped, and how many lines there are.
    async up() {
      const scroller = document.querySelector("#scroller");
      const rows = () => [...document.querySelectorAll(".message")];
      const top = (row) => row.getBoundingClientRect().top;
      let jumps = 0;
      while (!document.querySelector("#log").innerText.startsWith("Start of the conversation")) {
        const row = rows().find((one) => top(one) > 150);
        const by = Math.min(600, scroller.scrollTop);
        const expected = top(row) + by;
        scroller.scrollTop -= by;
        await frame();
        if (row.isConnected && Math.abs(top(row) - expected) > 1) jumps += 1;
      }
      return [jumps, rows().length];
    },
  };
  state.open = null;
  await drawn();
};
