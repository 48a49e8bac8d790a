// Who is enrolled: a list that can be searched, and one person's photos.

import { Problem, get, knownNames } from "./api.js";
import { ask, askName, tell } from "./dialog.js";
import { move, rename } from "./done.js";
import { byId, count, el, problemBox } from "./dom.js";
import { forget } from "./forget.js";
import { thumbnail } from "./thumbnails.js";

const PAGE = 100;
const MOST = 1000; // people an answer may hold
const ASK_AGAIN_MS = [250, 500, 1000, 2000]; // the last one again and again
let shown = 0;
let turn = 0;
let told = null; // what the list shows of separations

export function begin() {
  byId("part").addEventListener("input", () => list());
  byId("sort").addEventListener("change", () => list());
  byId("find").addEventListener("submit", (event) => event.preventDefault());
  byId("more").addEventListener("click", () => list(true));
}

export async function list(more = false) {
  const mine = ++turn;
  const search = byId("part").value.trim();
  let answer;
  try {
    answer = await get("/people", { search, sort: byId("sort").value, offset: more ? shown : 0, limit: PAGE });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    byId("people").replaceChildren(problemBox(error));
    return;
  }
  if (mine !== turn) return; // a later question has been asked meanwhile
  draw(answer, search, more);
  watch(mine);
}

function draw(answer, search, more) {
  told = answer.separations;
  const rows = answer.people.map(row);
  if (!more) {
    shown = 0;
    byId("people").replaceChildren(answer.total ? table() : empty(search));
  }
  byId("people").querySelector("tbody")?.append(...rows);
  shown += rows.length;
  byId("people-count").textContent = answer.total ? `${count(answer.total, "person", "people")}${search ? ` with “${search}” in the name` : ""}` : "";
  byId("more").hidden = shown >= answer.total;
  byId("people-state").textContent = answer.total ? stateWords(told) : "";
}

function stateWords({ state, computed_at: at }) {
  const older = at && `Those shown are of ${new Date(at).toLocaleString()}, before the gallery's last change.`;
  const first = byId("sort").value === "separation" ? "Until they are there, people are listed by name." : "";
  switch (state) {
    case "running":
      return `Separations are being computed. ${older ?? first}`.trim();
    case "failed":
      return `Separations could not be computed; the service's log says why. ${older ?? ""}`.trim();
    case "too-many":
      return "There are too many people to compare all of them with each other, so no separations are shown.";
    default:
      return "";
  }
}

// Asks again for as long as separations are being computed and this list is looked at, then shows them.
async function watch(mine) {
  for (let turns = 0; told.state === "running"; turns += 1) {
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS[turns] ?? ASK_AGAIN_MS.at(-1)));
    if (mine !== turn || byId("view-people").hidden) return;
    const before = told.computed_at;
    const known = await get("/people", { limit: 1 }).catch(() => null);
    if (mine !== turn || known === null) return;
    if (known.separations.state !== "running" || known.separations.computed_at !== before) return again(mine);
  }
}

// The same people once more, with the focus where it was.
async function again(mine) {
  const search = byId("part").value.trim();
  const asked = { search, sort: byId("sort").value, offset: 0, limit: Math.min(MOST, Math.max(PAGE, shown)) };
  const answer = await get("/people", asked).catch(() => null);
  if (mine !== turn || answer === null) return;
  const name = byId("people").contains(document.activeElement) ? document.activeElement.dataset.person : null;
  draw(answer, search, false);
  if (name) [...byId("people").querySelectorAll("a")].find((link) => link.dataset.person === name)?.focus();
  watch(mine);
}

function empty(search) {
  if (search) return el("p", {}, `Nobody's name contains “${search}”.`);
  return el("p", {}, "Nobody is enrolled yet. ", el("a", { href: "#search" }, "Search with a photo"), ", and enroll a face that you find in it.");
}

function table() {
  const head = ["Name", "Photos", "Separation", "Nearest other person"].map((word) => el("th", { scope: "col" }, word));
  return el(
    "table",
    { class: "people" },
    el("caption", {}, "Separation: how much closer their photos are to each other than to the nearest other person, on average. Below 0 they look like somebody else."),
    el("thead", {}, el("tr", {}, ...head)),
    el("tbody"),
  );
}

function row(person) {
  const apart = person.separation;
  const unknown = told.state === "running" ? "being computed" : "not known";
  const word = person.pending ? unknown : apart === null ? (person.photos === 1 ? "one photo" : "nobody else") : `${apart < 0 ? "−" : ""}${Math.abs(apart).toFixed(3)}`;
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, el("a", { href: "#person", "data-person": person.name }, person.name)),
    el("td", { "data-label": "photos" }, String(person.photos)),
    el("td", { "data-label": "separation", class: apart !== null && apart < 0.05 ? "doubtful" : "" }, word),
    el("td", { "data-label": "nearest" }, person.nearest ?? (person.pending ? unknown : "nobody")),
  );
}

export async function person(name) {
  byId("title-person").textContent = name;
  const place = byId("person");
  place.replaceChildren(el("p", { class: "soft" }, "Looking"));
  try {
    const { photos } = await get("/people/photos", { name });
    const actions = el(
      "p",
      { class: "buttons" },
      el("button", { type: "button", onclick: () => renamed(name) }, "Rename"),
      el("button", { type: "button", class: "danger", onclick: () => forget(name, null, name, () => (location.hash = "#people")) }, "Forget this person"),
    );
    place.replaceChildren(actions, el("p", {}, `${count(photos.length, "photo")} enrolled.`), el("ul", { class: "grid" }, ...photos.map((photo) => photoItem(name, photo))));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.kind === "unknown-person") location.replace("#people"); // renamed or forgotten meanwhile
    else place.replaceChildren(problemBox(error));
  }
}

function photoItem(name, photo) {
  return el(
    "li",
    {},
    thumbnail(name, photo),
    el("p", { class: "buttons" },
      el("button", { type: "button", "aria-label": `Move ${photo.source} to somebody else`, onclick: () => moved(name, [photo.sha256]) }, "Move"),
      el("button", { type: "button", "aria-label": `Forget ${photo.source}`, onclick: () => forget(name, [photo.sha256], `the photo ${photo.source} of ${name}`) }, "Forget"),
    ),
  );
}

async function renamed(old) {
  const name = await askName(`Rename ${old}`, { value: old, button: "Rename" });
  if (name === null || name === old) return;
  await attempt(async () => {
    try {
      await rename(old, name, false);
    } catch (error) {
      if (!(error instanceof Problem) || error.kind !== "name-taken") throw error;
      const join = await ask(error.title, [el("p", {}, `Are ${old} and ${name} one person? Then all photos go under ${name}.`)], [["Join them", "yes", "primary"]]);
      if (join !== "yes") return;
      await rename(old, name, true);
    }
    location.hash = "#people";
  });
}

export async function moved(person, photos, to = null) {
  const names = to === null ? await knownNames().catch(() => []) : [];
  const name = to ?? (await askName(`Move ${count(photos.length, "photo")} of ${person}`, { button: "Move", names: names.filter((known) => known !== person) }));
  if (name === null) return false;
  return attempt(() => move(person, photos, name));
}

export async function attempt(action) {
  try {
    await action();
    return true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    await tell(error.title, el("p", {}, error.message));
    return false;
  }
}
