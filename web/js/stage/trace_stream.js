// The trace of all nodes, streamed from one of them; when it falls silent, from the next.

const SILENCE_MS = 3500; // a node sends a beat each second

// Reads for ever. `nodes()` are URLs, the page's own first; onTrace(event); refused(status) ends it: a wrong key.
export async function followTrace({ key, nodes, onTrace, connected, refused }) {
  for (let tries = 0; ; tries++) {
    const urls = nodes();
    try {
      await read(urls[tries % urls.length], key, onTrace, connected);
    } catch (error) {
      if (error.refused) return refused(error.refused);
    }
    connected(false);
    await new Promise((done) => setTimeout(done, tries % urls.length ? 100 : 400));
  }
}

async function read(url, key, onTrace, connected) {
  const quiet = new AbortController();
  let timer = setTimeout(() => quiet.abort(), SILENCE_MS);
  const headers = { Authorization: `Bearer ${key}` };
  try {
    const answer = await fetch(`${url}/api/trace`, { headers, signal: quiet.signal, cache: "no-store" });
    if ([401, 403, 404].includes(answer.status)) throw Object.assign(new Error(), { refused: answer.status });
    if (!answer.ok) return;
    connected(true);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => quiet.abort(), SILENCE_MS);
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line) onTrace(JSON.parse(line));
    }
  } finally {
    clearTimeout(timer);
    quiet.abort();
  }
}
