"use strict";
// The review page: names, splits and joins, all in the browser; nothing is sent anywhere. Saving writes a CSV for `facesearch scan --apply`.
(() => {
  const main = document.querySelector("main");
  const status = document.querySelector("#status");
  const target = document.querySelector("#target");
  const ASIDE = "-";
  let unsaved = false;
  let fresh = 0;

  const say = (words) => { status.textContent = words; };
  const facesOf = (group) => [...group.querySelectorAll("li[data-face]")];
  const chosen = () => [...main.querySelectorAll("li[data-face]")].filter((face) => face.querySelector("input[type=checkbox]").checked);
  const groups = () => [...main.querySelectorAll("section.group")];
  const plural = (count) => `${count} face${count === 1 ? "" : "s"}`;

  function refresh() {
    for (const group of groups()) {
      const count = facesOf(group).length;
      group.hidden = count === 0 && (group.dataset.kind === "group" || group.dataset.kind === "poor");
      group.querySelector(".count").textContent = plural(count);
    }
    const picked = target.value;
    target.replaceChildren(
      new Option("a new group", "new"), new Option("no group", "none"), new Option("put aside: nobody's face", "aside"),
      ...groups().filter((group) => group.dataset.kind === "group" && !group.hidden).map((group) => {
        const name = group.querySelector("input.name").value.trim();
        return new Option(group.dataset.group + (name ? `: ${name}` : ""), group.dataset.group);
      }),
    );
    if ([...target.options].some((option) => option.value === picked)) target.value = picked;
    const count = chosen().length;
    document.querySelector("#picked").textContent = count ? `${plural(count)} chosen` : "choose faces to move them";
    document.querySelector("#move").disabled = count === 0;
  }

  function newGroup() {
    fresh += 1;
    const label = `new${fresh}`;
    const group = document.querySelector("#blank").content.firstElementChild.cloneNode(true);
    group.dataset.group = label;
    group.querySelector("h2 b").textContent = label;
    group.querySelector("h2").id = `h-${label}`;
    group.setAttribute("aria-labelledby", `h-${label}`);
    main.prepend(group);
    return group;
  }

  function place(value) {
    if (value === "new") return newGroup();
    if (value === "none" || value === "aside") return main.querySelector(`section[data-kind=${value}]`);
    return groups().find((group) => group.dataset.group === value);
  }

  function putTogether(group, label) {
    const other = place(label);
    const [name, theirs] = [group, other].map((one) => one.querySelector("input.name"));
    const faces = facesOf(group);
    theirs.value = theirs.value.trim() || name.value;
    for (const face of faces) other.querySelector("ul").append(face);
    for (const button of other.querySelectorAll(`button.same[data-group=${group.dataset.group}]`)) {
      button.previousElementSibling.remove();
      button.remove();
    }
    unsaved = true;
    refresh();
    say(`${plural(faces.length)} moved to ${label}`);
    theirs.focus();
  }

  document.querySelector("#move").addEventListener("click", () => {
    const faces = chosen();
    const group = place(target.value);
    for (const face of faces) {
      face.querySelector("input[type=checkbox]").checked = false;
      face.querySelector("input.own").value = "";
      group.querySelector("ul").append(face);
    }
    unsaved = true;
    refresh();
    say(`${plural(faces.length)} moved to ${group.dataset.group || (group.dataset.kind === "aside" ? "put aside" : "no group")}`);
    (group.querySelector("input.name") || document.querySelector("#move")).focus();
  });

  main.addEventListener("change", (event) => {
    if (event.target.matches("input.all")) {
      for (const face of facesOf(event.target.closest("section"))) face.querySelector("input[type=checkbox]").checked = event.target.checked;
    }
    refresh();
  });
  main.addEventListener("input", (event) => { if (event.target.matches("input[type=text]")) unsaved = true; });
  main.addEventListener("click", (event) => {
    if (event.target.matches("button.same")) putTogether(event.target.closest("section"), event.target.dataset.group);
    if (!event.target.matches("button.use")) return;
    const field = event.target.closest("section").querySelector("input.name");
    field.value = event.target.dataset.name;
    unsaved = true;
    refresh();
    say(`named ${field.value}`);
  });

  const cell = (text) => {
    const guarded = /^[=+@\-'\t\r]/.test(text) && text !== ASIDE ? `'${text}` : text;
    return /[",\n\r;]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
  };

  function review() {
    const { album, gallery } = document.querySelector("#save").dataset;
    const lines = ["group,name,face,photo,album,gallery"];
    for (const group of groups()) {
      const kind = group.dataset.kind;
      for (const face of facesOf(group)) {
        const name = kind === "aside" ? ASIDE : kind === "group" ? group.querySelector("input.name").value.trim() : face.querySelector("input.own").value.trim();
        lines.push([kind === "group" ? group.dataset.group : "", name, face.dataset.face, face.dataset.photo, album, gallery].map(cell).join(","));
      }
    }
    return lines.join("\n") + "\n";
  }

  document.querySelector("#save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", review()], { type: "text/csv" }));
    link.download = "review.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    unsaved = false;
    say("saved; now run the command that stands above with the saved file");
  });
  window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
  refresh();
})();
