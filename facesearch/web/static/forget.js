// Forgetting somebody or a photo: asked, counted down, carried out, and its receipt shown.

import { Problem, post } from "./api.js";
import { ask, tell } from "./dialog.js";
import { changed, countDown } from "./done.js";
import { count, el } from "./dom.js";

export async function forget(name, photos, what, after = () => {}) {
  const sure = await ask(
    `Forget ${what}?`,
    [
      el("p", {}, "The rows, the vectors and the index made from them are erased, and every file of the gallery is searched for what might be left."),
      el("p", {}, "It cannot be undone. After ten seconds it is carried out; until then you can keep them, and leaving this page keeps them too."),
    ],
    [["Forget", "yes", "danger"]],
  );
  if (sure !== "yes") return;
  countDown(what, async () => {
    try {
      const receipt = await post("/forget", photos ? { name, photos } : { name });
      changed();
      after();
      await showReceipt(receipt);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      changed();
      await tell(error.title, el("p", {}, error.message));
    }
  });
}

function showReceipt(receipt) {
  const more = receipt.more_files ?? { files: 0, bytes: 0 };
  const bytes = receipt.files.reduce((sum, file) => sum + file.bytes, more.bytes);
  const facts = [
    ["Erased", count(receipt.photos, "photo") + (receipt.whole_person ? ", the whole person" : "")],
    ["When", new Date(receipt.when).toLocaleString()],
    ["Proof", receipt.verified],
    ["Searched", `${count(receipt.files.length + more.files, "file")}, ${bytes.toLocaleString("en")} bytes`],
    ["Receipt", `receipts/${receipt.file} beside the gallery, without biometric data`],
  ];
  if (receipt.names_too_short_to_search) facts.push(["Not searched for", `${count(receipt.names_too_short_to_search, "name")} too short to tell from chance`]);
  return tell("Erased: no byte is left", el("dl", { class: "facts" }, ...facts.flatMap(([word, value]) => [el("dt", {}, word), el("dd", {}, value)])));
}
