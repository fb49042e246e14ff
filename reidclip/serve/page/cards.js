// Answers as cards. Every text from the gallery goes in as text, never as markup.

import { time } from "./filters.js";

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function card(hit, furthest, onPick) {
  const made = element("li", "card");
  made.append(picture(hit), about(hit, furthest, onPick));
  return made;
}

function picture(hit) {
  const box = element("div", "picture");
  const image = element("img");
  image.loading = "lazy";
  image.decoding = "async";
  image.alt = `Rank ${hit.rank}: ${hit.key}`;
  image.addEventListener("error", () => image.replaceWith(element("span", "gone", "Its picture cannot be read.")));
  image.src = hit.thumbnail;
  box.append(image, element("span", "rank", `${hit.rank}`));
  return box;
}

function about(hit, furthest, onPick) {
  const made = element("div", "about");
  const facts = element("dl");
  const rows = [["camera", hit.camera], ["time", time(hit.time)], ["frame", hit.frame], ["track", hit.track],
    ["clothes", hit.clothes], ["person", hit.pid], ["data", hit.domain || null]];
  for (const [name, value] of rows) if (value !== null) facts.append(element("dt", "", name), element("dd", "", value));
  const button = element("button", "", "Search with this one");
  button.type = "button";
  button.setAttribute("aria-label", `Search with rank ${hit.rank}, ${hit.key}`);
  button.addEventListener("click", () => onPick(hit));
  const path = element("p", "path", hit.path);
  path.title = hit.key;
  made.append(distance(hit, furthest), facts, path, button);
  return made;
}

function distance(hit, furthest) {
  const made = element("div", "distance"), line = element("div"), bar = element("span", "bar"), fill = element("i");
  line.append(element("span", "", "distance"), element("b", "", Math.max(0, hit.distance).toFixed(4)));
  fill.style.width = `${furthest > 0 ? Math.max(2, Math.min(100, (100 * hit.distance) / furthest)) : 2}%`;
  bar.append(fill);
  made.append(line, bar);
  return made;
}

export function bones(count) {
  return Array.from({ length: count }, () => {
    const made = element("li", "card bone"), text = element("div", "about");
    made.setAttribute("aria-hidden", "true");
    text.append(element("div", "line"), element("div", "line"), element("div", "line"));
    made.append(element("div", "picture"), text);
    return made;
  });
}
