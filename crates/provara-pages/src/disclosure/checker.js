// Checks the events of this page, in the browser, without a network, and shows what it checked.
//
// The data stand in the page as JSON. Nothing that is shown as checked comes from anywhere else: the cards are made anew
// from the lines that were hashed, and all text goes into the page as text. The rules are those of section 10 of the format
// (spec/VAULT_FORMAT); what an event's signature and id are over is cut out of its line, which is never written anew.
// Left to `provara verify-proof`: whether the keys counted in the vault, and who made the anchors.
"use strict";

/** What fails, in words. */
class Fault extends Error {}

function need(holds, otherwise) {
  if (!holds) throw new Fault(otherwise);
}

// ---- Bytes

const utf8 = new TextEncoder();

function joined(...parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function equal(one, other) {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The bytes of standard, padded Base64 in its one form; null for another text. */
function base64(text) {
  if (typeof text !== "string" || !/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4) return null;
  let bytes;
  try {
    bytes = atob(text);
  } catch {
    return null;
  }
  return btoa(bytes) === text ? Uint8Array.from(bytes, (it) => it.charCodeAt(0)) : null;
}

async function sha256(...parts) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined(...parts)));
}

// ---- JSON

/** Whether a text has half a pair of surrogates, which no bytes stand for. */
function isBroken(text) {
  return /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/.test(text);
}

/**
 * Reads canonical JSON, keeping for each value where it stands in the text: numbers are shown as they were signed.
 * A node is {kind, start, end}, with `text` for a string, and `members` ([name, node]) or `items`.
 */
class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  whole() {
    const value = this.value(0);
    need(this.at === this.text.length, "there is more than one value");
    return value;
  }

  take(token) {
    need(this.text.startsWith(token, this.at), `'${token}' is missing`);
    this.at += token.length;
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    need(found !== null, "a value is missing");
    this.at += found[0].length;
    return found[0];
  }

  string() {
    const token = this.match(/"(?:[^"\\\u0000-\u001f]|\\.)*"/y);
    let text;
    try {
      text = JSON.parse(token);
    } catch {
      throw new Fault("a text is none");
    }
    need(JSON.stringify(text) === token && !isBroken(text), "a text is not in its one form");
    return text;
  }

  value(depth) {
    need(depth < 200, "it is nested too deeply");
    const start = this.at;
    const first = this.text[start];
    const node = { kind: "other", start, end: start };
    if (first === '"') {
      node.kind = "string";
      node.text = this.string();
    } else if (first === "{") {
      node.kind = "object";
      node.members = this.list("{", "}", () => {
        const from = this.at;
        const name = this.string();
        this.take(":");
        const value = this.value(depth + 1);
        return { name, value, from };
      });
      const ascend = node.members.every((it, at) => at === 0 || node.members[at - 1].name < it.name);
      need(ascend, "its members are not in their order, or one is there twice");
    } else if (first === "[") {
      node.kind = "array";
      node.items = this.list("[", "]", () => this.value(depth + 1));
    } else {
      this.match(/true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y);
    }
    node.end = this.at;
    return node;
  }

  list(open, close, read) {
    const found = [];
    this.take(open);
    while (this.text[this.at] !== close) {
      if (found.length) this.take(",");
      found.push(read());
    }
    this.take(close);
    return found;
  }
}

/** As the data stand in the page: nothing in them can end the element, or a line of a script. */
function written(value) {
  const unit = (it) => "\\u" + it.charCodeAt(0).toString(16).padStart(4, "0");
  return JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, unit);
}

// ---- Ed25519

const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;

function power(base, exponent) {
  let result = 1n;
  for (let square = base % P; exponent > 0n; exponent >>= 1n, square = (square * square) % P) {
    if (exponent & 1n) result = (result * square) % P;
  }
  return result;
}

const D = (((P - 121665n) * power(121666n, P - 2n)) % P + P) % P;

/** The y of the points whose order divides 8: under these as keys anybody can sign. */
const SMALL = new Set([
  0n,
  1n,
  P - 1n,
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
]);

function little(bytes) {
  return BigInt("0x" + hex(Uint8Array.from(bytes).reverse()));
}

