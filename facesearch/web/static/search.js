// Photos in, faces out: the photos are sent one by one, a few at a time, and each is shown from the user's own file.

import { Problem, send } from "./api.js";
import { enrollFace } from "./enroll.js";
import { byId, count, el, percent, problemBox, say, score } from "./dom.js";
import { thumbnail } from "./thumbnails.js";

const AT_ONCE = 3;
const SHOWN = 3; // candidates before the fold
const BELIEVED = ["match", "ambiguous"]; // decisions by which somebody enrolled is in the photo
let chosenThreshold = null; // decides on this page instead of the gallery's own
const waiting = []; // cards whose photos have yet to be sent
let [total, ready] = [0, 0]; // of the photos given since the last pause
let stopped = null; // an AbortController while photos are being sent

export function decideBy(threshold) {
  chosenThreshold = threshold;
  const note = byId("threshold-note");
  note.hidden = threshold === null;
  note.textContent = threshold === null ? "" : `Decided by the threshold ${score(threshold)} chosen under Accuracy, for this page only.`;
}

export function begin() {
  byId("files").addEventListener("change", (event) => {
    lookAt([...event.target.files]);
    event.target.value = "";
  });
  byId("stop").addEventListener("click", () => stopped?.abort());
  document.addEventListener("paste", (event) => take(event, event.clipboardData));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    byId("drop").classList.add("over");
  });
  for (const name of ["dragleave", "drop"]) document.addEventListener(name, () => byId("drop").classList.remove("over"));
  document.addEventListener("drop", (event) => take(event, event.dataTransfer));
}

function take(event, transfer) {
  const files = [...(transfer?.files ?? [])];
  if (!files.length) return;
  event.preventDefault();
  location.hash = "#search";
  lookAt(files);
}

async function lookAt(files) {
  const cards = files.map((file) => new PhotoCard(file));
  byId("results").prepend(...cards.map((card) => card.article));
  waiting.push(...cards);
  total += cards.length;
  if (stopped || !cards.length) return showProgress();
  stopped = new AbortController();
  showProgress();
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  waiting.splice(0).forEach((card) => card.remove());
  say(stopped.signal.aborted ? `Stopped after ${ready} of ${count(total, "photo")}.` : `${count(ready, "photo")} looked at.`);
  stopped = null;
  total = ready = 0;
  byId("progress").hidden = true;
}

async function worker() {
  while (waiting.length && !stopped.signal.aborted) {
    await waiting.shift().look(stopped.signal);
    ready += 1;
    showProgress();
  }
}

function showProgress() {
  byId("progress").hidden = !stopped;
  byId("bar").max = total || 1;
  byId("bar").value = ready;
  byId("progress-words").textContent = `Looked at ${ready} of ${count(total, "photo")}`;
}

// One photo with its faces: boxes on the picture, a button a face, and the answer for the face that is chosen.
class PhotoCard {
  constructor(file) {
    this.file = file;
    this.chosen = 0;
    this.url = URL.createObjectURL(file);
    this.body = el("div", {}, el("p", { class: "soft" }, "Waiting"));
    this.article = el(
      "article",
      { class: "photo" },
      el("header", {}, el("h2", {}, file.name || "Pasted photo"), el("button", { type: "button", onclick: () => this.remove() }, "Remove")),
      this.body,
    );
  }

  remove() {
    const hadFocus = this.article.contains(document.activeElement);
    URL.revokeObjectURL(this.url);
    this.article.remove();
    if (hadFocus) byId("title-search").focus();
  }

  async look(signal) {
    this.body.replaceChildren(el("p", { class: "soft" }, "Looking"));
    try {
      const fields = chosenThreshold === null ? {} : { threshold: chosenThreshold };
      const answer = await send("/search", this.file, fields, signal);
      this.photo = answer.photos[0];
      this.enrolled = answer.enrolled;
      this.stale = answer.stale;
      this.notes = answer.notes;
      this.draw();
    } catch (error) {
      if (error.name === "AbortError") this.body.replaceChildren(el("p", { class: "soft" }, "Stopped."));
      else if (error instanceof Problem) this.body.replaceChildren(problemBox(error));
      else throw error;
    }
  }

  draw() {
    const { photo } = this;
    if (photo.skipped !== null && !photo.sha256) {
      this.body.replaceChildren(el("p", { class: "warning" }, `This file cannot be used: ${photo.skipped}.`));
      return;
    }
    this.picture = el("div", { class: "picture" }, this.image());
    if (!photo.faces.length) {
      this.body.replaceChildren(el("div", { class: "two" }, this.picture, el("p", {}, "No face was found in this photo. Turned, covered or very small faces are missed.")));
      return;
    }
    this.boxes = photo.faces.map((face, i) => this.box(face, i));
    this.picture.append(...this.boxes);
    this.chips = photo.faces.map((face, i) => this.chip(face, i));
    this.answer = el("div", { class: "answer" });
    const chooser = photo.faces.length > 1 && el("ul", { class: "chips", "aria-label": `Faces in ${photo.photo}` }, ...this.chips.map((chip) => el("li", {}, chip)));
    const left = photo.faces_left_out > 0 && el("p", { class: "soft" }, `${count(photo.faces_left_out, "smaller face")} left out.`);
    this.body.replaceChildren(el("div", { class: "two" }, el("div", {}, this.picture, left), el("div", {}, chooser, this.answer)));
    this.choose(Math.min(this.chosen, photo.faces.length - 1));
  }

