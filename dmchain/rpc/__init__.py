"""JSON-RPC over HTTP and WebSocket: a sans-IO core (jsonrpc, params, format, methods), and one trio shell (http)."""
