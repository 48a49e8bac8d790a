// Who is enrolled: a list that can be searched, and one person's photos.

import { Problem, get, knownNames } from "./api.js";
import { ask, askName, tell } from "./dialog.js";
import { move, rename } from "./done.js";
import { byId, count, el, problemBox } from "./dom.js";
import { forget } from "./forget.js";
import { thumbnail } from "./thumbnails.js";

const PAGE = 100;
let shown = 0;
let turn = 0;

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
  const rows = answer.people.map(row);
  if (!more) {
    shown = 0;
    byId("people").replaceChildren(answer.total ? table() : empty(search));
  }
  byId("people").querySelector("tbody")?.append(...rows);
  shown += rows.length;
  byId("people-count").textContent = answer.total ? `${count(answer.total, "person", "people")}${search ? ` with “${search}” in the name` : ""}` : "";
  byId("more").hidden = shown >= answer.total;
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
  const word = apart === null ? (person.photos === 1 ? "one photo" : "nobody else") : `${apart < 0 ? "−" : ""}${Math.abs(apart).toFixed(3)}`;
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, el("a", { href: "#person", "data-person": person.name }, person.name)),
    el("td", { "data-label": "photos" }, String(person.photos)),
    el("td", { "data-label": "separation", class: apart !== null && apart < 0.05 ? "doubtful" : "" }, word),
    el("td", { "data-label": "nearest" }, person.nearest ?? "nobody"),
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