  image() {
    const words = this.photo.faces.length ? `, ${count(this.photo.faces.length, "face")} found` : ", no face found";
    const image = el("img", { src: this.url, alt: `${this.photo.photo}${words}`, width: this.photo.width, height: this.photo.height });
    image.addEventListener("error", () => {
      image.replaceWith(el("div", { class: "blank", style: { aspectRatio: `${this.photo.width} / ${this.photo.height}` } }, "This browser cannot show this kind of file; facesearch can read it."));
    });
    return image;
  }

  box(face, i) {
    const [x, y, w, h] = face.box;
    const share = (part, whole) => `${(100 * part) / whole}%`;
    const { width, height } = this.photo;
    return el(
      "button",
      {
        type: "button", tabindex: "-1", "aria-hidden": "true", class: `box ${face.decision}`, onclick: () => this.choose(i),
        style: { left: share(x, width), top: share(y, height), width: share(w, width), height: share(h, height) },
      },
      el("span", {}, String(face.face)),
    );
  }

  chip(face, i) {
    return el("button", { type: "button", "aria-pressed": "false", class: face.decision, onclick: () => this.choose(i) }, `${face.face}. ${shortAnswer(face)}`);
  }

  choose(i) {
    this.chosen = i;
    this.chips.forEach((chip, j) => chip.setAttribute("aria-pressed", String(i === j)));
    this.boxes.forEach((box, j) => box.classList.toggle("chosen", i === j));
    const face = this.photo.faces[i];
    const enroll = el("button", { type: "button", class: BELIEVED.includes(face.decision) ? "" : "primary", onclick: () => this.enroll(face) }, "Enroll this face");
    this.answer.replaceChildren(...answerOf(face, this, el("p", { class: "buttons" }, enroll)));
  }

  async enroll(face) {
    if (await enrollFace(this.file, face)) await this.look();
  }
}

function shortAnswer(face) {
  if (face.decision === "match") return face.matches[0].person;
  return face.decision;
}

function answerOf(face, card, actions) {
  if (!card.enrolled) return [el("h3", {}, "Nobody is enrolled yet"), el("p", {}, "There is nobody to compare this face with. Enroll it to begin the gallery."), actions];
  const first = face.matches[0];
  const titles = { match: `Match: ${first.person}`, ambiguous: `Ambiguous: ${first.person} or ${face.ambiguous_with}`, unknown: "Unknown", undecided: "Undecided" };
  const out = [el("h3", { class: `decision ${face.decision}` }, titles[face.decision])];
  out.push(el("p", {}, sentence(face, first)));
  if (face.poor.length) out.push(el("p", { class: "warning" }, `Poor photo: ${face.poor.join(", ")}. Answers about it are less sure, and it is a poor one to enroll.`));
  const notes = card.stale ? [...card.notes, "Set the threshold again under Accuracy."] : card.notes;
  if (notes.length) out.push(el("div", { class: "note" }, ...notes.map((words) => el("p", {}, words))));
  const rows = face.matches.map((candidate) => candidateRow(candidate, face));
  out.push(actions, el("ol", { class: "candidates", "aria-label": "Nearest people" }, ...rows.slice(0, SHOWN)));
  const more = rows.slice(SHOWN);
  if (more.length) out.push(el("details", {}, el("summary", {}, `${count(more.length, "more person", "more people")}`), el("ol", { class: "candidates", start: SHOWN + 1, "aria-label": "Further people" }, ...more)));
  return out;
}

const BOUNDS = { more: "more than ", less: "less than " };

function bounded(share, bound, about = "") {
  return (share < 0.0001 ? "" : BOUNDS[bound] || about) + percent(share);
}

function sentence(face, first) {
  if (face.decision === "undecided") return "The gallery has no threshold to decide by: too few people and photos. These are the nearest people all the same.";
  const [nearest, limit] = [score(first.score), score(face.threshold)];
  const what = {
    match: `${nearest} reaches the threshold ${limit}.`,
    ambiguous: `${nearest} reaches the threshold ${limit}, but somebody else is as close. Perhaps one photo is enrolled under two names: look under Check.`,
    unknown: `Nobody reaches the threshold ${limit}; the nearest has ${nearest}.`,
  }[face.decision];
  const lead = face.gap === null || face.decision === "ambiguous" ? "" : ` The lead over the second is ${score(face.gap)}.`;
  const rate = face.expected_fpir === null ? "" : ` By this threshold ${bounded(face.expected_fpir, face.expected_fpir_is)} of strangers' searches are expected to get a name`;
  const rare = rate && face.stranger_share !== null ? `; ${bounded(face.stranger_share, face.stranger_share_is, "up to ")} score as high as this.` : rate && ".";
  const by = face.scored_by === "mean-template" ? " A person's score is that with the mean of their photos." : "";
  return what + lead + rate + rare + by;
}

function candidateRow(candidate, face) {
  const width = `${Math.max(0, Math.min(1, candidate.score)) * 100}%`;
  const reaches = face.threshold !== null && candidate.score >= face.threshold;
  const limit = face.threshold !== null && el("span", { class: "limit", style: { left: `${Math.max(0, Math.min(1, face.threshold)) * 100}%` } });
  return el(
    "li",
    {},
    el("div", { class: "who" }, el("a", { href: "#person", "data-person": candidate.person }, candidate.person), el("span", { class: "number" }, score(candidate.score))),
    el("div", { class: "bar", "aria-hidden": "true" }, el("span", { class: reaches ? "fill reaches" : "fill", style: { width } }), limit),
    el("p", { class: "soft" }, `${count(candidate.photos, "photo")} enrolled; nearest:`),
    el("div", { class: "thumbs" }, ...candidate.support.map((photo) => thumbnail(candidate.person, photo, score(photo.score)))),
  );
}
