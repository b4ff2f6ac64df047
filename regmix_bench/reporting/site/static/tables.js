// Comparisons of which one is shown, and tables that sort, search and choose runs. All rows stand
// in the page: without this script every comparison is shown, in the order of the report.
// The state is the address: c the comparison, sort its column ("-" before one that falls), q what
// is searched for, page that of a long table. `state` and `show` are all that others need.
"use strict";

const form = document.querySelector("[data-choice]");
const sections = [...document.querySelectorAll("[data-comparison]")];
const tables = [...document.querySelectorAll("table[data-table]")];
const state = new URLSearchParams(location.search);

// Change what the address says, and show it; an empty value takes a key away. What is typed is no
// step that the back button goes back, a choice is.
function set(changes, { hash = "", step = true } = {}) {
  for (const [key, value] of Object.entries(changes)) {
    if (value) state.set(key, value);
    else state.delete(key);
  }
  const address = `${location.pathname}${state.size ? `?${state}` : ""}${hash}`;
  if (step) history.pushState(null, "", address);
  else history.replaceState(null, "", address);
  show();
}

addEventListener("popstate", () => {
  for (const key of [...state.keys()]) state.delete(key);
  for (const [key, value] of new URLSearchParams(location.search)) state.set(key, value);
  show();
});

function show() {
  const shown = sections.find((section) => section.id === state.get("c")) ?? sections[0];
  for (const section of sections) section.hidden = section !== shown;
  if (form) {
    form.elements.search.value = state.get("q") ?? "";
    for (const select of form.querySelectorAll("select")) {
      select.value = shown.dataset[select.name];
    }
  }
  for (const table of tables) if (!table.closest("[hidden]")) arrange(table);
}

// Comparisons

// The comparison with the value that was asked for which shares most of the others.
function nearest(name, value) {
  const selects = [...form.querySelectorAll("select")];
  const alike = (section) =>
    selects.filter((select) => section.dataset[select.name] === select.value).length;
  const found = sections.filter((section) => section.dataset[name] === value);
  return found.reduce((best, section) => (alike(section) > alike(best) ? section : best));
}

if (form) {
  form.hidden = false;
  document.querySelector("[data-without-script]")?.setAttribute("hidden", "");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", ({ target }) => {
    if (target.name === "search") set({ q: target.value, page: "" }, { step: false });
    else set({ c: nearest(target.name, target.value).id, page: "" });
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

// Chosen runs

const bar = document.querySelector("[data-chosen]");
const boxes = tables.flatMap((table) => [...table.querySelectorAll("[data-runs]")]);

// The address of rows of one comparison; rows of several have nothing but their runs to compare.
function rowsChosen() {
  const checked = boxes.filter((box) => box.checked);
  const [stem, ...more] = new Set(checked.map((box) => box.closest("[data-comparison]")?.id));
  if (!stem || more.length) return null;
  return new URLSearchParams([["c", stem], ...checked.map((box) => ["row", box.dataset.row])]);
}

function choose() {
  const chosen = new Set(
    boxes.filter((box) => box.checked).flatMap((box) => box.dataset.runs.split(",")),
  );
  bar.hidden = chosen.size === 0;
  bar.querySelector("p").textContent = `${chosen.size} run${chosen.size === 1 ? "" : "s"} chosen`;
  bar.querySelector("a").hash = rowsChosen() ?? [...chosen].join(",");
  // `regmix-bench serve` loads the page anew in the middle of reading it.
  const names = boxes.filter((box) => box.checked).map((box) => box.ariaLabel);
  sessionStorage.setItem(`chosen ${location.pathname}`, JSON.stringify(names));
}

if (bar) {
  const before = JSON.parse(sessionStorage.getItem(`chosen ${location.pathname}`) ?? "[]");
  for (const box of boxes) {
    box.checked = before.includes(box.ariaLabel);
    box.addEventListener("change", choose);
  }
  bar.querySelector("button").addEventListener("click", () => {
    for (const box of boxes) box.checked = false;
    choose();
  });
  choose();
}

// A link to a comparison, or to something in one, shows it and unfolds what it is folded into.
function follow() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  const section = target.closest("[data-comparison]");
  if (section) set({ c: section.id }, { hash: location.hash, step: false });
  const details = target.closest("details");
  if (details) details.open = true;
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
