"""Settings of the JSON-RPC server: two frozen dataclasses, one for the methods and one for the listener."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class MethodLimits:
    """What one call may ask for."""

    gas_cap: int = 50_000_000
    """Units of gas of one eth_call, eth_estimateGas or trace; geth's default."""
    max_log_results: int = 10_000
    """Logs in one answer; clients know this number from public endpoints and halve their range."""
    max_log_range: int = 100_000
    """Blocks that one log query may span."""
    max_log_addresses: int = 1_000
    max_log_topics: int = 1_000
    """Alternatives at one topic position; geth's limit."""
    max_proof_slots: int = 1_024
    """Storage slots of one eth_getProof or eth_getStorageValues; geth's limit."""
    max_fee_history_blocks: int = 1_024
    max_fee_history_percentiles: int = 100
    max_filters: int = 10_000
    """Polling filters of all clients together; each costs a few hundred bytes."""
    max_filter_terms: int = 500_000
    """Addresses and topics of all filters together, and of all log subscriptions together: some 50 MB."""
    filter_lifetime_seconds: float = 300.0
    """A filter nobody polled for so long is forgotten; geth's default."""
    max_subscriptions_per_connection: int = 256
    max_subscriptions: int = 10_000
    max_page_size: int = 100
    """Datasets in one dm_listDatasets answer."""
    sync_send_timeout_seconds: float = 20.0
    """How long eth_sendRawTransactionSync waits for a receipt unless told (EIP-7966 leaves it to the node)."""
    max_sync_send_timeout_seconds: float = 60.0
    settle_timeout_seconds: float = 10.0
    """How long an answer waits for a devnet's automine before it goes out all the same."""
    max_devnet_blocks: int = 100_000
    """Blocks of one hardhat_mine."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where to listen, whom to serve, and how much of anything to take."""

    host: str = "127.0.0.1"
    port: int = 8545
    """0 takes a free port."""
    vhosts: tuple[str, ...] = ()
    """Names allowed in the Host header besides localhost and IP literals; "*" allows any (no DNS rebinding guard)."""
    cors_origins: tuple[str, ...] = ()
    """Origins allowed besides pages served from localhost and browser extensions; "*" allows any."""
    max_body_bytes: int = 5 * MIB
    """One HTTP body or WebSocket message, after decompression."""
    max_header_bytes: int = 16 * KIB
    """h11's default: request line and headers together."""
    max_batch_entries: int = 500
    max_response_bytes: int = 32 * MIB
    """Of a whole batch; entries past it are answered with an error. geth: 25 MB."""
    max_connections: int = 1_024
    idle_timeout_seconds: float = 600.0
    """Keep-alive between requests. Long: a client that finds its idle connection reset reports a failed call."""
    request_timeout_seconds: float = 30.0
    """From a request's first byte to its last (slow-loris guard)."""
    write_timeout_seconds: float = 30.0
    """For every 64 KiB of an answer that the client must take."""
    heavy_threads: int = 2
    """Heavy calls running at once. They share Python's lock with consensus: with four busy threads the event loop
    waited up to 260 ms for it, with two 60 ms (after sys.setswitchinterval(0.001): 50 ms)."""
    max_heavy_waiting: int = 256
    """Heavy calls waiting for a thread, of all clients; more are refused at once."""
    heavy_timeout_seconds: float = 30.0
    """One heavy call, waiting included."""
    batch_timeout_seconds: float = 60.0
    """All entries of a batch together; the rest is answered with a timeout error."""
    websocket_ping_seconds: float = 30.0
    """Of quiet before a ping; a connection that says nothing after two pings is closed."""
    max_request_bytes_held: int = 64 * MIB
    """Bodies of all requests under way, beyond the first 64 KiB of each: parsed they can take twenty times as much."""
    max_unsent_bytes: int = 256 * MIB
    """Answers and notifications of all connections that slow clients have not taken yet."""
    websocket_queue_bytes: int = 16 * MIB
    """Answers and notifications that wait for a slow WebSocket client before it is disconnected."""
    websocket_heavy_calls: int = 8
    """Heavy calls of one WebSocket connection under way at once; reading stops until one ends."""
    compress_min_bytes: int = 8 * KIB
    """Smaller answers are not worth the time."""
    shutdown_seconds: float = 5.0
    """How long running requests may take to finish when the server stops."""
