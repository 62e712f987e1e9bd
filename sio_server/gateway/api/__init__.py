"""The API for backends: `/api/v1`, with a service key and without a socket."""
