// Small words for making elements. Text is always set as text: a name is data, never markup.

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "style") Object.assign(made.style, value);
    else if (name in made && typeof value === "boolean") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);

export const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

export const score = (value) => value.toFixed(3);

export function percent(share) {
  if (share === 0) return "0%";
  if (share < 0.0001) return "under 0.01%";
  return `${(share * 100).toFixed(share < 0.001 ? 2 : 1)}%`;
}

// Says something to people who listen instead of look.
export function say(words) {
  byId("said").textContent = words;
}

export function problemBox(error) {
  return el("div", { class: "warning", role: "alert" }, el("p", {}, el("strong", {}, error.title ?? "It did not work"), ". ", error.message));
}
