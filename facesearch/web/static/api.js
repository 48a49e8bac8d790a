// Talks to /v1. What goes wrong comes out as a Problem with words for people.

export class Problem extends Error {
  constructor(body) {
    super(body.detail ?? "The service gave no answer that can be read.");
    this.title = body.title ?? "It did not work";
    this.kind = (body.type ?? "").split(":").pop();
  }
}

async function answered(request) {
  let answer;
  try {
    answer = await request;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ title: "No answer", detail: "The service does not answer. Is facesearch serve still running on this machine?" });
  }
  if (answer.status === 204) return null;
  const body = await answer.json().catch((error) => {
    if (error.name === "AbortError") throw error; // stopped while the answer was being read
    return null;
  });
  if (!answer.ok || body === null) throw new Problem(body ?? {});
  return body;
}

export const get = (path, values = {}) => answered(fetch(`/v1${path}?${new URLSearchParams(values)}`));

export const post = (path, value) =>
  answered(fetch(`/v1${path}`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(value) }));

export function send(path, file, fields, signal) {
  const form = new FormData();
  form.append("photo", file, file.name || "pasted.png");
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return answered(fetch(`/v1${path}`, { method: "POST", body: form, signal }));
}

// Names to offer while somebody types one.
export const knownNames = async () => (await get("/people", { sort: "name", limit: 1000 })).people.map((person) => person.name);

export const thumbnailUrl = (name, sha256) => `/v1/people/thumbnail?${new URLSearchParams({ name, sha256 })}`;
