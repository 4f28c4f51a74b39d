// Shows the set: facts and index are unpacked at once, the rows' chunks when they are looked at.
// Every text of the set becomes the text of a node; nothing is ever parsed as markup.
"use strict";

const $ = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en-US");
const numberOf = (value, things) => `${number(value)} ${value === 1 ? things.replace(/s$/, "") : things}`;
const share = (part, all) => `${((100 * part) / Math.max(all, 1)).toFixed(1)} %`;
const words = (name) => name.replaceAll("_", " ");

/** An element with a class, attributes and children; what is no node becomes text. */
function make(tag, name, ...children) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  node.append(...children.filter((one) => one !== null && one !== undefined && one !== ""));
  return node;
}

function attributes(node, values) {
  for (const [name, value] of Object.entries(values)) node.setAttribute(name, value);
  return node;
}

async function inflated(element) {
  const packed = atob(element.textContent);
  const bytes = new Uint8Array(packed.length);
  for (let place = 0; place < packed.length; place++) bytes[place] = packed.charCodeAt(place);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

// --- the rows: a chunk is inflated when one of its rows is needed, and a few are remembered

const CHUNKS = document.getElementsByClassName("chunk");
const REMEMBERED = 8;
const remembered = new Map();
let facts, index;

const unpacked = (chunk) => remembered.get(chunk) ?? inflated(CHUNKS[chunk]).then((text) => text.split("\n"));

function linesOf(chunk) {
  const lines = unpacked(chunk);
  remembered.delete(chunk);
  remembered.set(chunk, lines);
  if (remembered.size > REMEMBERED) remembered.delete(remembered.keys().next().value);
  return lines;
}

function chunkOf(entry) {
  let low = 0;
  for (let high = index.starts.length; high - low > 1; ) {
    const middle = (low + high) >> 1;
    if (index.starts[middle] <= entry) low = middle;
    else high = middle;
  }
  return low;
}

async function entryOf(entry) {
  const chunk = chunkOf(entry);
  return JSON.parse((await linesOf(chunk))[entry - index.starts[chunk]]);
}

// --- what is shown: a config, narrowed by reason, model and search

const state = { config: null, reason: -1, model: -1, text: "" };
let shown = [];
let at = -1;
let searching = 0;

function inConfig() {
  const found = [];
  const { first, shown: rows } = state.config ?? { first: 0, shown: 0 };
  for (let entry = first; entry < first + rows; entry++) {
    const fits = state.reason < 0 || index.reason[entry] === state.reason;
    if (fits && (state.model < 0 || index.model[entry].includes(state.model))) found.push(entry);
  }
  return found;
}

function holds(value, text) {
  if (typeof value === "string") return value.toLowerCase().includes(text);
  return value !== null && typeof value === "object" && Object.values(value).some((one) => holds(one, text));
}

/** The rows that hold the text: by id and opening at once, then by all their texts. */
async function search(entries, text) {
  const mine = ++searching;
  const found = new Set(entries.filter((one) => index.id[one] === text || index.opening[one].toLowerCase().includes(text)));
  const inOrder = (searched) => show(entries.filter((one) => found.has(one)), searched);
  inOrder("0 %");
  const raw = JSON.stringify(text).slice(1, -1);
  let place = 0;
  let drawn = performance.now();
  for (let chunk = chunkOf(entries[0] ?? 0); place < entries.length; chunk++) {
    const end = index.starts[chunk + 1] ?? Infinity;
    const here = [];
    for (; place < entries.length && entries[place] < end; place++) if (!found.has(entries[place])) here.push(entries[place]);
    if (!here.length) continue;
    // Not linesOf: a search must not push out the rows that a person looks at.
    const lines = await unpacked(chunk);
    if (mine !== searching) return;
    for (const entry of here) {
      const line = lines[entry - index.starts[chunk]];
      if (line.toLowerCase().includes(raw) && holds(JSON.parse(line), text)) found.add(entry);
    }
    if (performance.now() - drawn > 300) {
      inOrder(share(place, entries.length));
      await new Promise((done) => setTimeout(done));
      drawn = performance.now();
      if (mine !== searching) return;
    }
  }
  inOrder();
}

function narrow() {
  const entries = inConfig();
  searching++;
  if (state.text) search(entries, state.text);
  else show(entries);
  for (const button of $("configs").children) button.setAttribute("aria-pressed", button.config === state.config);
  for (const button of $("funnel").querySelectorAll("button")) button.setAttribute("aria-pressed", button.reason === state.reason && state.reason >= 0);
  $("reason").value = state.reason;
  $("reason").closest("label").hidden = state.config?.name !== "dropped";
  $("model").value = state.model;
}

function choose(config, reason = -1) {
  Object.assign(state, { config, reason });
  $("list").scrollTop = 0;
  narrow();
}

/** Show these rows; the one that was open stays open if it is among them. */
function show(entries, searched) {
  const open = shown[at];
  shown = entries;
  const of = searched ? `found, searched ${searched}` : `of ${numberOf(state.config?.shown ?? 0, "rows")}`;
  $("state").textContent = `${number(shown.length)} ${of}`;
  charts();
  const still = shown.indexOf(open);
  $("space").style.height = `${Math.max(shown.length, 1) * HEIGHT}px`;
  go(still < 0 ? 0 : still, still >= 0);
}

// --- the list: only the items in sight are in the document

const HEIGHT = 64;

function list() {
  const box = $("list");
  const first = Math.max(0, Math.floor(box.scrollTop / HEIGHT) - 4);
  const last = Math.min(shown.length, first + Math.ceil(box.clientHeight / HEIGHT) + 8);
  const items = [];
  for (let place = first; place < last; place++) {
    const entry = shown[place];
    const [reason, scores] = [index.reason[entry], index.score[entry]];
    const about = make("div", "about",
      reason >= 0 ? make("span", "tag bad", index.reasons[reason]) : make("span", "", index.model[entry].map((one) => index.models[one]).join(", ")),
      make("span", "end", scores.map((one) => +one.toFixed(2)).join(" : ")));
    const item = make("div", "item", attributes(make("p", "", index.opening[entry] || "(no text)"), { dir: "auto" }), about);
    attributes(item, { id: `item-${place}`, role: "option", "aria-selected": place === at, "aria-posinset": place + 1, "aria-setsize": shown.length });
    item.style.top = `${place * HEIGHT}px`;
    item.onclick = () => go(place);
    items.push(item);
  }
  if (!shown.length) items.push(make("p", "empty", state.text || state.reason >= 0 || state.model >= 0 ? "No row fits." : "No rows."));
  $("space").replaceChildren(...items);
  if (at >= first && at < last) box.setAttribute("aria-activedescendant", `item-${at}`);
  else box.removeAttribute("aria-activedescendant");
}

async function go(place, stay = false) {
  at = Math.max(0, Math.min(place, shown.length - 1));
  const box = $("list");
  if (!stay) {
    if (at * HEIGHT < box.scrollTop) box.scrollTop = at * HEIGHT;
    if ((at + 1) * HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = (at + 1) * HEIGHT - box.clientHeight;
  }
  list();
  const entry = shown[at];
  if (entry === undefined) {
    $("row").replaceChildren(make("p", "empty", facts.counts.made || state.config?.rows ? "Nothing to show." : "This set has no rows yet."));
    return;
  }
  const value = await entryOf(entry);
  if (shown[at] !== entry) return;
  $("row").replaceChildren(...rowNodes(value, entry));
  if (!stay) $("row").scrollTop = 0;
}

// --- one row

const PAIR = { chosen: "good", rejected: "bad" };
const HEADED = ["id", "row_id", "reason", "evidence", "prompt", "chosen", "rejected", "completion", "score_chosen", "score_rejected", "chosen_model", "rejected_model", "model", "rationales", "critique", "overall", "mean", "answer", "answers", "texts"];
const isChat = (value) => Array.isArray(value) && value.length > 0 && value.every((one) => typeof one?.content === "string");
const textOf = (value) => (isChat(value) ? value.map((one) => one.content).join("\n") : String(value ?? ""));

/** A text with its code in blocks, and with what was searched or matched marked. */
function prose(text, marks) {
  const node = attributes(make("div", "text"), { dir: "auto" });
  text.split(/^```[^\n]*\n?/m).forEach((part, place) => {
    if (place % 2) marked(node.appendChild(make("pre")), part.trimEnd(), marks);
    else marked(node, (place ? part.replace(/^\n+/, "") : part).trimEnd(), marks);
  });
  return node;
}

function marked(node, text, marks) {
  const lower = text.toLowerCase();
  const aligned = lower.length === text.length; // lower case may be longer: then nothing is marked
  for (let from = 0; ; ) {
    const hits = aligned ? marks.map((one) => [lower.indexOf(one, from), one.length]).filter(([hit]) => hit >= 0) : [];
    if (!hits.length) return node.append(text.slice(from));
    const [hit, length] = hits.sort((one, other) => one[0] - other[0])[0];
    node.append(text.slice(from, hit), make("mark", "", text.slice(hit, hit + length)));
    from = hit + length;
  }
}

function chat(turns, marks) {
  return turns.map((turn) => make("div", `turn ${turn.role === "user" ? "user" : ""}`, make("h3", "", String(turn.role)), prose(turn.content, marks)));
}

const part = (name, ...nodes) => make("section", "part", make("h3", "", name), ...nodes);
const fold = (name, summary, ...nodes) => make("details", name, make("summary", "", ...summary), ...nodes);

/** A value of a column in a few words. */
function brief(value) {
  if (typeof value === "number") return String(+value.toPrecision(6));
  if (Array.isArray(value) && value.every((one) => typeof one !== "object")) return value.map(brief).join(", ") || "none";
  return value !== null && typeof value === "object" ? JSON.stringify(value, null, 1) : String(value ?? "unknown");
}

function pairs(values) {
  const nodes = Object.entries(values).flatMap(([name, value]) => [make("dt", "", words(name)), attributes(make("dd", "", brief(value)), { dir: "auto" })]);
  return make("dl", "pairs", ...nodes);
}

/** One answer in its column: who wrote it, what was thought first, the text, and its ratings. */
function answer(kind, value, { name, model, score, rating, calls, marks }) {
  const text = textOf(value);
  const call = calls.find((one) => one.reasoning && (one.answer ?? "").trim() === text.trim());
  const head = make("h3", "", make("span", `tag ${kind}`, name), model ?? call?.model ?? "", typeof score === "number" ? make("span", "end", String(+score.toFixed(3))) : "");
  const node = make("section", `answer ${kind}`, head);
  if (call) node.append(fold("fold", ["Reasoning"], prose(call.reasoning, marks)));
  if (isChat(value) && value.length > 1) node.append(...chat(value, marks));
  else node.append(text.trim() ? prose(text, marks) : make("p", "quiet", "No text."));
  if (rating) node.append(ratings(rating));
  return node;
}

function ratings(rated) {
  const named = Object.entries(rated).filter(([name, value]) => Number.isInteger(value) && !["overall", "mean"].includes(name));
  const nodes = named.map(([name, value]) => rating(words(name), value, 5, rated.rationales?.[name]));
  if (rated.overall ?? rated.critique) nodes.push(rating("overall", rated.overall, 10, rated.critique));
  return make("div", "ratings", ...nodes);
}

function rating(name, value, most, why) {
  const pips = Array.from({ length: 5 }, (_, place) => make("i", value && place < (value * 5) / most ? "on" : ""));
  const given = Number.isInteger(value) ? `${value} of ${most}` : "no rating";
  return make("div", "rating", make("b", "", name), attributes(make("span", "pips", ...pips), { "aria-hidden": "true" }), make("span", "", given), why ? attributes(make("p", "", String(why)), { dir: "auto" }) : "");
}

function rowNodes({ row, rated, calls, kept }, entry) {
  const evidence = row.evidence !== null && typeof row.evidence === "object" && !Array.isArray(row.evidence) ? row.evidence : null;
  const texts = evidence ?? row;
  const marks = [state.text, ...(evidence ? [evidence.matched, evidence.repeated, evidence.unsuitable_word] : [])]
    .filter((one) => typeof one === "string" && one.trim()).map((one) => one.toLowerCase());
  const nodes = [rowHeader(row, entry)];
  const own = row.rationales ? row : null; // an answer with its ratings
  const aspects = Object.keys(own?.rationales ?? {});
  const left = Object.fromEntries(Object.entries(texts).filter(([name, value]) => !HEADED.includes(name) && !aspects.includes(name) && value !== null));
  if (evidence && Object.keys(short(left)).length) nodes.push(part("Why it was dropped", pairs(short(left))));
  if (evidence) nodes.push(...keptButton(kept));
  if (typeof row.evidence === "string") nodes.push(part("Evidence", make("pre", "raw", row.evidence)));
  if (isChat(texts.prompt)) nodes.push(part("Prompt", ...chat(texts.prompt, marks)));
  else if (texts.prompt) nodes.push(part("Prompt", prose(textOf(texts.prompt), marks)));
  const used = new Set();
  const about = (value) => {
    const place = rated.findIndex((one, number) => !used.has(number) && textOf(one.completion) === textOf(value));
    used.add(place);
    return { rating: own ?? rated[place], calls, marks };
  };
  const sides = [];
  for (const [name, kind] of Object.entries(PAIR)) {
    if (texts[name]) sides.push(answer(kind, texts[name], { ...about(texts[name]), name, model: texts[`${name}_model`], score: texts[`score_${name}`] }));
  }
  if (texts.completion) {
    const kind = evidence || texts.label === false ? "bad" : "good";
    sides.push(answer(kind, texts.completion, { ...about(texts.completion), name: "answer", model: texts.model, score: own?.mean }));
  }
  for (const one of [texts.answer ?? [], texts.answers ?? [], texts.texts ?? []].flat()) {
    const value = typeof one === "object" && one ? one.text ?? one.why ?? JSON.stringify(one) : one;
    sides.push(answer("", value, { ...about(value), name: "answer", model: one?.model ?? one?.finish_reason }));
  }
  if (sides.length) nodes.push(make("div", `sides ${sides.length > 1 ? "two" : ""}`, ...sides));
  const others = rated.filter((_, place) => !used.has(place));
  if (others.length) {
    const columns = others.map((one) => answer("", one.completion, { name: "answer", model: one.model, score: one.mean, rating: one, calls, marks }));
    nodes.push(fold("part", [numberOf(others.length, "other rated answers")], make("div", "sides two", ...columns)));
  }
  for (const [name, value] of Object.entries(long(left))) {
    const all = Array.isArray(value) && !isChat(value) ? value : [value];
    nodes.push(part(words(name), ...all.flatMap((one) => (isChat(one) ? chat(one, marks) : [make("div", "turn", prose(String(one), marks))]))));
  }
  if (!evidence && Object.keys(short(left)).length) nodes.push(part("Columns", pairs(short(left))));
  if (calls.length) nodes.push(callNodes(calls, marks));
  return nodes;
}

/** Opens the row that was kept for the same prompt, if there is one. */
function keptButton(kept) {
  const config = facts.configs.find((one) => one.name === "default");
  const entry = kept && config ? index.id.indexOf(kept) : -1;
  if (entry < 0 || entry >= config.first + config.shown) return [];
  const button = Object.assign(make("button", "step", "See the row that was kept"), { type: "button" });
  button.onclick = () => {
    Object.assign(state, { text: "", model: -1 });
    $("search").value = "";
    choose(config);
    go(shown.indexOf(entry));
  };
  return [button];
}

const isLong = (value) => isChat(value) || (typeof value === "string" && (value.length > 90 || value.includes("\n"))) || (Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === "string") && value.some((one) => one.length > 60));
const long = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => isLong(value)));
const short = (values) => Object.fromEntries(Object.entries(values).filter(([, value]) => !isLong(value)));

function rowHeader(row, entry) {
  const step = (name, label, by) => {
    const button = attributes(make("button", "", name), { type: "button", "aria-label": label });
    button.onclick = () => go(at + by);
    return button;
  };
  const tag = row.reason ? make("span", "tag bad", String(row.reason)) : make("span", `tag ${state.config.name === "default" ? "good" : ""}`, labelOf(state.config));
  return make("header", "", tag, make("code", "", index.id[entry]), make("nav", "", make("span", "", `${number(at + 1)} / ${number(shown.length)}`), step("↑", "Previous row", -1), step("↓", "Next row", 1)));
}

function callNodes(calls, marks) {
  const items = calls.map((call) => {
    const tokens = call.output_tokens === null ? "tokens unknown" : `${number(call.input_tokens ?? 0)} + ${numberOf(call.output_tokens, "tokens")}`;
    const summary = [make("span", `tag ${call.ended === "complete" ? "" : "bad"}`, String(call.ended)), `${call.role} `, make("small", "", `${call.model}, ${tokens}`)];
    const thought = call.reasoning ? [fold("fold", ["Reasoning"], prose(call.reasoning, marks))] : [];
    return make("li", "", fold("", summary, ...thought, prose(String(call.answer ?? ""), marks)));
  });
  return fold("part", [`${numberOf(calls.length, "calls")} to teachers`], make("ul", "calls", ...items));
}

// --- the overview

const labelOf = (config) => ({ default: "kept", dropped: "dropped" })[config.name] ?? config.name;

const total = (name) => facts.calls.reduce((sum, one) => sum + one[name], 0);

function cost() {
  const { usd, at_most_usd: most } = facts.spent;
  if (typeof usd === "number") return `$${+usd.toPrecision(3)}`;
  return typeof most === "number" ? `≤ $${+most.toPrecision(3)}` : "unknown";
}

function header() {
  const { counts } = facts;
  $("subtitle").textContent = [facts.recipe && facts.recipe !== facts.title ? `recipe ${facts.recipe}` : "", facts.follows ? `after ${facts.follows}` : ""].filter(Boolean).join(" · ");
  for (const [name, value] of [["made", number(counts.made)], ["kept", number(counts.kept)], ["calls", number(total("calls"))], ["cost", cost()]]) $("totals").append(make("div", "", make("dt", "", name), make("dd", "", value)));
  const cut = facts.configs.filter((one) => one.shown < one.rows);
  $("limits").hidden = !cut.length;
  $("limits").textContent = `Not all rows are on this page: it has the first ${cut.map((one) => `${number(one.shown)} of ${number(one.rows)} of ${labelOf(one)}`).join(", ")}.`;
}

function funnel() {
  const { made, kept, dropped, left_out: unread = {} } = facts.counts;
  const read = made + Object.values(unread).reduce((sum, one) => sum + one, 0);
  let left = read;
  const line = (kind, name, rows, remaining, lost, reason) => {
    const bar = (kind, part) => {
      const node = make("span", kind);
      node.style.width = `${(100 * part) / Math.max(read, 1)}%`;
      return node;
    };
    const button = make("button", kind, attributes(make("span", "name", name), { title: name }), make("span", "track", bar("left", remaining), lost ? bar("lost", lost) : ""), make("span", "count", number(rows), make("small", "", share(rows, read))));
    const config = facts.configs.find((one) => one.name === (kind === "kept" ? "default" : "dropped"));
    button.type = "button";
    button.reason = reason;
    button.disabled = kind === "made" || !config?.shown;
    button.onclick = () => choose(config, reason);
    $("funnel").append(make("li", "", button));
  };
  if (read > made) line("made", "read", read, read, 0, -1);
  const losses = (reasons, prefix) => {
    for (const [name, rows] of Object.entries(reasons)) {
      left -= rows;
      line("", name, rows, left, rows, index.reasons.indexOf(prefix + name));
    }
  };
  losses(unread, "left out: ");
  line("made", "made", made, made, 0, -1);
  losses(dropped, "");
  line("kept", "kept", kept, kept, 0, -1);
  if (kept === read) $("funnel").append(make("li", "quiet", read ? "Nothing was dropped." : "Nothing was made yet."));
}

function median(values) {
  const sorted = Float64Array.from(values).sort();
  return sorted.length ? sorted[sorted.length >> 1] : 0;
}

/** Bars of one or two series over the same bins; lengths are in bins of equal ratio. */
function histogram(id, series, names, ratio) {
  const all = series.flat();
  const scale = ratio ? (value) => Math.log2(Math.max(value, 1)) : (value) => value;
  $(`${id}-card`).hidden = !all.length;
  const [least, highest] = all.reduce(([least, most], one) => [Math.min(least, scale(one)), Math.max(most, scale(one))], [Infinity, -Infinity]);
  const bins = 24;
  const width = (highest - least || 1) / bins;
  const low = highest > least ? least : least - 0.5; // one value is in the middle
  const counts = series.map((values) => values.reduce((found, one) => {
    found[Math.min(bins - 1, Math.floor((scale(one) - low) / width))]++;
    return found;
  }, new Array(bins).fill(0)));
  const most = counts.flat().reduce((one, other) => Math.max(one, other), 1);
  const back = (place) => (ratio ? Math.round(2 ** (low + place * width)) : +(low + place * width).toFixed(2));
  const bars = Array.from({ length: bins }, (_, place) => {
    const node = make("span", "bin", ...counts.map((of) => {
      const bar = make("i");
      bar.style.height = `${(100 * of[place]) / most}%`;
      return bar;
    }));
    return attributes(node, { title: `${number(back(place))} to ${number(back(place + 1))}: ${counts.map((of, one) => `${number(of[place])} ${names[one]}`).join(", ")}` });
  });
  const medians = series.map((values, place) => `${names[place]} ${number(+median(values).toFixed(2))}`);
  $(id).replaceChildren(
    attributes(make("div", "bars", ...bars), { role: "img", "aria-label": `Histogram; median of ${medians.join(", of ")}` }),
    make("div", "axis", make("span", "", number(back(0))), make("span", "", number(back(bins / 2))), make("span", "", number(back(bins)))),
    make("p", "legend", ...series.map((values, place) => make("span", "", make("i"), `${names[place]}, median `, make("b", "", number(+median(values).toFixed(2)))))));
}

function charts() {
  const series = (column) => [0, 1].map((place) => shown.map((entry) => index[column][entry][place]).filter((one) => one !== undefined)).filter((one) => one.length);
  const named = (found, one) => (found.length > 1 ? ["chosen", "rejected"] : [one]);
  const [lengths, scores] = [series("length"), series("score")];
  histogram("length", lengths, named(lengths, "answer"), true);
  $("length").classList.toggle("bad", state.config?.name === "dropped");
  histogram("score", scores, named(scores, "score"), false);
}

function costs() {
  const head = ["role", "model", "calls", "tokens in", "tokens out"].map((one) => attributes(make("th", "", one), { scope: "col" }));
  const lines = facts.calls.map((one) => make("tr", "", make("td", "", words(one.role)), make("td", "", one.model), make("td", "", number(one.calls)), make("td", "", number(one.input_tokens)), make("td", "", number(one.output_tokens) + (one.uncounted ? " or more" : ""))));
  $("cost").append(make("thead", "", make("tr", "", ...head)), make("tbody", "", ...lines));
  $("cost-card").hidden = !lines.length;
  $("cost-line").textContent = `${numberOf(total("calls"), "calls")}, ${numberOf(total("input_tokens") + total("output_tokens"), "tokens")}`;
  const measures = Object.entries(facts.measures);
  $("measures-card").hidden = !measures.length;
  $("measures-line").textContent = `${measures.length} of the recipe`;
  $("measures").append(...measures.flatMap(([name, value]) => [make("dt", "", name), make("dd", "", value !== null && typeof value === "object" ? Object.entries(value).map(([of, one]) => `${of} ${brief(one)}`).join(", ") || "none" : brief(value))]));
}

// --- filters and keys

function tools() {
  let first = 0;
  for (const config of facts.configs) {
    config.first = first;
    first += config.shown;
    const button = attributes(make("button", "", labelOf(config), make("small", "", number(config.rows))), { type: "button", title: `config ${config.name}` });
    button.config = config;
    button.onclick = () => choose(config);
    $("configs").append(button);
  }
  for (const [id, names] of [["reason", index.reasons], ["model", index.models]]) {
    const option = (name, value) => Object.assign(make("option", "", name), { value });
    $(id).append(option("all", -1), ...names.map(option));
    $(id).closest("label").hidden = names.length < 2;
    $(id).onchange = () => {
      state[id] = +$(id).value;
      narrow();
    };
  }
  let waiting;
  $("search").oninput = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      state.text = $("search").value.trim().toLowerCase();
      narrow();
    }, 180);
  };
  $("list").onscroll = list;
  addEventListener("resize", list);
}

const STEPS = { j: 1, k: -1, ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    $("search").value = "";
    Object.assign(state, { text: "", reason: -1, model: -1 });
    $("list").focus({ preventScroll: true });
    narrow();
  }
  if (event.target.matches("input, select, textarea")) return;
  const inList = event.key.length === 1 || event.target === $("list");
  if (event.key in STEPS && inList) {
    const step = STEPS[event.key];
    go(Number.isFinite(step) ? at + step : step < 0 ? 0 : shown.length - 1);
  } else if (event.key === "/") $("search").focus();
  else if (event.key === "o") {
    const folds = [...$("row").querySelectorAll("details")];
    const open = folds.some((one) => !one.open);
    for (const one of folds) one.open = open;
  } else if (event.key === "Enter" && event.target === $("list")) $("row").focus();
  else return;
  event.preventDefault();
});

async function begin() {
  [facts, index] = (await Promise.all([inflated($("facts")), inflated($("index"))])).map((text) => JSON.parse(text));
  header();
  tools();
  funnel();
  costs();
  choose(facts.configs.find((one) => one.shown) ?? facts.configs[0] ?? null);
}

begin();