/** Refuses what is no key: what verifiers disagree about never reaches the browser's own. */
function checkKey(bytes) {
  need(bytes !== null && bytes.length === 32, "a key of the page is not the Base64 of 32 bytes");
  const y = little(bytes) & (2n ** 255n - 1n);
  need(y < P && !SMALL.has(y), "a key of the page is one under which anybody can sign, or is not in its one form");
  const square = (y * y) % P;
  // x squared is a fraction; it has a root if the product of its two halves has one.
  const is = power(((square + P - 1n) * (D * square + 1n)) % P, (P - 1n) / 2n);
  need(is === 1n, "a key of the page is no point of the curve");
}

/** RFC 8032, section 5.1.7. A browser may refuse more than the rules do (an R of small order), and never less. */
async function isSigned(key, message, signature) {
  if (signature === null || signature.length !== 64 || little(signature.subarray(32)) >= L) return false;
  return crypto.subtle.verify("Ed25519", key.verifier, signature, message);
}

/** Whether this browser decides signatures rightly: RFC 8032, section 7.1, test 2, and the same with a bit changed. */
async function canVerify() {
  const bytes = (text) => Uint8Array.from(text.match(/../g), (it) => parseInt(it, 16));
  const key = bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  const signature = bytes(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da" +
      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
  );
  try {
    const verifier = await crypto.subtle.importKey("raw", key, "Ed25519", false, ["verify"]);
    const right = await crypto.subtle.verify("Ed25519", verifier, signature, Uint8Array.of(0x72));
    const wrong = await crypto.subtle.verify("Ed25519", verifier, signature, Uint8Array.of(0x73));
    return right && !wrong;
  } catch {
    return false;
  }
}

// ---- Tree heads

