// The audit's findings, one by one: each is either right as it is, or gets fixed.

import { Problem, get, post } from "./api.js";
import { remember, rename } from "./done.js";
import { byId, count, el, problemBox } from "./dom.js";
import { forget } from "./forget.js";
import { attempt, moved } from "./people.js";
import { thumbnail } from "./thumbnails.js";

const ASK_AGAIN_MS = 700;
const TITLES = {
  wrong_name: (finding) => `Is this ${finding.person}, or ${finding.other}?`,
  same_person: (finding) => `Are ${finding.person} and ${finding.other} one person?`,
  two_people: (finding) => `Is ${finding.person} two people?`,
  copies: (finding) => (finding.other ? `One picture under ${finding.person} and ${finding.other}` : `One picture twice under ${finding.person}`),
};
let asking = 0;

export async function check() {
  const mine = ++asking;
  const state = byId("check-state");
  state.textContent = "Comparing all photos with each other";
  try {
    let answer = await get("/audit");
    while (answer.state === "running" && mine === asking) {
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
      answer = await get("/audit");
    }
    if (mine === asking) draw(answer);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    state.textContent = "";
    byId("findings").replaceChildren(problemBox(error));
  }
}

function draw(answer) {
  const open = answer.findings.filter((finding) => !finding.confirmed);
  const right = answer.findings.filter((finding) => finding.confirmed);
  const more = answer.left ? ` and ${answer.left} more after these` : "";
  byId("check-state").textContent = open.length ? `${count(open.length, "finding")} to look at${more}.` : "Nothing looks wrong.";
  const confirmed =
    right.length > 0 && el("details", {}, el("summary", {}, `${count(right.length, "finding")} called right`), ...right.map((finding) => card(finding)));
  byId("findings").replaceChildren(...open.map((finding) => card(finding)), ...(confirmed ? [confirmed] : []));
}

function card(finding) {
  const title = TITLES[finding.kind](finding);
  const roles = [["doubtful", "In doubt"], ["own", finding.person], ["other", finding.other]];
  const groups = roles
    .map(([role, words]) => [words, different(finding.photos.filter((photo) => photo.role === role)).slice(0, 6)])
    .filter(([, photos]) => photos.length)
    .map(([words, photos]) => el("div", {}, el("p", { class: "soft" }, words), el("div", { class: "thumbs" }, ...photos.map((photo) => thumbnail(photo.person, photo)))));
  const article = el("article", { class: "finding", tabindex: "-1", "aria-label": title }, el("h2", {}, title), el("p", {}, finding.evidence), el("div", { class: "groups" }, ...groups));
  const settle = (words) => {
    article.classList.add("settled");
    article.querySelector(".buttons").replaceChildren(el("span", {}, words));
    article.focus();
  };
  article.append(el("p", { class: "buttons" }, ...actions(finding, settle)));
  return article;
}

// A photo that speaks twice in a matter is shown once.
const different = (photos) => photos.filter((photo, i) => photos.findIndex((other) => other.sha256 === photo.sha256) === i);

function actions(finding, settle) {
  const button = (words, action, kind = "") => el("button", { type: "button", class: kind, onclick: action }, words);
  if (finding.confirmed) return [button("Look at it again", () => confirm(finding, false, settle))];
  const { person, other } = finding;
  const doubtful = finding.photos.filter((photo) => photo.role === "doubtful");
  const contents = doubtful.map((photo) => photo.sha256);
  const right = (words) => button(words, () => confirm(finding, true, settle));
  const moving = (words, to, kind = "") => button(words, async () => (await moved(person, contents, to)) && settle("Moved."), kind);
  const forgetting = (from, role, words = `Forget it under ${from}`) => {
    const photo = finding.photos.find((one) => one.role === role);
    return button(words, () => forget(from, [photo.sha256], `the photo ${photo.source} of ${from}`, () => settle("Forgotten.")), "danger");
  };
  const joining = (from, to) => button(`One person: ${to}`, async () => (await attempt(() => rename(from, to, true))) && settle(`Joined under ${to}.`));
  switch (finding.kind) {
    case "wrong_name":
      return [right(`It is ${person}`), moving(`It is ${other}`, other, "primary"), moving("It is somebody else", null), forgetting(person, "doubtful", "Forget the photo")];
    case "same_person":
      return [right("They are two people"), joining(other, person), joining(person, other)];
    case "two_people":
      return [right("It is one person"), moving("Give those in doubt another name", null)];
    default:
      return [right("Keep both"), ...(other ? [forgetting(other, "doubtful"), forgetting(person, "own")] : [])];
  }
}

async function confirm(finding, right, settle) {
  const set = (value) => post("/audit/confirm", { finding: finding.id, right: value });
  const done = await attempt(() => set(right));
  if (!done) return;
  settle(right ? "Called right." : "To be looked at again.");
  remember(right ? `Called right: ${TITLES[finding.kind](finding)}` : `To be looked at again: ${TITLES[finding.kind](finding)}`, () => set(!right));
}
