// What the page shows, and when: all of it from what `check` gave.

/** A text in which what would change how the text around it is displayed is written out. */
function shown(text) {
  const hides =
    /[\p{Cc}\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{e0000}-\u{e0fff}]/gu;
  const named = { "\n": "\\n", "\t": "\\t", "\r": "\\r" };
  return text.replace(hides, (it) => named[it] ?? `\\u{${it.codePointAt(0).toString(16)}}`);
}

function make(name, inside, className) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (typeof inside === "string") element.textContent = shown(inside);
  else element.append(...inside);
  return element;
}

function grouped(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, ",");
}

function moment(text) {
  const parts = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)[^Z+]*(?:Z|\+00:00)$/.exec(text);
  return parts ? `${parts[1]} ${parts[2]} UTC` : text;
}

/** A payload as rows of a way to a value and the value, as it was signed. */
function* rows(line, node, way) {
  const inside = node.kind === "object" ? node.members : (node.items ?? []).map((value, at) => ({ name: `${at + 1}`, value }));
  if (node.kind === "string") yield [way, node.text];
  else if (node.kind === "other") yield [way, line.slice(node.start, node.end)];
  else if (inside.length === 0) yield [way, node.kind === "object" ? "(nothing)" : "(an empty list)"];
  else for (const { name, value } of inside) yield* rows(line, value, way === "" ? name : `${way} \u203a ${name}`);
}

function facts(pairs, className) {
  const list = make("dl", [], className);
  for (const [name, value] of pairs) list.append(make("dt", name), make("dd", value));
  return list;
}

function card(event) {
  const type = make("h3", [make("span", `Line ${grouped(event.at + 1)}`, "place"), " ", make("span", event.type)]);
  const about = `by ${event.actor}, ${moment(event.timestamp_utc)}, as it says.`;
  const said = make("p", OF_KEYS.has(event.type) ? `${about} It speaks of keys, and is in every such page.` : about, "note");
  const says = () => facts(rows(event.line, event.payload, ""), "facts small");
  const folded = () => make("details", [make("summary", "What it says"), says()]);
  const body =
    event.withheld === null
      ? OF_KEYS.has(event.type) ? folded() : says()
      : make("p", `The payload is withheld. Its fingerprint (SHA-256) is ${event.withheld}.`, "claim");
  const ids = facts([["Event", event.event_id], ["Key", event.actor_key_id]], "facts small ids");
  return make("article", [type, said, body, ids], "card");
}

function gap(from, to) {
  const lines = from === to ? `Line ${grouped(from)} is` : `Lines ${grouped(from)} to ${grouped(to)} are`;
  return make("p", `${lines} not shown.`, "gap");
}

async function showEvents(found, told) {
  const list = make("div", []);
  let next = 1;
  for (const [nth, event] of found.events.entries()) {
    if (nth % 256 === 0) await told(nth, found.events.length);
    if (event.at + 1 > next) list.append(gap(next, event.at));
    list.append(card(event));
    next = event.at + 2;
  }
  if (BigInt(next) <= found.head.size) list.append(gap(next, Number(found.head.size)));
  const cards = document.getElementById("cards");
  cards.className = found.events.length > 500 ? "many" : "";
  cards.replaceChildren(...list.childNodes);
}

function runsOf(events) {
  const runs = [];
  for (const { at } of events) {
    const last = runs.at(-1);
    if (last && last[1] === at) last[1] = at + 1;
    else runs.push([at + 1, at + 1]);
  }
  return runs;
}

