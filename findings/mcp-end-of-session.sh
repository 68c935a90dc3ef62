#!/usr/bin/env bash
# Two official SDKs of the Model Context Protocol disagree on how a session ends well. The Rust server (rmcp 3.11.0) answers
# the client's DELETE with 202, though the session is gone by then; the Python client (mcp 2.3.0) takes only 200, 204 and 405
# for an answer, and warns "Session termination failed: 202". The specification (revision 2025-06-18, "Session
# management") names no status for a termination that succeeds. Needs Rust.
set -euo pipefail
dir=$(mktemp -d)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$dir"' EXIT
mkdir -p "$dir/server/src"
cat >"$dir/server/Cargo.toml" <<'TOML'
[package]
name = "server"
version = "0.0.0"
edition = "2024"

[dependencies]
axum = { version = "=0.8.4", default-features = false, features = ["http1", "tokio"] }
rmcp = { version = "=3.11.0", default-features = false, features = ["server", "transport-streamable-http-server"] }
tokio = { version = "1", features = ["macros", "net", "rt-multi-thread"] }
TOML
cat >"$dir/server/src/main.rs" <<'RUST'
use rmcp::ServerHandler;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;

#[derive(Clone)]
struct Nothing;

impl ServerHandler for Nothing {}

#[tokio::main]
async fn main() {
    let service: StreamableHttpService<Nothing, LocalSessionManager> =
        StreamableHttpService::new(|| Ok(Nothing), Default::default(), Default::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    let router = axum::Router::new().nest_service("/mcp", service);
    axum::serve(listener, router).await.unwrap();
}
RUST
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check --prefer-binary mcp==2.3.0
CARGO_TARGET_DIR="$dir/target" cargo build --quiet --manifest-path "$dir/server/Cargo.toml"
"$dir/target/debug/server" >"$dir/address" &
server=$!
for _ in $(seq 100); do
	[ -s "$dir/address" ] && break
	sleep 0.1
done
timeout 60 "$dir/venv/bin/python" - "http://$(cat "$dir/address")/mcp" <<'PY'
import asyncio
import logging
import sys

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

said: list[str] = []


class Keep(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        said.append(record.getMessage())


async def main() -> None:
    async with streamable_http_client(sys.argv[1]) as (read, write, *_):
        async with ClientSession(read, write) as session:
            answer = await session.initialize()
            print("server:", answer.server_info.name, answer.protocol_version)


logging.getLogger().addHandler(Keep(level=logging.WARNING))
asyncio.run(main())
print("client:", said)
sys.exit(0 if "Session termination failed: 202" in said else 1)
PY
