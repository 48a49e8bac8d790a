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
  const keyOf = (face) => face.closest("section").dataset.key;
  const byKey = (key) => groups().find((group) => group.dataset.key === key);
  const save = document.querySelector("#save");
  const DRAFT = `facesearch album ${save.dataset.album} ${save.dataset.file}`;
  const SEVERAL = " | ";
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
      ...groups().filter((group) => group.dataset.kind === "group" && !group.hidden && !("new" in group.dataset)).map((group) => {
        const name = group.querySelector("input.name").value.trim();
        return new Option(group.dataset.group + (name ? `: ${name}` : ""), group.dataset.group);
      }),
    );
    if ([...target.options].some((option) => option.value === picked)) target.value = picked;
    const count = chosen().length;
    document.querySelector("#picked").textContent = count ? `${plural(count)} chosen` : "choose faces to move them";
    document.querySelector("#move").disabled = count === 0;
  }

  function newGroup(number = fresh + 1) {
    fresh = Math.max(fresh, number);
    const label = `new${number}`;
    const group = document.querySelector("#blank").content.firstElementChild.cloneNode(true);
    group.dataset.group = group.dataset.key = label;
    group.querySelector("h2 b").textContent = label;
    group.querySelector("h2").id = `h-${label}`;
    group.setAttribute("aria-labelledby", `h-${label}`);
    main.prepend(group);
    return group;
  }

  function place(value) {
    if (value === "new") return newGroup();
    if (value === "none" || value === "aside") return main.querySelector(`section[data-kind=${value}]`);
    return groups().find((group) => group.dataset.group === value && !("new" in group.dataset));
  }

  function changed() {
    unsaved = true;
    remember();
  }

  // ---- what was typed is kept in this browser, each thing with what stood there before: where that is another by now, it was applied
  function remember() {
    const draft = { names: {}, own: {}, moved: {}, not: {} };
    for (const field of main.querySelectorAll("input.name")) {
      if (field.value !== field.defaultValue) draft.names[field.closest("section").dataset.key] = [field.defaultValue, field.value];
    }
    for (const face of main.querySelectorAll("li[data-face]")) {
      const { face: name, home, not } = face.dataset;
      const own = face.querySelector("input.own");
      if (own.value !== own.defaultValue) draft.own[name] = [own.defaultValue, own.value];
      if (keyOf(face) !== home) draft.moved[name] = [home, keyOf(face)];
      if (not) draft.not[name] = not;
    }
    try {
      if (Object.values(draft).some((part) => Object.keys(part).length)) localStorage.setItem(DRAFT, JSON.stringify(draft));
      else localStorage.removeItem(DRAFT);
    } catch { /* this browser keeps nothing: then nothing is kept */ }
  }

  function recall() {
    let draft = null;
    try { draft = JSON.parse(localStorage.getItem(DRAFT)); } catch { /* none, or nothing that we wrote */ }
    if (!draft) return 0;
    let count = 0;
    const faces = new Map([...main.querySelectorAll("li[data-face]")].map((face) => [face.dataset.face, face]));
    for (const [name, [home, to]] of Object.entries(draft.moved || {})) {
      const face = faces.get(name);
      if (!face || face.dataset.home !== home) continue;
      const made = /^new([0-9]+)$/.exec(to);
      const group = byKey(to) || (made && newGroup(Number(made[1])));
      if (!group) continue;
      group.querySelector("ul").append(face);
      count += 1;
    }
    for (const [key, [before, value]] of Object.entries(draft.names || {})) {
      const field = byKey(key)?.querySelector("input.name");
      if (field && field.defaultValue === before) { field.value = value; count += 1; }
    }
    for (const [name, [before, value]] of Object.entries(draft.own || {})) {
      const field = faces.get(name)?.querySelector("input.own");
      if (field && field.defaultValue === before) { field.value = value; count += 1; }
    }
    for (const [name, people] of Object.entries(draft.not || {})) {
      const face = faces.get(name);
      const left = face ? people.split(SEVERAL).filter((person) => !shownNot(face).includes(person)) : [];
      if (left.length) { face.dataset.not = left.join(SEVERAL); showNot(face); count += 1; }
    }
    return count;
  }

  // ---- who is not who
  const shownNot = (face) => face.querySelector(".refused").dataset.before.split(SEVERAL).filter(Boolean);
  const newNot = (face) => (face.dataset.not || "").split(SEVERAL).filter(Boolean);
  function showNot(face) {
    const all = [...shownNot(face), ...newNot(face)];
    const place = face.querySelector(".refused");
    place.querySelector("b").textContent = all.join(", ");
    place.hidden = all.length === 0;
  }

  function refuse(button) {
    const person = button.dataset.name;
    const own = button.closest("li[data-face]");
    const all = facesOf(button.closest("section"));
    const ticked = all.filter((face) => face.querySelector("input[type=checkbox]").checked);
    const faces = own ? [own] : ticked.length ? ticked : all;
    const back = faces.every((face) => newNot(face).includes(person));
    for (const face of faces) {
      const others = newNot(face).filter((name) => name !== person);
      face.dataset.not = (back ? others : [...others, person]).join(SEVERAL);
      showNot(face);
    }
    changed();
    say(back ? `taken back: not ${person}` : `${plural(faces.length)}: not ${person}`);
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
    changed();
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
    changed();
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
  main.addEventListener("input", (event) => { if (event.target.matches("input[type=text]")) changed(); });
  main.addEventListener("click", (event) => {
    if (event.target.matches("button.not")) refuse(event.target);
    if (event.target.matches("button.same")) putTogether(event.target.closest("section"), event.target.dataset.group);
    if (!event.target.matches("button.use")) return;
    const field = event.target.closest("section").querySelector("input.name");
    field.value = event.target.dataset.name;
    changed();
    refresh();
    say(`named ${field.value}`);
  });

  const cell = (text) => {
    const guarded = /^[=+@\-'\t\r]/.test(text) && text !== ASIDE ? `'${text}` : text;
    return /[",\n\r;]/.test(guarded) ? `"${guarded.replaceAll('"', '""')}"` : guarded;
  };

  function review() {
    const { album, gallery } = save.dataset;
    const lines = ["group,name,face,photo,not,was,album,gallery"];
    for (const group of groups()) {
      const kind = group.dataset.kind;
      for (const face of facesOf(group)) {
        const name = kind === "aside" ? ASIDE : kind === "group" ? group.querySelector("input.name").value.trim() : face.querySelector("input.own").value.trim();
        lines.push([kind === "group" ? group.dataset.group : "", name, face.dataset.face, face.dataset.photo, newNot(face).join(SEVERAL), face.dataset.was, album, gallery].map(cell).join(","));
      }
    }
    return lines.join("\n") + "\n";
  }

  save.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", review()], { type: "text/csv" }));
    link.download = save.dataset.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    unsaved = false;
    say("saved; now run the command that stands above with the saved file");
  });
  const forget = document.querySelector("#forget");
  forget.addEventListener("click", () => {
    try { localStorage.removeItem(DRAFT); } catch { /* there is none */ }
    unsaved = false;
    location.reload();
  });
  window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
  for (const face of main.querySelectorAll("li[data-face]")) {
    face.dataset.home = keyOf(face);
    face.querySelector(".refused").dataset.before = face.querySelector(".refused b").textContent;
  }
  const again = recall();
  forget.hidden = again === 0;
  refresh();
  if (again) say(`${again} thing${again === 1 ? "" : "s"} that you said before and have not applied: here again`);
})();
