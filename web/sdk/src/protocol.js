// Types of the protocol's payloads and entries: they are in protocol.d.ts.

export {};