/** All that the page says beside the events, from what was checked: what stood there before may be anybody's. */
function showFacts({ head, signer, events, asked, anchors }) {
  const put = (id, text) => (document.getElementById(id).textContent = text);
  const size = grouped(head.size);
  put("uid", shown(head.uid));
  put("share", `${grouped(events.length)} of the ${size} event${size === "1" ? "" : "s"} of this log, as it was when its tree head was signed.`);
  put("asked-words", asked.split("\n").map(shown).join("\n"));
  const runs = runsOf(events);
  const whole = runs.filter(([from, to]) => from < to);
  const all = runs.length === 1 && runs[0][0] === 1 && BigInt(runs[0][1]) === head.size;
  const stretches = all
    ? ["These are all events that the log had then: none is left out."]
    : whole.map(([from, to]) => `Nothing is missing between lines ${grouped(from)} and ${grouped(to)}.`);
  const none = "No two of the events below follow each other in the log. Whether there are others between them is not shown.";
  const said = stretches.length ? make("ul", stretches.map((it) => make("li", it))) : make("p", none);
  document.getElementById("stretches").replaceChildren(said);
  const pairs = [
    ["Log, and who publishes it", head.origin],
    ["Events", size],
    ["Root (SHA-256)", hex(head.root)],
    ["Signed by key", signer.id],
    ["Root key of the log", "This page does not check the history of the keys. The program below tells the root key."],
    ["Seen by others", `Statements of others about this tree head that came with the page: ${anchors}. The program below tells whether they are by somebody whom you trust.`],
  ];
  document.getElementById("head-facts").replaceChildren(...facts(pairs, "").childNodes);
}

function say(state, word, sentence, more = []) {
  const verdict = document.getElementById("verdict");
  verdict.className = `verdict ${state}`;
  document.body.dataset.state = state;
  document.getElementById("verdict-word").textContent = word;
  document.getElementById("verdict-says").textContent = shown(sentence);
  document.getElementById("verdict-more").replaceChildren(...more.map((it) => make("li", it)));
}

function cannot(why) {
  say("warned", "Cannot be checked in this browser", `${why} Nothing below is checked.`, [
    "Open the page in a newer browser: Chrome or Edge from version 137, Firefox from 129, Safari from 17.",
    "Or check it with a program, as the end of this page says.",
  ]);
}

function checked(found, than) {
  const many = found.events.length === 1 ? "The event below was" : `All ${grouped(found.events.length)} events below were`;
  const sentence =
    `${many} in the log when its tree head over ${grouped(found.head.size)} events was signed, ` +
    "each in its line and as it was signed.";
  document.getElementById("events").textContent = "The events";
  say("good", "Checked", sentence, [
    than ??
      "The tree head is the one that came with the page. If you have one from somewhere else, compare it below: a page " +
        "that somebody made up would be checked as well.",
  ]);
}

/** Holds what was checked to a tree head that the reader has from elsewhere. */
async function hold(found, file) {
  try {
    need(file.size <= 1 << 20, "The file that you chose is no tree head");
    const kept = readHead(await file.text(), "The tree head that you chose");
    const fault = "The tree head that you chose is another one than that of the page: what is shown is not proven by it";
    need(kept.origin === found.head.origin && kept.size === found.head.size && equal(kept.root, found.head.root), fault);
    need((await signerOf(kept, found.keys.values())) !== null, "No key of the page signed the tree head that you chose");
    checked(found, "The tree head is the same as the one that you chose.");
  } catch (error) {
    fail(error);
  }
}

function fail(error) {
  const why = error instanceof Fault ? error.message : `The check ended early: ${error}`;
  document.getElementById("events").textContent = "What the page shows, and does not prove";
  say("bad", "Does not hold", `${why}.`, ["Nothing on this page is proven. Ask for it anew, and say what you saw."]);
}

/** Lets the browser draw, and says how far the check has come. */
function teller() {
  let last = performance.now();
  return async (done, of) => {
    if (performance.now() - last < 50) return;
    const share = Math.floor((100 * done) / of);
    document.getElementById("verdict-says").textContent = `The page is being checked: ${share} %.`;
    await new Promise((resume) => setTimeout(resume));
    last = performance.now();
  };
}

async function start() {
  say("unchecked", "Being checked", "The page is being checked.");
  try {
    if (!globalThis.crypto?.subtle) return cannot("The browser gives this page no cryptography.");
    if (!(await canVerify())) return cannot("The browser does not know the signatures of the log (Ed25519).");
    const told = teller();
    const found = await check(document.getElementById("evidence").textContent, told);
    await showEvents(found, told);
    showFacts(found);
    const input = document.getElementById("head");
    input.addEventListener("change", () => (input.files.length ? hold(found, input.files[0]) : checked(found)));
    document.getElementById("compare").hidden = false;
    checked(found);
  } catch (error) {
    fail(error);
  }
}

start();
