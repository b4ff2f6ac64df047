// The runs that the address names after `#`, side by side. Text enters the page as text alone.
"use strict";

const status = document.getElementById("status");
const comparison = document.getElementById("comparison");

function load(id) {
  return new Promise((resolve) => {
    if (window.regmixRuns && window.regmixRuns[id]) return resolve(window.regmixRuns[id]);
    const script = document.createElement("script");
    script.src = `data/${id}.js`;
    script.onload = () => resolve(window.regmixRuns[id]);
    script.onerror = () => resolve(null);
    document.head.append(script);
  });
}

function cell(row, tag, text, scope) {
  const element = document.createElement(tag);
  element.textContent = text;
  if (scope) element.scope = scope;
  row.append(element);
  return element;
}

// `rows` are [name, [text of each run]], or [name] for the heading of those that follow; rows whose
// texts differ are marked where `marked` says so.
function fill(table, runs, rows, marked) {
  const head = document.createElement("thead").insertRow();
  cell(head, "td", "");
  for (const run of runs) {
    const link = document.createElement("a");
    link.href = `runs/${run.id}.html`;
    link.textContent = run.title;
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.setProperty("--light", run.colours[0]);
    swatch.style.setProperty("--dark", run.colours[1]);
    cell(head, "th", "", "col").append(swatch, link);
  }
  const body = document.createElement("tbody");
  for (const [name, texts] of rows) {
    const row = body.insertRow();
    if (!texts) {
      row.className = "group";
      cell(row, "th", name, "col").colSpan = runs.length + 1;
      continue;
    }
    cell(row, "th", name, "row");
    texts.forEach((text) => cell(row, "td", text));
    row.classList.toggle("differs", marked && new Set(texts).size > 1);
  }
  table.replaceChildren(head.parentElement, body);
}

// What is in any list once, each behind what it stands behind there.
function union(lists) {
  const found = [];
  for (const list of lists) {
    let place = found.length;
    for (const item of list) {
      const known = found.indexOf(item);
      if (known < 0) found.splice(place, 0, item);
      place = (known < 0 ? place : known) + 1;
    }
  }
  return found;
}

function accuracyRows(runs) {
  return union(runs.map((run) => run.scores.map((score) => score.where))).flatMap((where) => {
    const scores = runs.map((run) => run.scores.find((score) => score.where === where));
    const lists = scores.map((score) => (score ? score.accuracies.map(([name]) => name) : []));
    const rows = union(lists).map((name) => [
      name,
      scores.map((score) => new Map(score ? score.accuracies : []).get(name) ?? "–"),
    ]);
    return [[where], ...rows];
  });
}

function factRows(runs) {
  const maps = runs.map((run) => new Map([["Row", run.label], ...run.facts]));
  return union(maps.map((map) => [...map.keys()])).map((name) => [
    name,
    maps.map((map) => map.get(name) ?? "–"),
  ]);
}

async function show() {
  const ids = [...new Set(decodeURIComponent(location.hash.slice(1)).split(","))].filter(Boolean);
  if (!ids.length) {
    comparison.hidden = true;
    return;
  }
  const known = ids.filter((id) => /^[0-9a-f]{12}$/.test(id));
  const runs = together((await Promise.all(known.map(load))).filter(Boolean));
  const missing = ids.length - runs.length;
  status.textContent =
    `${runs.length} run${runs.length === 1 ? "" : "s"}` +
    (missing ? `; ${missing} that the address names ${missing === 1 ? "is" : "are"} not here` : "");
  comparison.hidden = !runs.length;
  if (!runs.length) return;
  fill(document.getElementById("accuracies"), runs, accuracyRows(runs), false);
  fill(document.getElementById("facts"), runs, factRows(runs), true);
  for (const element of document.querySelectorAll("[data-chart]")) {
    element.dataset.runs = runs.map((run) => run.id).join(",");
  }
  drawAll();
}

addEventListener("hashchange", show);
show();
