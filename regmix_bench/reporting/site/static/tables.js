// Tables that sort, search and choose rows, and the choice of a comparison, which has a page of its own.
// The state is the address: sort the column ("-" before one that falls), q what is searched for, page
// that of a long table, row each row that is ticked, and on the front page c its comparison, so that
// the address leads there when another one leads. `state` and `show` are all that others need.
"use strict";

const form = document.querySelector("[data-choice]");
const section = document.querySelector("[data-comparison]");
const front = section?.hasAttribute("data-front");
const tables = [...document.querySelectorAll("table[data-table]")];
const state = new URLSearchParams(location.search);

// Change what the address says, and show it; an empty value takes a key away. What is typed or ticked
// is no step that the back button goes back, an order is.
function set(changes, { step = true } = {}) {
  for (const [key, values] of Object.entries(front ? { c: section.id, ...changes } : changes)) {
    state.delete(key);
    for (const value of [values].flat()) if (value) state.append(key, value);
  }
  const address = `${location.pathname}${state.size ? `?${state}` : ""}`;
  if (step) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  show();
}

addEventListener("popstate", () => {
  for (const key of [...state.keys()]) state.delete(key);
  for (const [key, value] of new URLSearchParams(location.search)) state.append(key, value);
  show();
});

function show() {
  if (form) form.elements.search.value = state.get("q") ?? "";
  for (const table of tables) arrange(table);
  tick();
}

// Comparisons

const all = window.regmixRuns?.comparisons ?? [];

// Go to the page of a comparison, in the order and with the search that there are here.
function address(stem) {
  const query = new URLSearchParams(state);
  for (const key of ["c", "row", "page"]) query.delete(key);
  return `${front ? "" : "../"}comparisons/${stem}.html${query.size ? `?${query}` : ""}`;
}

// The comparison with the value that was asked for which shares most of the others.
function nearest(name, value) {
  const own = all.find(({ stem }) => stem === section.id);
  const alike = (one) => Object.keys(own).filter((key) => one[key] === own[key]).length;
  const found = all.filter((one) => one[name] === value);
  return found.reduce((best, one) => (alike(one) > alike(best) ? one : best));
}

function cut(text) {
  return text.length > 90 ? `${text.slice(0, 89)}…` : text;
}

if (front) {
  const asked = state.get("c") ?? location.hash.slice(1);
  if (asked !== section.id && all.some(({ stem }) => stem === asked)) location.replace(address(asked));
}

if (form) {
  form.hidden = false;
  for (const select of form.querySelectorAll("select")) {
    const own = all.find(({ stem }) => stem === section.id)[select.name];
    const values = new Set(all.map((one) => one[select.name]));
    select.replaceChildren(...[...values].map((value) => new Option(cut(value), value, value === own, value === own)));
    select.addEventListener("change", () => {
      const { stem } = nearest(select.name, select.value);
      select.value = own; // as the back button finds it
      location.assign(address(stem));
    });
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.elements.search.addEventListener("input", ({ target }) => {
    set({ q: target.value, page: "" }, { step: false });
  });
}

// Rows

const rows = new Map(tables.map((table) => [table, [...table.tBodies[0].rows]]));

for (const table of tables) {
  for (const header of table.querySelectorAll("th[data-sort]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const { sort } = header.dataset;
      // Numbers fall first; a third click brings back the order of the report.
      const turns = header.classList.contains("number") ? [`-${sort}`, sort, ""] : [sort, `-${sort}`, ""];
      set({ sort: turns[(turns.indexOf(state.get("sort") ?? "") + 1) % 3], page: "" });
    });
  }
}

function arrange(table) {
  const wanted = (state.get("q") ?? "").toLowerCase();
  let found = rows.get(table).filter((row) => row.textContent.toLowerCase().includes(wanted));
  const sort = state.get("sort") ?? "";
  const headers = [...table.tHead.rows[0].cells];
  const place = headers.findIndex((header) => header.dataset.sort === sort.replace(/^-/, ""));
  headers.forEach((header, number) => {
    if (number !== place) header.removeAttribute("aria-sort");
    else header.ariaSort = sort.startsWith("-") ? "descending" : "ascending";
  });
  if (place >= 0) {
    const value = (row) => Number(row.cells[place].dataset.order);
    const turn = sort.startsWith("-") ? -1 : 1;
    found = found.sort((one, other) => turn * (value(one) - value(other)));
  }
  const size = Number(table.dataset.table) || Infinity;
  const pages = Math.max(1, Math.ceil(found.length / size));
  const page = Math.min(Number(state.get("page")) || 1, pages);
  table.tBodies[0].replaceChildren(
    ...(size < Infinity ? found.slice((page - 1) * size, page * size) : found),
  );
  turnPages(table, page, pages, found.length);
}

// What stands below a table: that nothing was found, or its pages.
function turnPages(table, page, pages, count) {
  const frame = table.closest(".scroll");
  let below = frame.nextElementSibling;
  if (!below?.matches(".pages")) {
    below = document.createElement("p");
    below.className = "pages";
    below.role = "status";
    frame.after(below);
  }
  below.textContent =
    count === 0 ? "No row fits: change the search." : pages > 1 ? `Page ${page} of ${pages}, ${count} rows ` : "";
  for (const [title, target] of [["Previous", page - 1], ["Next", page + 1]]) {
    if (pages === 1 || target < 1 || target > pages) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = title;
    button.addEventListener("click", () => set({ page: String(target) }));
    below.append(button, " ");
  }
}

// Ticked rows

const bar = document.querySelector("[data-chosen]");
const boxes = tables.flatMap((table) => [...table.querySelectorAll("[data-runs]")]);

// Tick what the address names, and lead to the page that lays it side by side: rows of this comparison,
// or runs.
function tick() {
  if (!bar) return;
  const named = new Set(state.getAll("row"));
  for (const box of boxes) box.checked = named.has(box.value);
  const ticked = boxes.filter((box) => box.checked);
  const runs = new Set(ticked.flatMap((box) => box.dataset.runs.split(",")));
  bar.hidden = runs.size === 0;
  bar.querySelector("p").textContent = `${runs.size} run${runs.size === 1 ? "" : "s"} chosen`;
  const rows = ticked.map((box) => ["row", box.value]);
  bar.querySelector("a").hash = section ? new URLSearchParams([["c", section.id], ...rows]) : [...runs].join(",");
}

function setTicked() {
  set({ row: boxes.filter((box) => box.checked).map((box) => box.value) }, { step: false });
}

for (const box of boxes) box.addEventListener("change", setTicked);
bar?.querySelector("button").addEventListener("click", () => set({ row: "" }, { step: false }));

// A link to something that is folded away unfolds it.
function follow() {
  const target = document.getElementById(location.hash.slice(1));
  const details = target?.closest("details");
  if (!details) return;
  details.open = true;
  target.scrollIntoView();
}

addEventListener("hashchange", follow);
// Paper has nothing to unfold, and no pages to turn within a table.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
  for (const [table, found] of rows) table.tBodies[0].replaceChildren(...found);
});
addEventListener("afterprint", show);
show();
follow();
