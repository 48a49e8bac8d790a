// The page as a whole: which view is shown, and what is said about the gallery. Nothing is kept when the page is left.

import { get } from "./api.js";
import * as accuracyView from "./accuracy.js";
import * as checkView from "./check.js";
import { onChange, undoLast } from "./done.js";
import { byId, count } from "./dom.js";
import * as peopleView from "./people.js";
import * as searchView from "./search.js";

const VIEWS = { search: () => {}, people: () => peopleView.list(), person: showPerson, check: checkView.check, accuracy: accuracyView.accuracy };
const NAMES = { search: "Search", people: "People", person: "Person", check: "Check", accuracy: "Accuracy" };
let current = null;

// Names are kept out of addresses, and so out of the browser's history.
function showPerson() {
  const name = history.state?.person;
  if (name) return peopleView.person(name);
  location.replace("#people");
}

function show(moveFocus) {
  const name = location.hash.slice(1) || "search";
  if (!(name in VIEWS)) return;
  current = name;
  for (const view of Object.keys(VIEWS)) byId(`view-${view}`).hidden = view !== name;
  const inNav = name === "person" ? "people" : name;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === inNav) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${NAMES[name]} · facesearch`;
  if (moveFocus) byId(`title-${name}`).focus();
  VIEWS[name]();
}

async function size() {
  const told = await get("/health").catch(() => null);
  byId("size").textContent = told && told.people !== null ? `${count(told.people, "person", "people")}, ${count(told.faces, "face")}` : "";
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[data-person]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState({ person: link.dataset.person }, "", "#person");
  show(true);
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, dialog");
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && !typing) {
    event.preventDefault();
    undoLast();
  }
});
window.addEventListener("hashchange", () => show(true));
window.addEventListener("popstate", () => {
  if (location.hash === "#person") show(true);
});
onChange(() => {
  size();
  if (current === "people" || current === "person") VIEWS[current]();
});
searchView.begin();
peopleView.begin();
size();
show(false);
