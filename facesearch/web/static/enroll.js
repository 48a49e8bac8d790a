// One face under a name, new or known; when it is closer to somebody else that is said first, and only then done.

import { Problem, knownNames, post, send } from "./api.js";
import { ask, askName, tell } from "./dialog.js";
import { remember } from "./done.js";
import { count, el } from "./dom.js";

export async function enrollFace(file, face) {
  const names = await knownNames().catch(() => []);
  const name = await askName("Enroll this face", {
    value: face.decision === "match" ? face.matches[0].person : "",
    before: [el("p", {}, "The photo itself is not kept: the gallery holds its name, its fingerprint and the face's vector.")],
    button: "Enroll",
    names,
  });
  if (name === null) return false;
  try {
    return await carryOut(file, face, name, false);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (error.kind !== "closer-to-another") {
      await tell(error.title, el("p", {}, error.message));
      return false;
    }
    return warned(file, face, name, error);
  }
}

async function warned(file, face, name, error) {
  const other = face.matches[0]?.person;
  const buttons = [[`Enroll as ${name} all the same`, "force", "danger"]];
  if (other && other !== name) buttons.unshift([`Enroll as ${other} instead`, "other", "primary"]);
  const answer = await ask(
    "This face is closer to somebody else",
    [el("p", { class: "warning" }, error.message), el("p", {}, `A wrong name spoils answers about both ${name} and about the person whose face this is.`)],
    buttons,
  );
  if (answer === null) return false;
  try {
    return await carryOut(file, face, answer === "other" ? other : name, answer === "force");
  } catch (again) {
    if (!(again instanceof Problem)) throw again;
    await tell(again.title, el("p", {}, again.message));
    return false;
  }
}

async function carryOut(file, face, name, force) {
  const done = await send("/enroll", file, { name, face: face.face, force });
  if (done.known) {
    await tell("Nothing to do", el("p", {}, `This photo is enrolled under ${done.person} already.`));
    return false;
  }
  const unchecked = done.unchecked ? " It was not compared with other people: the gallery has no threshold." : "";
  const warnings = done.warnings.map((warning) => ` Warning: ${warning.reason}.`).join("");
  remember(`Enrolled under ${done.person}, who has ${count(done.photos, "photo")} now.${unchecked}${warnings}`, () =>
    post("/forget", { name: done.person, photos: [done.sha256] }),
  );
  return true;
}
