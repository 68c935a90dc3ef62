// Both official TypeScript clients list the tools of a server, and every schema of these is compiled as their
// validators do. Reads how to start the server as one JSON argument, prints the names that each client saw.

import { Client as OldClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport as OldTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { Client as NewClient } from "@modelcontextprotocol/client";
import { StdioClientTransport as NewTransport } from "@modelcontextprotocol/client/stdio";
import Ajv from "ajv";
import Ajv2020 from "ajv/dist/2020.js";
import formats from "ajv-formats";

const { command, args, env } = JSON.parse(process.argv[2]);
const seen = {};
let listed;
for (const [name, Client, Transport] of [
  ["sdk", OldClient, OldTransport],
  ["client", NewClient, NewTransport],
]) {
  const client = new Client({ name: "tests", version: "1" });
  await client.connect(new Transport({ command, args, env, stderr: "ignore" }));
  const { tools, nextCursor } = await client.listTools();
  if (nextCursor) throw new Error("there is a second page");
  seen[name] = tools.map((tool) => tool.name);
  listed = tools;
  await client.close();
}
const options = { strict: false, validateFormats: true, allErrors: true };
for (const kind of [Ajv.default ?? Ajv, Ajv2020.default ?? Ajv2020]) {
  const ajv = new kind(options);
  (formats.default ?? formats)(ajv);
  for (const tool of listed) {
    ajv.compile(tool.inputSchema);
    if (tool.outputSchema) ajv.compile(tool.outputSchema);
  }
}
console.log(JSON.stringify(seen));
process.exit(0);
