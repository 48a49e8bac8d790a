// The threshold on its curves, and what was measured.

import { Problem, get, post } from "./api.js";
import { ask, tell } from "./dialog.js";
import { changed } from "./done.js";
import { byId, count, el, percent, problemBox, score } from "./dom.js";
import { Chart, decades, tenths } from "./chart.js";
import { decideBy } from "./search.js";

const BEYOND = 0.05; // so far past the curve the slider goes
let chosen = null;

export async function accuracy() {
  await Promise.all([threshold(), figures()]);
}

async function guarded(place, work) {
  try {
    place.replaceChildren(...(await work()));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    place.replaceChildren(problemBox(error));
  }
}

// ---- the threshold

const threshold = () => guarded(byId("threshold"), async () => thresholdParts(await get("/calibration")));

function thresholdParts(told) {
  const limit = told.threshold;
  if (!limit) return [el("p", {}, "The gallery has no threshold yet: it needs more people and photos, or photos of strangers."), ...setting(told)];
  const others = limit.to_come ? `${count(limit.to_come, "other stranger")}, with as many photos each` : "the same strangers drawn again, not others";
  const between = limit.low === null ? "" : ` (for ${others}: ${percent(limit.low)} to ${percent(limit.high)}, 95%)`;
  const basis = limit.searches ? `${count(limit.searches, "search", "searches")}, ` : "";
  const out = [
    el("p", {}, `Decided by ${score(limit.score)}, for ${percent(limit.fpir)} of strangers' searches that may get a name${between}: ${limit.method} (${basis}${count(limit.faces, "face")} enrolled then, ${told.faces.toLocaleString("en")} now). A person's score is ${limit.by === "mean-template" ? "that with the mean of their photos" : "the best over their photos"}.`),
  ];
  if (told.stale) out.push(el("p", { class: "warning" }, "The gallery has grown or shrunk by half since then, so the threshold no longer keeps its promise. Set it again."));
  if (told.curve.length < 2) out.push(el("p", {}, "There is no curve to move along: this threshold was read from a table. Set it on strangers with: facesearch calibrate --strangers FOLDER"));
  else out.push(...slider(told));
  return [...out, ...setting(told)];
}

// The share of strangers' searches that reach a score, as the gallery's own threshold tells it: the logarithm between the curve's
// points, the outermost share past its ends, more with every face enrolled since.
export function shareAt(value, told) {
  const points = told.curve;
  const after = points.findIndex((point) => point.score >= value);
  const logs = points.map((point) => Math.log(point.share));
  let log;
  if (after === 0) log = logs[0];
  else if (after < 0) log = logs.at(-1);
  else {
    const [a, b] = [points[after - 1], points[after]];
    log = logs[after - 1] + ((logs[after] - logs[after - 1]) * (value - a.score)) / (b.score - a.score);
  }
  return Math.min(1, Math.exp(log) * told.growth);
}

// The share of mates missed at a rate of strangers named, between the measured points; null where nobody measured.
export function missesAt(share, det) {
  if (!det.length) return null;
  const after = det.findIndex((point) => point.fpir >= share);
  if (after === 0) return det[0].fnir;
  if (after < 0) return det.at(-1).fnir;
  const [a, b] = [det[after - 1], det[after]];
  const x = (value) => Math.log(Math.max(value, 1e-6));
  const part = x(b.fpir) === x(a.fpir) ? 1 : (x(share) - x(a.fpir)) / (x(b.fpir) - x(a.fpir));
  return a.fnir + (b.fnir - a.fnir) * part;
}

