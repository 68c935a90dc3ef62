// The official TypeScript client against the real executable. Reads what to do as one JSON argument,
// prints what it saw as one JSON object; the assertions are in test_node.py.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { ResourceUpdatedNotificationSchema } from "@modelcontextprotocol/sdk/types.js";

const { command, args, env, url, token, slow } = JSON.parse(process.argv[2]);
const transport = url
  ? new StreamableHTTPClientTransport(new URL(url), {
      requestInit: { headers: token ? { Authorization: `Bearer ${token}` } : {} },
    })
  : new StdioClientTransport({ command, args, env, stderr: "ignore" });
const client = new Client({ name: "tests", version: "1" });
const seen = { updates: [], calls: {}, resources: {}, pages: [] };
client.setNotificationHandler(ResourceUpdatedNotificationSchema, (notification) => {
  seen.updates.push(notification.params.uri);
});
await client.connect(transport);
seen.server = client.getServerVersion();
const { tools } = await client.listTools();
seen.tools = tools.map((tool) => tool.name);
await client.subscribeResource({ uri: "provara://v/status" });

const door = { subject: "door", predicate: "state", value: "open" };
const login = { user_id: "alice", success: false, ip_address: "192.168.1.1" };
const event = await client.callTool({
  name: "append_event",
  arguments: { type: "OBSERVATION", data: door },
});
const signed = await client.callTool({ name: "tree_head", arguments: {} });
const inputs = {
  append_event: { type: "OBSERVATION", data: door },
  get_event: { event_id: event.structuredContent.event_id },
  show_event: { event_id: event.structuredContent.event_id },
  prove_event: { head: signed.structuredContent.note, first_line: 1 },
  describe_event_type: { type: "login" },
  export_vault: { format: "csv", name: "all.csv" },
  append_com_acme_audit_login: login,
  append_com_acme_audit_logout: { user_id: "alice", session_id: "s1", reason: "user" },
  export_csv: { name: "typed.csv" },
  export_siem_splunk: { name: "splunk.json" },
};
for (const name of seen.tools.filter((name) => !name.includes("slow"))) {
  // The client checks structured content against the output schema that it was given.
  const result = await client.callTool({ name, arguments: inputs[name] ?? {} });
  seen.calls[name] = { isError: result.isError ?? false, text: result.content[0].text };
}
const bad = { ...login, ip_address: "192.168.1" };
const refused = await client.callTool({ name: "append_com_acme_audit_login", arguments: bad });
seen.refused = { isError: refused.isError, text: refused.content[0].text };

for (const { uri } of (await client.listResources()).resources) {
  const { contents } = await client.readResource({ uri });
  seen.resources[uri] = contents[0].text.length;
}
let cursor;
do {
  const page = await client.callTool({
    name: "query_events",
    arguments: { limit: 2, ...(cursor ? { cursor } : {}) },
  });
  seen.pages.push(page.structuredContent.events.map((found) => found.line));
  cursor = page.structuredContent.next_cursor;
} while (cursor);
seen.prompts = (await client.listPrompts()).prompts.map((prompt) => prompt.name);
seen.completion = (
  await client.complete({
    ref: { type: "ref/resource", uri: "provara://{vault}/status" },
    argument: { name: "vault", value: "" },
  })
).completion.values;

const abort = new AbortController();
setTimeout(() => abort.abort("enough"), 1500);
try {
  await client.callTool({ name: slow, arguments: {} }, undefined, { signal: abort.signal });
  seen.cancelled = false;
} catch {
  seen.cancelled = true;
}
await client.ping();
await client.close();
console.log(JSON.stringify(seen));
process.exit(0);
