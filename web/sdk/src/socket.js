// A socket to a node. A path in the node's address is no namespace, as socket.io-client would have it.

export function openSocket(io, node, options) {
  const { origin, pathname } = new URL(`${node}/socket.io/`);
  return io(origin, { path: pathname, transports: ["websocket"], forceNew: true, ...options });
}
