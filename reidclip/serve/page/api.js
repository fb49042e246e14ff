// Requests to the server that the page came from; an answer that is none becomes an error with a remedy.

export class Problem extends Error {
  constructor(status, error, remedy) {
    super(error);
    this.status = status;
    this.remedy = remedy || "";
  }
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server does not answer.", "Is it still running where it was started?");
  }
  if (response.status === 204) return null;
  let body = null;
  try {
    body = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (response.ok && body) return body;
  throw new Problem(response.status, (body && body.error) || `The server answered ${response.status}.`, body && body.remedy);
}

export const info = () => ask("/api/info");

export const login = (token) =>
  ask("/api/login", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }) });

export function search(query, filters, signal) {
  const form = new FormData();
  for (const [name, value] of filters) form.append(name, value);
  if (query.file) form.append("picture", query.file, "picture");
  else form.append("item", query.item);
  return ask("/api/search", { method: "POST", body: form, signal });
}
