"""The conformance kit: plays a client's side of the protocol against a server, and a server's against a client."""
