// What the address names after `#`, side by side: rows of a comparison (`c=…&row=…`), or runs, which are
// their seeds. Text enters the page as text alone.
"use strict";

const status = document.getElementById("status");
const comparison = document.getElementById("comparison");
const VERDICTS = {
  better: "better than",
  worse: "worse than",
  equivalent: "equivalent to",
  "not distinguishable": "not distinguishable from",
};

function load(id) {
  return new Promise((resolve) => {
    if (Object.hasOwn(window.regmixRuns ?? {}, id)) return resolve(window.regmixRuns[id]);
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
    link.href = run.seeds ? `#${run.seeds.join(",")}` : `runs/${run.id}.html`;
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
  const named = new URLSearchParams(location.hash.slice(1)); // it takes any text, half an escape too
  const byRow = named.has("c");
  for (const part of document.querySelectorAll("[data-of]")) {
    part.hidden = part.dataset.of !== (byRow ? "rows" : "runs");
  }
  if (byRow) await showRows(named.get("c"), named.getAll("row"));
  else await showRuns([...new Set([...named.keys()].join().split(","))].filter(Boolean));
}

async function showRuns(ids) {
  if (!ids.length) {
    comparison.hidden = true;
    return;
  }
  const known = ids.filter((id) => /^[0-9a-f]{12}$/.test(id));
  const runs = together((await Promise.all(known.map(load))).filter(Boolean));
  tell(runs.length, "run", ids.length - runs.length);
  if (!runs.length) return;
  fill(document.getElementById("accuracies"), runs, accuracyRows(runs), false);
  fill(document.getElementById("facts"), runs, factRows(runs), true);
  for (const element of document.querySelectorAll("[data-chart]")) {
    element.parentElement.hidden = !(element.dataset.chart in CHARTS);
    if (element.dataset.chart in CHARTS) element.dataset.runs = runs.map((run) => run.id).join(",");
  }
  drawAll();
}

async function showRows(stem, keys) {
  const found = /^[a-z0-9._-]+$/i.test(stem) ? await load(stem) : null;
  const rows = keys.map((key) => found?.rows.find((row) => row.key === key)).filter(Boolean);
  tell(rows.length, "row", keys.length - rows.length);
  if (!rows.length) return;
  fill(document.getElementById("accuracies"), rows, rowFacts(rows), false);
  const sentences = Object.entries(fillPairs(rows, found)).map(([verdict, names]) => {
    const last = names.pop();
    const listed = names.length ? `${names.join(", ")} and ${last} are` : `${last} is`;
    return `${listed} ${VERDICTS[verdict]} ${rows[0].title} under ${found.attack}.`;
  });
  status.textContent = [...sentences, `${status.textContent}.`, `${found.title}.`].join(" ");
  drawRows(rows, found);
}

function tell(count, what, missing) {
  status.textContent =
    `${count} ${what}${count === 1 ? "" : "s"}` +
    (missing ? `; ${missing} that the address names ${missing === 1 ? "is" : "are"} not here` : "");
  comparison.hidden = !count;
}

function rowFacts(rows) {
  return rows[0].facts.map(([name], at) => [name, rows.map((row) => row.facts[at][1])]);
}

// Each row against the first; returns those that are judged, by their verdicts.
function fillPairs(rows, { rows: all, pairs, attack }) {
  const table = document.getElementById("pairs");
  const [first, ...others] = rows;
  const at = (places, row) => places.indexOf(all.indexOf(row));
  const seen = others.filter((row) => at(pairs.places, row) >= 0 && at(pairs.places, first) >= 0);
  table.closest("section").hidden = !seen.length;
  const head = document.createElement("thead").insertRow();
  for (const title of [
    `Against ${first.title}`,
    ...["Difference in points", "95 % interval", "p", "Verdict"],
    ...["Both hold", "It alone", `${first.title} alone`, "None"],
  ]) {
    cell(head, "th", title, "col");
  }
  const body = document.createElement("tbody");
  const said = {};
  for (const row of seen) {
    const [i, j] = [at(pairs.places, row), at(pairs.places, first)];
    const [a, b] = [at(pairs.judged, row), at(pairs.judged, first)];
    const judged = a >= 0 && b >= 0;
    const both = pairs.both[i][j];
    const [it, its] = [pairs.held[i], pairs.held[j]];
    const line = body.insertRow();
    cell(line, "th", row.title, "row");
    cell(line, "td", signed(judged ? pairs.difference[a][b] : it - its));
    cell(line, "td", judged ? `[${signed(pairs.low[a][b])}, ${signed(pairs.high[a][b])}]` : "–");
    cell(line, "td", judged ? `${pairs.p[a][b]}` : "–");
    const verdict = judged ? pairs.verdict[a][b] : "too few seeds";
    if (judged && Object.hasOwn(VERDICTS, verdict)) (said[verdict] ??= []).push(row.title);
    const chip = document.createElement("span");
    chip.className = `chip ${verdict.replaceAll(" ", "-")}`;
    chip.textContent = verdict;
    cell(line, "td", "").append(chip);
    for (const share of [both, it - both, its - both, 100 - it - its + both]) {
      cell(line, "td", `${share.toFixed(1)} %`);
    }
  }
  table.replaceChildren(head.parentElement, body);
  document.getElementById("attack").textContent = attack;
  return said;
}

function signed(points) {
  return `${points > 0 ? "+" : points < 0 ? "−" : ""}${Math.abs(points).toFixed(1)}`;
}

addEventListener("hashchange", show);
show();
