// One dialog for all questions: a title, a body, buttons. It resolves with the value of the button, or null when it is closed.

import { byId, el } from "./dom.js";

export function ask(title, body, buttons) {
  const dialog = byId("dialog");
  return new Promise((resolve) => {
    let value = null;
    const form = el(
      "form",
      {
        method: "dialog",
        onsubmit: (event) => {
          value = event.submitter?.value ?? null;
        },
      },
      el("h2", { id: "dialog-title" }, title),
      ...body,
      el(
        "p",
        { class: "buttons" },
        ...buttons.map(([word, answer, kind]) => el("button", { value: answer, class: kind ?? "" }, word)),
        el("button", { type: "button", onclick: () => dialog.close() }, buttons.length ? "Cancel" : "Close"),
      ),
    );
    dialog.replaceChildren(form);
    dialog.addEventListener("close", () => resolve(value), { once: true });
    dialog.showModal();
    (form.querySelector("input") ?? form.querySelector("button")).focus();
  });
}

export const tell = (title, ...body) => ask(title, body, []);

// Asks for a person's name, known or new; resolves with it or null.
export async function askName(title, { before = [], value = "", button, names = [] }) {
  const input = el("input", { id: "name", value, required: true, maxlength: 200, autocomplete: "off", spellcheck: "false", list: "names" });
  const list = el("datalist", { id: "names" }, ...names.map((name) => el("option", { value: name })));
  const chosen = await ask(
    title,
    [...before, el("p", { class: "field" }, el("label", { for: "name" }, "Name, known or new"), input, list)],
    [[button, "yes", "primary"]],
  );
  return chosen === "yes" && input.value.trim() ? input.value.trim() : null;
}