function slider(told) {
  const [low, high] = [told.curve[0].score, told.curve.at(-1).score];
  const own = told.threshold.score;
  const value = chosen ?? own;
  const range = el("input", { id: "slide", type: "range", min: Math.min(low, own).toFixed(3), max: Math.min(1, Math.max(high, own) + BEYOND).toFixed(3), step: "0.001", value: value.toFixed(3) });
  const outputs = Object.fromEntries(["at", "fpir", "fnir"].map((name) => [name, el("output", { id: `out-${name}`, for: "slide" })]));
  const words = el("p", { id: "slide-words" });
  const strangers = new Chart({
    label: "Strangers who get a name, by threshold", x: { from: Number(range.min), to: Number(range.max), ticks: tenths, label: "threshold" },
    y: { from: Math.min(0.001, told.curve.at(-1).share), to: 1, log: true, ticks: decades, label: "FPIR" },
    line: told.curve.map((point) => [point.score, Math.min(1, point.share * told.growth)]),
  });
  const det = told.det.filter((point) => point.fpir > 0);
  const mates = det.length > 1 && new Chart({
    label: "DET curve: enrolled people missed, by strangers named", x: { from: Math.min(0.001, det[0].fpir), to: 1, log: true, ticks: decades, label: "FPIR" },
    y: { from: 0, to: 1, ticks: tenths, label: "FNIR" }, line: det.map((point) => [point.fpir, point.fnir]),
  });
  const use = el("button", { type: "button", class: "primary", onclick: () => decide(Number(range.value), own) }, "Decide by this on this page");
  const back = el("button", { type: "button", onclick: () => ((range.value = own.toFixed(3)), show(), decide(null, own)) }, "Back to the gallery's own");
  function show() {
    const at = Number(range.value);
    const fpir = shareAt(at, told);
    const fnir = missesAt(fpir, told.det);
    const past = at > Math.max(high, own) + 0.001 ? "at most " : "";
    outputs.at.textContent = score(at);
    outputs.fpir.textContent = past + percent(fpir);
    outputs.fnir.textContent = fnir === null ? "not measured" : (past && "at least ") + percent(fnir);
    const named = `Of 1,000 searches for strangers ${past || "about "}${Math.round(fpir * 1000).toLocaleString("en")} would get a name`;
    words.textContent = fnir === null ? `${named}.` : `${named}; of 1,000 searches for enrolled people about ${Math.round(fnir * 1000).toLocaleString("en")} would be missed or misnamed.`;
    range.setAttribute("aria-valuetext", `${score(at)}: FPIR ${outputs.fpir.textContent}, FNIR ${outputs.fnir.textContent}`);
    strangers.mark(at, fpir);
    if (mates) mates.mark(fpir, fnir);
  }
  range.addEventListener("input", show);
  show();
  const figure = (word, name, meaning) => el("div", {}, el("dt", {}, word), el("dd", {}, outputs[name], el("small", {}, meaning)));
  return [
    el("p", { class: "field wide" }, el("label", { for: "slide" }, "Threshold"), range),
    el("dl", { class: "tiles" }, figure("Threshold", "at", "the score that decides"), figure("FPIR", "fpir", "strangers' searches that get a name"), figure("FNIR", "fnir", "enrolled people's searches missed or misnamed")),
    words,
    el("div", { class: "charts" }, strangers.figure, mates ? mates.figure : el("p", { class: "soft" }, "FNIR has not been measured for this gallery as it is now: facesearch evaluate writes it.")),
    mates && el("p", { class: "soft" }, `FNIR was measured in this very gallery: of people of the split ${told.det_split}, enrolled beside it, and of strangers.`),
    el("p", { class: "buttons" }, use, back),
  ].filter(Boolean);
}

function decide(value, own) {
  chosen = value;
  decideBy(value === null || value.toFixed(3) === own.toFixed(3) ? null : value);
  tell("Threshold", el("p", {}, value === null ? "Searches are decided by the gallery's own threshold again." : `Searches on this page are decided by ${score(value)} until it is left. The gallery's own threshold stays as it is.`));
}

function setting(told) {
  const rate = el("input", { id: "rate", type: "number", min: "0.01", max: "50", step: "0.01", value: String(Number(((told.threshold?.fpir ?? 0.01) * 100).toFixed(2))), required: true });
  const form = el(
    "form",
    {
      class: "inline",
      onsubmit: async (event) => {
        event.preventDefault();
        await set(Number(rate.value) / 100, told.threshold?.on_strangers ?? false);
      },
    },
    el("p", { class: "field" }, el("label", { for: "rate" }, "Strangers' searches that may get a name, in percent"), rate),
    el("p", {}, el("button", {}, "Set it from the gallery's own people")),
  );
  const words = "The gallery's own people play strangers, each searched among the others: an extrapolation. Better, on the command line: facesearch calibrate --strangers FOLDER";
  return [el("details", {}, el("summary", {}, "Set the threshold again"), el("p", {}, words), form)];
}

async function set(fpir, replaces) {
  if (replaces) {
    const sure = await ask("Replace a better threshold?", [el("p", {}, "The present one was set on searches of real strangers. What the gallery's own people give is an extrapolation.")], [["Replace it", "yes", "danger"]]);
    if (sure !== "yes") return;
  }
  try {
    await post("/calibration", { fpir, replace: replaces });
    chosen = null;
    decideBy(null);
    await threshold();
    changed();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    await tell(error.title, el("p", {}, error.message));
  }
}

// ---- what was measured

const figures = () => guarded(byId("figures"), async () => figureParts(await get("/evaluation")));

function figureParts(told) {
  const from = told.source === "report" ? `From the report of facesearch evaluate: ${told.encoder}, split ${told.split}.` : `From the card of the encoder that comes with facesearch (split ${told.split}).`;
  const out = [el("p", {}, from, " Brackets are 95% intervals, bootstrapped over people.")];
  if (told.page) out.push(el("p", {}, el("a", { href: "/report", target: "_blank", rel: "noopener" }, "Open the whole report")));
  const sections = [...new Set(told.figures.map((figure) => figure.section))];
  out.push(...sections.map((section) => sectionTable(section, told.figures.filter((figure) => figure.section === section))));
  if (told.left_out.length) out.push(el("details", {}, el("summary", {}, "What was left out"), el("ul", {}, ...told.left_out.map((reason) => el("li", {}, reason)))));
  return out;
}

function sectionTable(section, rows) {
  const head = ["Figure", "Value", "95% interval", "Trials"].map((word) => el("th", { scope: "col" }, word));
  const digits = (value) => (value === null ? "" : value.toFixed(3));
  const body = rows.map((figure) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, figure.name, el("small", {}, figure.meaning)),
      el("td", { "data-label": "value" }, figure.value === null ? "too few trials" : digits(figure.value)),
      el("td", { "data-label": "95%" }, figure.low === null ? "none" : `${digits(figure.low)} to ${digits(figure.high)}`),
      el("td", { "data-label": "trials" }, figure.trials.toLocaleString("en")),
    ),
  );
  return el("table", { class: "figures" }, el("caption", {}, section), el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body));
}
