// The status page of gluster-bdd: asks for status.json every ten seconds and shows it. What comes
// from the server is only ever set as text, never as markup.
"use strict";

const EVERY = 10_000;
// A brick with more images shows the first of them; the filter finds the others.
const MOST_ROWS = 500;
// Of jobs that are over, so many are shown, for a day.
const MOST_OVER = 6;
const MOST_JOBS = 60;

let shown = null;

const byId = (id) => document.getElementById(id);

function node(name, className, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

function drawn(name, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  let unit = 0;
  while (number >= 1024 && unit < units.length - 1) {
    number /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || number >= 100 ? 0 : number >= 10 ? 1 : 2;
  return `${Number(number.toFixed(digits))} ${units[unit]}`;
}

function span(seconds) {
  for (const [size, name] of [[86400, "day"], [3600, "hour"], [60, "minute"]]) {
    if (seconds >= size) {
      const count = Math.round(seconds / size);
      return `${count} ${name}${count === 1 ? "" : "s"}`;
    }
  }
  return "less than a minute";
}

const share = (used, size) => (size > 0 ? (100 * used) / size : 0);

// A bar that is filled to so many percent, for eyes and for readers.
function bar(role, title, level, percent) {
  const fill = node("div", "fill");
  fill.style.width = `${Math.min(100, percent)}%`;
  const track = node("div", `gauge ${level}`, fill);
  track.setAttribute("role", role);
  track.setAttribute("aria-label", title);
  track.setAttribute("aria-valuemin", "0");
  track.setAttribute("aria-valuemax", "100");
  track.setAttribute("aria-valuenow", percent.toFixed(1));
  return track;
}

function gauge(title, used, size, mark, near, bad) {
  const percent = share(used, size);
  const level = percent >= bad ? "bad" : percent >= near ? "near" : "good";
  const line = node("div", "line", node("span", "", title),
    node("span", "", `${percent.toFixed(1)}% `, node("span", "soft", `of ${bytes(size)}`)));
  const track = bar("meter", title, level, percent);
  if (mark < 100) {
    const sign = node("div", "mark");
    sign.style.left = `${mark}%`;
    sign.title = `extended from ${mark}% on`;
    track.append(sign);
  }
  return [line, track];
}

// What was in use over time, below what there was.
function curve(history) {
  if (history.length < 2) {
    return [node("p", "soft more", "The curve begins with the second minute.")];
  }
  const [first, last] = [history[0][0], history[history.length - 1][0]];
  const most = Math.max(...history.map(([, , size]) => size), 1);
  const x = (at) => ((1000 * (at - first)) / Math.max(1, last - first)).toFixed(1);
  const y = (value) => (100 - (95 * value) / most).toFixed(2);
  const path = (column) => history.map((point, place) =>
    `${place ? "L" : "M"}${x(point[0])} ${y(point[column])}`).join("");
  const svg = drawn("svg", { class: "curve", viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "img" });
  const title = drawn("title", {});
  title.textContent = `Data in use, from ${bytes(history[0][1])} to ${bytes(history[history.length - 1][1])}`;
  svg.append(title,
    drawn("path", { class: "area", d: `${path(1)}L1000 100L0 100Z` }),
    drawn("path", { class: "size", d: path(2) }),
    drawn("path", { class: "used", d: path(1) }));
  return [svg, node("div", "axis", node("span", "", `${span(last - first)} ago`), node("span", "", "now"))];
}

function full(pool) {
  const times = [[pool.full_in, "data"], [pool.metadata_full_in, "metadata"]]
    .filter(([seconds]) => seconds !== null && seconds !== undefined)
    .sort((a, b) => a[0] - b[0]);
  if (times.length === 0) return node("span", "soft", "not within a year");
  const [seconds, part] = times[0];
  if (seconds === 0) return node("span", "bad", `${part}: now`);
  const level = seconds < 86400 ? "bad" : seconds < 7 * 86400 ? "near" : "";
  return node("span", level, `${part} in ${span(seconds)}`);
}

const STATES = {
  good: ["good", "takes writes"],
  full: ["bad", "full: writes fail"],
  read_only: ["bad", "read-only: wants repair"],
  failed: ["bad", "failed: wants repair"],
};

function poolCard(pool) {
  const nearly = share(pool.data_used, pool.data_size) >= 95
    || share(pool.metadata_used, pool.metadata_size) >= 90;
  const [level, text] = pool.health === "good" && nearly
    ? ["near", "nearly full"] : STATES[pool.health] ?? ["near", pool.health];
  const line = (title, value) => node("div", "line", node("span", "soft", title), value);
  const card = node("article", "card",
    node("div", "top", node("h3", "", `${pool.vg}/${pool.pool}`), node("span", `badge ${level}`, text)));
  // A pool that has failed says nothing of its use.
  if (pool.health !== "failed") {
    card.append(...gauge("Data", pool.data_used, pool.data_size, pool.extend_at, 80, 95),
      ...gauge("Metadata", pool.metadata_used, pool.metadata_size, pool.metadata_extend_at, 70, 90),
      ...curve(pool.history),
      line("Full", full(pool)));
  }
  card.append(
    line("Can be extended by", node("span", "", bytes(pool.data_growable))),
    line("Images together", node("span", "", `${pool.images}, ${bytes(pool.provisioned)}`)),
    line("Free in the group", node("span", "", bytes(pool.group_free))));
  return card;
}

const KINDS = {
  hydrate: "Makes a clone independent", evacuate: "Empties a disk", zero: "Zeroes new blocks",
};
const JOB_STATES = {
  queued: ["soft", "waits"],
  running: ["good", "running"],
  paused: ["near", "paused"],
  done: ["idle", "done"],
  failed: ["bad", "failed"],
  cancelled: ["idle", "cancelled"],
};
const isOver = (job) => job.ended !== null;

function jobCard(job, now) {
  const [level, text] = JOB_STATES[job.state] ?? ["near", job.state];
  const kind = KINDS[job.kind] ?? job.kind;
  const card = node("article", "card job",
    node("div", "top", node("h3", "", job.name), node("span", `badge ${level}`, text)),
    node("div", "soft", `${kind}, job ${job.id}, ${job.vg}`));
  if (job.total !== null) {
    const percent = job.state === "done" ? 100 : share(job.done, job.total);
    card.append(node("div", "line", node("span", "", `${bytes(job.done)} of ${bytes(job.total)}`),
      node("span", "", `${Math.floor(percent)}%`)), bar("progressbar", job.name, level, percent));
  } else if (!isOver(job)) {
    card.append(node("div", "line", node("span", "soft", "How much there is to do is not known yet.")));
  }
  if (job.rate > 0) {
    const left = job.total === null ? "" : `, ${span((job.total - job.done) / job.rate)} left`;
    card.append(node("div", "line", node("span", "soft", "Rate"), node("span", "", `${bytes(job.rate)}/s${left}`)));
  }
  if (isOver(job)) {
    card.append(node("div", "line", node("span", "soft", "Ended"),
      node("span", "", `${span(now - job.ended)} ago`)));
  }
  if (job.reason !== null) card.append(node("p", level === "bad" ? "reason bad" : "reason", job.reason));
  return card;
}

// Those that are not over, and the last ones that are, the latest first.
function jobCards(jobs, now) {
  const active = jobs.filter((job) => !isOver(job));
  const over = jobs.filter((job) => isOver(job) && now - job.ended < 86400)
    .sort((a, b) => b.ended - a.ended).slice(0, MOST_OVER);
  const cards = [...active.slice(0, MOST_JOBS), ...over].map((job) => jobCard(job, now));
  if (active.length > MOST_JOBS) {
    cards.push(node("p", "more", `${active.length - MOST_JOBS} more wait; see gluster-bd job list.`));
  }
  return cards.length ? cards : [node("p", "soft", "None, and none has ended within a day.")];
}

// Rows of images, each followed by its snapshots; an image whose origin is not here is a root.
function lineage(images) {
  const there = new Set(images.map((image) => image.name));
  const below = new Map();
  for (const image of images) {
    const key = image.origin !== null && there.has(image.origin) && image.origin !== image.name
      ? image.origin : null;
    if (!below.has(key)) below.set(key, []);
    below.get(key).push(image);
  }
  const rows = [];
  const seen = new Set();
  const stack = (below.get(null) ?? []).map((image) => [image, 0]).reverse();
  while (stack.length > 0) {
    const [image, depth] = stack.pop();
    if (seen.has(image.name)) continue;
    seen.add(image.name);
    rows.push([image, depth]);
    for (const child of (below.get(image.name) ?? []).slice().reverse()) stack.push([child, depth + 1]);
  }
  return rows;
}

function brickCard(brick, wanted) {
  const rows = lineage(brick.images)
    .filter(([image]) => image.name.toLowerCase().includes(wanted));
  const body = node("tbody", "");
  for (const [image, depth] of rows.slice(0, MOST_ROWS)) {
    const name = node("td", "name");
    if (depth > 0) name.append(node("span", "step", `${"\u00a0\u00a0".repeat(depth - 1)}└ `));
    name.append(image.name);
    body.append(node("tr", "", name, node("td", "number", bytes(image.size)),
      node("td", "number", bytes(image.allocated)), node("td", "kind", image.kind)));
  }
  const heading = node("thead", "", node("tr", "", node("th", "", "Image"), node("th", "number", "Size"),
    node("th", "number", "In use"), node("th", "kind", "Kind")));
  const card = node("article", "card",
    node("div", "top", node("h3", "path", brick.dir), node("span", "badge soft", `${brick.images.length} images`)));
  if (brick.space) {
    const used = brick.space.total - brick.space.free;
    card.append(node("div", "line", node("span", "soft", "Free for images"),
      node("span", "", `${bytes(brick.space.free)} of ${bytes(brick.space.total)} (${share(used, brick.space.total).toFixed(0)}% in use)`)));
  }
  if (rows.length > 0) card.append(node("table", "", heading, body));
  if (rows.length > MOST_ROWS) {
    card.append(node("p", "more", `${rows.length - MOST_ROWS} more; write a part of their names above.`));
  } else if (rows.length === 0) {
    card.append(node("p", "more", brick.images.length ? "None has such a name." : "No images yet."));
  }
  return card;
}

function show() {
  if (shown === null) return;
  byId("host").textContent = `on ${shown.host}, ${shown.version}`;
  document.title = `gluster-bd on ${shown.host}`;
  const pools = shown.pools.map(poolCard);
  if (shown.pools_unreadable) pools.unshift(node("p", "bad", "A pool could not be read; see the log of gluster-bdd."));
  byId("pools").replaceChildren(...(pools.length ? pools : [node("p", "soft", "None is served here.")]));
  byId("jobs").replaceChildren(...jobCards(shown.jobs, shown.now));
  const wanted = byId("filter").value.trim().toLowerCase();
  const bricks = shown.bricks.map((brick) => brickCard(brick, wanted));
  byId("bricks").replaceChildren(...(bricks.length ? bricks : [node("p", "soft", "None is served here.")]));
}

async function ask() {
  const state = byId("state");
  try {
    // With its origin, as a page whose address has a token in it may not ask otherwise.
    const answer = await fetch(new URL("/status.json", location.origin), { cache: "no-store" });
    if (!answer.ok) throw new Error(`the answer was ${answer.status}`);
    shown = await answer.json();
    state.className = "";
    state.textContent = `As of ${new Date(shown.now * 1000).toLocaleTimeString()}`;
    show();
  } catch (error) {
    state.className = "bad";
    const since = shown ? `; what you see is of ${new Date(shown.now * 1000).toLocaleTimeString()}` : "";
    state.textContent = `gluster-bdd does not answer (${error.message})${since}`;
  }
  setTimeout(ask, EVERY);
}

byId("filter").addEventListener("input", show);
ask();