/** Reads a tree head: a signed note with three lines (C2SP tlog-checkpoint). */
function readHead(note, what) {
  const fault = `${what} is not readable as one`;
  need(typeof note === "string" && note.length <= 1 << 20 && !/[\u0000-\u0009\u000b-\u001f]/.test(note), fault);
  const end = note.lastIndexOf("\n\n");
  need(end >= 0 && note.endsWith("\n"), fault);
  const text = note.slice(0, end + 1);
  const lines = text.slice(0, -1).split("\n");
  need(lines.length === 3, fault);
  const [origin, size, root] = lines;
  need(/^(0|[1-9][0-9]{0,19})$/.test(size) && BigInt(size) < 2n ** 64n, fault);
  need(base64(root)?.length === 32, fault);
  const parts = /^provara\/((?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+)\/([a-z0-9._-]{1,64})$/.exec(origin);
  need(parts !== null, `${fault}: its first line`);
  let uid;
  try {
    uid = decodeURIComponent(parts[1]);
  } catch {
    throw new Fault(`${fault}: its first line`);
  }
  const again = encodeURIComponent(uid).replace(/[!'()*]/g, (it) => "%" + it.charCodeAt(0).toString(16).toUpperCase());
  need(again === parts[1], `${fault}: its first line`);
  const signatures = note
    .slice(end + 2, -1)
    .split("\n")
    .map((line) => {
      const found = /^\u2014 ([^ ]+) ([^ ]+)$/.exec(line);
      const bytes = found && base64(found[2]);
      need(bytes && bytes.length > 4 && !/[\s+\p{Cc}]/u.test(found[1]), `${fault}: a line of its signatures`);
      return { name: found[1], hash: hex(bytes.subarray(0, 4)), signature: bytes.subarray(4) };
    });
  const names = new Set(signatures.map((it) => `${it.hash} ${it.name}`));
  need(names.size === signatures.length && names.size <= 100, `${fault}: its signatures`);
  return { text, origin, uid, size: BigInt(size), root: base64(root), signatures };
}

/** The key of these that signed a head under its origin; null if none did. */
async function signerOf(head, keys) {
  for (const key of keys) {
    const hash = hex((await sha256(utf8.encode(`${head.origin}\n\u0001`), key.bytes)).subarray(0, 4));
    const found = head.signatures.find((it) => it.name === head.origin && it.hash === hash);
    if (found) return (await isSigned(key, utf8.encode(head.text), found.signature)) ? key : null;
  }
  return null;
}

// ---- Events

const TOMBSTONE = "original_payload_hash redacted redaction_event_id redaction_reason";
const OF_KEYS = new Set([
  "GENESIS",
  "KEY_REVOCATION",
  "KEY_PROMOTION",
  "com.provara.key.added",
  "com.provara.vault.adopted",
]);
const READ_BY_THE_RULES = new Set([
  ...OF_KEYS,
  "com.provara.vault.files",
  "com.provara.vault.seal",
  "com.provara.redaction",
]);

function member(node, name) {
  return node.kind === "object" ? node.members.find((it) => it.name === name)?.value : undefined;
}

function textOf(node, name) {
  const found = member(node, name);
  return found?.kind === "string" ? found.text : undefined;
}

/** The bytes of a line without some of its members; what is left is as it stands there. */
function without(line, tree, ...names) {
  const kept = tree.members.filter((it) => !names.includes(it.name));
  return utf8.encode("{" + kept.map((it) => line.slice(it.from, it.value.end)).join(",") + "}");
}

/** Reads a line, and hashes it: its leaf, and whether its id is that of its content (sections 3, 5 and 8). */
async function readEvent(at, line) {
  const where = `Line ${at + 1}`;
  need(typeof line === "string" && !isBroken(line), `${where} is no text`);
  let tree;
  try {
    tree = new Reader(line).whole();
  } catch (error) {
    throw new Fault(`${where} is no event in the form that is signed: ${error.message}`);
  }
  need(tree.kind === "object", `${where} is no event`);
  const payload = member(tree, "payload");
  need(payload !== undefined, `${where} has no payload`);
  const event = { at, line, tree, payload, withheld: null };
  for (const name of ["actor", "actor_key_id", "event_id", "sig", "timestamp_utc", "type"]) {
    event[name] = textOf(tree, name);
    need(event[name] !== undefined, `${where} has no member '${name}'`);
  }
  const id = async (...names) => "evt_" + hex(await sha256(without(line, tree, ...names))).slice(0, 24);
  event.isOfContent =
    event.event_id === (await id("event_id", "sig")) ||
    event.event_id === (await id("actor_key_id", "event_id", "sig"));
  if (!event.isOfContent && isTombstone(line, payload)) event.withheld = textOf(payload, "original_payload_hash");
  const digest = event.withheld ?? hex(await sha256(utf8.encode(line.slice(payload.start, payload.end))));
  const [before, after] = [line.slice(0, payload.start), line.slice(payload.end)];
  event.leaf = await sha256(Uint8Array.of(0), utf8.encode(`${before}"${digest}"${after}`));
  return event;
}

function isTombstone(line, payload) {
  if (payload.kind !== "object" || payload.members.map((it) => it.name).join(" ") !== TOMBSTONE) return false;
  const redacted = member(payload, "redacted");
  return (
    line.slice(redacted.start, redacted.end) === "true" &&
    /^[0-9a-f]{64}$/.test(textOf(payload, "original_payload_hash") ?? "")
  );
}

async function checkEvent(event, keys) {
  const where = `Line ${event.at + 1}`;
  const key = keys.get(event.actor_key_id);
  if (event.withheld !== null) {
    need(!READ_BY_THE_RULES.has(event.type), `${where}: its payload is withheld, which must not be withheld`);
    return;
  }
  need(event.isOfContent, `${where}: the id of the event is not that of its content. One of the two was changed`);
  need(key !== undefined, `${where}: the key that the event names is not in the page`);
  const good = await isSigned(key, without(event.line, event.tree, "sig"), base64(event.sig));
  need(good, `${where}: the signature of the event does not fit. The event was changed, or somebody else signed it`);
}

// ---- The tree

/**
 * The root over the places from `start` to `end` (RFC 9162, section 2.1), where `known` are the leaves of the events shown
 * there, and `given` the digests of all subtrees that hold none, from left to right.
 */
async function rootOf(known, start, end, given) {
  if (known.length === 0) {
    need(given.at < given.list.length, "The events shown do not lead to the tree head: a digest between them is missing");
    return given.list[given.at++];
  }
  if (end - start === 1n) return known[0].leaf;
  const middle = start + 2n ** BigInt((end - start - 1n).toString(2).length - 1);
  let split = known.findIndex((it) => BigInt(it.at) >= middle);
  if (split < 0) split = known.length;
  const left = await rootOf(known.slice(0, split), start, middle, given);
  const right = await rootOf(known.slice(split), middle, end, given);
  return sha256(Uint8Array.of(1), left, right);
}

// ---- All of it

/** How many events are given to the browser at once. */
const TOGETHER = 64;

function checkForm(data) {
  const same = (value, ...names) =>
    value !== null && typeof value === "object" && Object.keys(value).sort().join() === names.sort().join();
  const fault = "The data of the page are not a disclosure in its one form";
  need(same(data, "anchors", "asked", "proof", "type") && data.type === "provara_disclosure_v1", fault);
  need(Array.isArray(data.anchors) && typeof data.asked === "string", fault);
  need(data.anchors.every((it) => same(it, "content", "name")), fault);
  const proof = data.proof;
  need(same(proof, "events", "head", "keys", "proof", "type") && proof.type === "provara_proof_v1", fault);
  need([proof.events, proof.keys, proof.proof].every(Array.isArray), fault);
  need(proof.events.every((it) => same(it, "at", "line")), fault);
}

async function checkAnchor({ name, content }, head) {
  const bytes = base64(content);
  need(bytes !== null, "An anchor of the page is no Base64");
  const found = /^anchors\/[0-9]{10,20}-([0-9a-f]{16})\.([a-z]+)$/.exec(name);
  need(found && hex(await sha256(bytes)).startsWith(found[1]), "The name of an anchor is not that of what it holds");
  const text = new TextDecoder().decode(bytes);
  const note = text.startsWith("{") ? JSON.parse(text).head : text;
  const seen = readHead(note, "The tree head of an anchor");
  const same = seen.uid === head.uid && seen.size === head.size && equal(seen.root, head.root);
  need(same, "An anchor of the page is of another tree head than its events are in");
}

/**
 * Checks the data of a page. `told` is called now and then with how many events are done of how many, and may wait.
 * Gives the head, the key that signed it and the events; throws a Fault that says what fails.
 */
async function check(text, told) {
  let data;
  try {
    data = JSON.parse(text);
  } catch {
    throw new Fault("The data of the page cannot be read: they were changed");
  }
  checkForm(data);
  need(written(data) === text && !isBroken(text), "The data of the page are not in their one form");
  const proof = data.proof;
  const head = readHead(proof.head, "The tree head of the page");
  const keys = new Map();
  for (const encoded of proof.keys) {
    const bytes = base64(encoded);
    checkKey(bytes);
    const id = "bp1_" + hex(await sha256(bytes)).slice(0, 16);
    need(!keys.has(id), "A key is in the page twice");
    keys.set(id, { id, bytes, verifier: await crypto.subtle.importKey("raw", bytes, "Ed25519", false, ["verify"]) });
  }
  const places = proof.events.map((it) => it.at);
  const ascend = places.every((at, nth) => Number.isSafeInteger(at) && at >= 0 && (nth === 0 || places[nth - 1] < at));
  need(ascend, "The places of the events are not in their order");
  need(places.length > 0 && BigInt(places.at(-1)) < head.size, "An event stands beyond the end of the log");
  const total = 2 * places.length;
  const events = [];
  for (let from = 0; from < places.length; from += TOGETHER) {
    await told(from, total);
    const some = proof.events.slice(from, from + TOGETHER);
    events.push(...(await Promise.all(some.map(({ at, line }) => readEvent(at, line)))));
  }
  const digests = proof.proof.map(base64);
  need(digests.every((it) => it !== null && it.length === 32), "A digest of the page is not the Base64 of 32 bytes");
  const given = { list: digests, at: 0 };
  const root = await rootOf(events, 0n, head.size, given);
  need(given.at === digests.length, "The events shown do not lead to the tree head: a digest is left over");
  need(
    equal(root, head.root),
    "The events shown are not those of the tree head: at least one was changed, put elsewhere, added or left out, or the " +
      "tree head was",
  );
  const signer = await signerOf(head, keys.values());
  need(signer !== null, "No key of the page signed the tree head: it was changed after it was signed, or never was");
  need(events[0].at === 0, "The first event of the log is missing");
  need(textOf(events[0].payload, "uid") === head.uid, "The first event of the log is of another vault than the tree head");
  for (let from = 0; from < events.length; from += TOGETHER) {
    await told(places.length + from, total);
    const some = events.slice(from, from + TOGETHER);
    // In their order, so that the first that fails is the one that is named.
    for (const done of await Promise.allSettled(some.map((event) => checkEvent(event, keys)))) {
      if (done.status === "rejected") throw done.reason;
    }
  }
  for (const anchor of data.anchors) await checkAnchor(anchor, head);
  return { head, keys, signer, events, asked: data.asked, anchors: data.anchors.length };
}
