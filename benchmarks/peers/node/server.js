// A Node server: clients join rooms and send messages to them; ADAPTER spreads these by Redis: pubsub, sharded, streams.
const { createServer } = require("node:http");
const { createClient } = require("redis");
const { Server } = require("socket.io");
const { createAdapter, createShardedAdapter } = require("@socket.io/redis-adapter");
const streams = require("@socket.io/redis-streams-adapter");

async function main() {
  const client = createClient({ url: process.env.REDIS_URL });
  const listener = client.duplicate();
  await Promise.all([client.connect(), listener.connect()]);
  const adapter = {
    pubsub: () => createAdapter(client, listener),
    sharded: () => createShardedAdapter(client, listener),
    streams: () => streams.createAdapter(client, { onlyPlaintext: true }),
  }[process.env.ADAPTER]();
  const http = createServer();
  const io = new Server(http, { adapter, transports: ["websocket"], serveClient: false, httpCompression: false, perMessageDeflate: false });
  io.engine.on("connection", (connection) => { connection.request = null; }); // as the manual says, to save memory
  io.on("connection", (socket) => {
    socket.on("join", (room, done) => { socket.join(room); done({ ok: true }); });
    socket.on("send", (message, done) => { io.to(message.room).emit("message", message); done({ ok: true }); });
  });
  http.listen(Number(process.env.PORT), "127.0.0.1");
  process.on("SIGTERM", () => process.exit(0));
}

main();
