// What was done on this page, each with its undoing, until the page is left. Erasing cannot be undone, so it is announced and
// counts down first: keeping somebody is possible until the end of the count, and leaving the page keeps them too.

import { Problem, get, post } from "./api.js";
import { byId, count, el, say } from "./dom.js";

const COUNT_S = 10;
const done = []; // {words, undo} latest last; undo is null where there is none
let open = false;
let waiting = null; // {words, left, carryOut, timer}
const listeners = [];

// Called after anything has changed in the gallery.
export const onChange = (listener) => listeners.push(listener);

export const changed = () => listeners.forEach((listener) => listener());

export function remember(words, undo) {
  done.push({ words, undo });
  say(words);
  draw();
  changed();
}

async function undo(entry) {
  try {
    await entry.undo();
    done.splice(done.indexOf(entry), 1);
    say(`Undone: ${entry.words}`);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    entry.words = `Could not be undone: ${error.message}`;
    entry.undo = null;
    say(entry.words);
  }
  draw();
  changed();
}

// Announces an erasure; carryOut is called when the count ends.
export function countDown(words, carryOut) {
  if (waiting) finish();
  waiting = { words, left: COUNT_S, carryOut };
  waiting.timer = setInterval(() => {
    waiting.left -= 1;
    if (waiting.left <= 0) finish();
    else draw();
  }, 1000);
  say(`${words} will be erased in ${COUNT_S} seconds. Choose Keep to stop it.`);
  draw();
  byId("done").querySelector("button").focus();
}

async function finish() {
  const due = waiting;
  clearInterval(due.timer);
  waiting = null;
  draw();
  await due.carryOut();
}

function keep() {
  clearInterval(waiting.timer);
  say(`${waiting.words} is kept.`);
  waiting = null;
  draw();
}

export function undoLast() {
  const last = done.findLast((entry) => entry.undo);
  if (waiting) keep();
  else if (last) undo(last);
}

function line(entry) {
  const button = entry.undo && el("button", { type: "button", onclick: () => undo(entry) }, "Undo");
  return el("li", {}, el("span", {}, entry.words), button);
}

function draw() {
  const place = byId("done");
  const hadFocus = place.contains(document.activeElement);
  place.hidden = !waiting && !done.length;
  const shown = open ? [...done].reverse() : done.slice(-1);
  const lines = shown.map(line);
  if (waiting) {
    lines.unshift(
      el(
        "li",
        { class: "due" },
        el("span", {}, `${waiting.words} will be erased in ${count(waiting.left, "second")}. This cannot be undone afterwards.`),
        el("button", { type: "button", class: "primary", onclick: keep }, "Keep"),
        el("button", { type: "button", onclick: finish }, "Erase now"),
      ),
    );
  }
  const more =
    done.length > 1 &&
    el(
      "button",
      { type: "button", "aria-expanded": String(open), onclick: () => ((open = !open), draw()) },
      open ? "Show the last only" : `Show all ${done.length}`,
    );
  const inside = hadFocus && [...place.querySelectorAll("button")].indexOf(document.activeElement);
  place.replaceChildren(el("ul", {}, ...lines), ...(more ? [more] : []));
  if (hadFocus) (place.querySelectorAll("button")[Math.max(0, inside)] ?? place.querySelector("button") ?? byId("content")).focus();
}

// ---- the actions themselves, each with its undoing

export async function rename(old, name, join) {
  const before = join ? await photosOf(old) : null;
  const both = join ? new Set(await photosOf(name)) : null;
  const moved = await post("/rename", { old, new: name, join });
  const words = `${old} is called ${name} now (${count(moved.photos, "photo")}).`;
  if (!join) return remember(words, () => post("/rename", { old: name, new: old, join: false }));
  const back = before.filter((sha256) => !both.has(sha256));
  remember(words, back.length ? () => post("/move", { person: name, photos: back, to: old }) : null);
}

export async function move(person, photos, to) {
  const there = new Set(await photosOf(to).catch(() => []));
  await post("/move", { person, photos, to });
  const back = photos.filter((sha256) => !there.has(sha256));
  const undoing = back.length ? () => post("/move", { person: to, photos: back, to: person }) : null;
  remember(`${count(photos.length, "photo")} moved from ${person} to ${to}.`, undoing);
}

async function photosOf(name) {
  return (await get("/people/photos", { name })).photos.map((photo) => photo.sha256);
}
