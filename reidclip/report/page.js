"use strict";
(() => {
  const AT_ONCE = 10;
  const data = JSON.parse(document.getElementById("report-data").textContent);

  // All content goes in as text or attributes: nothing of the data is ever read as markup.
  const make = (name, attributes, ...content) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...content.filter((one) => one !== null));
    return element;
  };
  const percent = (share) => (100 * share).toFixed(1) + "\u00a0%";

  const picture = (item, alt) => {
    const uri = item[4] === null ? null : data.pictures[item[4]];
    return uri ? make("img", { src: uri, alt, decoding: "async" }) : make("span", { class: "missing" }, item[0]);
  };

  const figure = (item, classes, badge, name, lines) =>
    make(
      "figure",
      { class: classes, title: item[0] },
      make("div", { class: "frame" }, picture(item, `${name}: ${item[0]}`), badge),
      make("figcaption", {}, ...lines.map((line) => make("span", {}, line)))
    );

  const labels = (item) => item[5].split(", ").filter((part) => part !== "");

  const answer = (group, query, entry, place, digits) => {
    const item = group.items[entry[0]];
    const match = entry[2] === 1;
    const other = match && item[3] !== null && query[3] !== null && item[3] !== query[3];
    const told = match ? (other ? "same person, other clothes" : "same person") : "another person";
    const badge = make("span", { class: "badge", "aria-hidden": "true" }, match ? "✓" : "✗");
    const lines = [`#${place + 1} · ${entry[1].toFixed(digits)}`, ...labels(item)];
    if (other) lines.push("other clothes");
    return make("li", {}, figure(item, match ? "answer match" : "answer error", badge, `Rank ${place + 1}, ${told}`, lines));
  };

  const strip = (group, protocol, query, found, number) => {
    const item = group.items[query.item];
    const name = group.evaluations[number];
    if (found === null) return make("p", { class: "facts" }, `${name}: no list under ${protocol.name}`);
    const facts = `AP ${percent(found.ap)}, first match at rank ${found.rank}, ${found.n} in the gallery`;
    const several = group.evaluations.length > 1;
    const head = make("p", { class: "facts" }, several ? make("strong", {}, name) : "", several ? `: ${facts}` : facts);
    if (!found.list.length) return make("div", { class: "found" }, head);
    const answers = found.list.map((entry, place) => answer(group, item, entry, place, found.digits));
    const box = { class: "strip", tabindex: "0", role: "region", "aria-label": `Answers of ${name} to ${item[0]}` };
    const list = make("ol", {}, ...answers);
    return make("div", { class: "found" }, head, make("div", box, list));
  };

  const entry = (group, protocol, query) => {
    const item = group.items[query.item];
    const shown = figure(item, "query", null, "Query", ["query", ...labels(item)]);
    const found = query.found.map((one, number) => strip(group, protocol, query, one, number));
    const title = make("h4", {}, `Query ${item[0]}`, make("span", { class: "tags" }, query.tags.join(", ")));
    return make("li", { class: "entry" }, title, make("div", { class: "listed" }, shown, make("div", { class: "all" }, ...found)));
  };

  const precision = (query, by) => {
    const known = query.found.filter((one) => one !== null).map((one) => one.ap);
    if (by === "mean") return known.reduce((sum, one) => sum + one, 0) / known.length;
    const one = query.found[Number(by)];
    return one === null ? NaN : one.ap;
  };

  // Whether the first answer of any evaluation (or of the one chosen) is as wanted: of its item, the query's item and whether it matches.
  const firstAnswer = (group, query, by, wanted) =>
    query.found.some((one, number) => {
      if (one === null || !one.list.length || (by !== "mean" && Number(by) !== number)) return false;
      const [place, , match] = one.list[0];
      return wanted(group.items[place], group.items[query.item], match === 1);
    });
  const inOtherClothes = (item, own, match) => match && item[3] !== null && own[3] !== null && item[3] !== own[3];
  const isWrong = (item, own, match) => !match;

  const spread = (query) => {
    const known = query.found.filter((one) => one !== null).map((one) => one.ap);
    return Math.max(...known) - Math.min(...known);
  };

  const start = (box) => {
    const number = box.dataset.group;
    const group = data.groups[Number(number)];
    const part = (name) => document.getElementById(`lists-${number}-${name}`);
    const chosen = (name) => box.querySelector(`input[name="lists-${number}-${name}"]:checked`).value;
    const [list, more, count] = [part("list"), part("more"), part("count")];
    let rows = [];
    let protocol = null;

    const fits = (query, filter, by) => {
      const [low, high] = [Number(part("low").value || 0), Number(part("high").value || 100)];
      const person = part("person").value.trim();
      const ap = 100 * precision(query, by);
      if (!(ap >= low - 1e-9 && ap <= high + 1e-9)) return false;
      if (person !== "" && String(group.items[query.item][1]) !== person) return false;
      if (filter === "clothes") return firstAnswer(group, query, by, inOtherClothes);
      if (filter === "wrong") return firstAnswer(group, query, by, isWrong);
      return filter === "all" || query.tags.includes(filter);
    };

    const show = (upTo) => {
      const from = list.children.length;
      list.append(...rows.slice(from, upTo).map((query) => entry(group, protocol, query)));
      more.hidden = list.children.length >= rows.length;
      more.textContent = `Show ${Math.min(AT_ONCE, rows.length - list.children.length)} more`;
      const told = `${rows.length} of the ${protocol.queries.length} queries on this page fit`;
      count.textContent = `${told}, ${list.children.length} listed; under ${protocol.name} there are ${protocol.valid} in all.`;
      return from;
    };

    const update = () => {
      protocol = group.protocols[Number(chosen("protocol"))];
      const filter = chosen("filter");
      const by = part("by") ? part("by").value : "mean";
      rows = protocol.queries.filter((query) => fits(query, filter, by));
      if (filter === "best") rows.sort((a, b) => precision(b, by) - precision(a, by));
      else if (filter === "differ") rows.sort((a, b) => spread(b) - spread(a));
      else if (filter !== "random") rows.sort((a, b) => precision(a, by) - precision(b, by));
      list.replaceChildren();
      show(AT_ONCE);
    };

    box.querySelector("form").addEventListener("input", update);
    box.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
    more.addEventListener("click", () => {
      const from = show(list.children.length + AT_ONCE);
      // The focus goes on with the reading: to the first list that was added.
      const next = list.children[from] && list.children[from].querySelector(".strip");
      if (next) next.focus({ preventScroll: true });
    });
    update();
  };

  document.querySelectorAll(".lists").forEach(start);

  // What is folded in is printed all the same.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => (one.open = true)));

  const only = document.getElementById("only-differences");
  if (only) {
    const apply = () => document.getElementById("settings-tables").classList.toggle("only", only.checked);
    only.addEventListener("change", apply);
    apply();
  }
})();
