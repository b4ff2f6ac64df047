// Tables that sort, search, filter and choose runs. The rows stand in the page: without this script
// they are all shown, in the order of the report.
"use strict";

const bar = document.querySelector("[data-chosen]");
const chosen = new Set();
const ROWS = 50;

for (const element of document.querySelectorAll("table[data-table]")) {
  const form = document.querySelector("[data-filters]");
  const boxes = [...element.querySelectorAll("[data-runs]")];
  // `regmix-bench serve` loads the page anew in the middle of reading it.
  const remember = (settings, state) => {
    state.form = form && Object.fromEntries(new FormData(form));
    state.chosen = boxes.filter((box) => box.checked).map((box) => box.ariaLabel);
  };
  const table = new DataTable(element, {
    stateSave: true,
    stateDuration: -1, // for as long as the tab is open
    stateSaveParams: remember,
    order: [],
    paging: element.tBodies[0].rows.length > ROWS,
    pageLength: ROWS,
    lengthChange: false,
    autoWidth: false,
    columnDefs: [{ targets: ".number", orderSequence: ["desc", "asc", ""] }],
    layout: { topStart: null, topEnd: null, bottomStart: "info", bottomEnd: "paging" },
    language: {
      info: "Rows _START_ to _END_ of _TOTAL_",
      infoEmpty: "No rows",
      infoFiltered: "(of _MAX_)",
      zeroRecords: "No row fits: change the search or a filter.",
    },
  });
  const state = table.state.loaded();
  for (const [name, value] of Object.entries(state?.form ?? {})) {
    if (form.elements[name]) form.elements[name].value = value;
  }
  for (const box of boxes) box.checked = Boolean(state?.chosen?.includes(box.ariaLabel));
  if (form) addFilters(table, form);
  if (bar) addChoice(table, boxes);
  // Paper has no pages to turn within a table, and nothing to unfold.
  addEventListener("beforeprint", () => table.page.len(-1).draw());
  addEventListener("afterprint", () => table.page.len(ROWS).draw());
}

function addFilters(table, form) {
  form.hidden = false;
  const selects = [...form.querySelectorAll("select")];
  table.search.fixed("filters", (text, data, index) => {
    const row = table.row(index).node();
    return selects.every((select) => !select.value || row.dataset[select.name] === select.value);
  });
  const apply = (turn = true) => table.search(form.elements.search.value).draw(turn);
  form.addEventListener("input", () => apply());
  form.addEventListener("reset", () => setTimeout(apply));
  form.addEventListener("submit", (event) => event.preventDefault());
  apply(false);
}

function addChoice(table, boxes) {
  const show = () => {
    chosen.clear();
    for (const box of boxes) {
      if (box.checked) box.dataset.runs.split(",").forEach((id) => chosen.add(id));
    }
    bar.hidden = chosen.size === 0;
    bar.querySelector("p").textContent = `${chosen.size} run${chosen.size === 1 ? "" : "s"} chosen`;
    const link = bar.querySelector("a");
    link.hash = [...chosen].join(",");
    table.state.save();
  };
  table.table().body().addEventListener("change", show);
  bar.querySelector("button").addEventListener("click", () => {
    boxes.forEach((box) => (box.checked = false));
    show();
  });
  show();
}

// A sign links to its note, which may be folded away.
function unfold() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const details = target && target.closest("details");
  if (details) {
    details.open = true;
    details.scrollIntoView();
  }
}
addEventListener("hashchange", unfold);
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((details) => (details.open = true));
});
unfold();
