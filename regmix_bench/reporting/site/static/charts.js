// What the charts of runs show, from what data/<run_id>.js put into `regmixRuns`.
"use strict";

const SHARE = { least: 2, within: [0, 100], show: (value) => `${value.toFixed(1)} %` };
const RING = ["", "M-.5 0A.5 .5 0 1 0 .5 0A.5 .5 0 1 0-.5 0"];
const CROSS = ["M-.4-.4L.4 .4M-.4 .4L.4-.4", ""];
const ALERT = ["#9b1c1c", "#ff9c94"];

const CHARTS = {
  curves: (runs) => ({
    series: runs.flatMap((run) => curves(run, runs.length === 1)),
    x: { title: "epoch" },
    y: { title: "validation accuracy (%)", ...SHARE },
  }),
  loss: (runs) => ({
    series: runs.map((run) => ({ ...line(run), x: run.epochs, y: run.loss })),
    x: { title: "epoch" },
    y: { title: "training loss", least: 0, show: (value) => value.toPrecision(4) },
  }),
  attacks: (runs) => cascades(runs.length > 1 ? runs.map((run) => [run, run.attacks[0]])
    : runs[0].attacks.map((attacked) => [runs[0], attacked])),
};

function cut(text) {
  return text.length > 72 ? `${text.slice(0, 71)}…` : text;
}

const DASHES = ["solid", "dash", "dot", "dashdot"];

// Runs as a comparison draws and names them. Seeds of one row have one look and one entry of the
// legend, unless there is no other row; `title` says where a run is from where that differs.
function together(runs) {
  const several = new Set(runs.map((run) => run.setting)).size > 1;
  const row = (run) => `${run.label}\n${run.setting}`;
  const alone = new Set(runs.map(row)).size === 1;
  const drawn = (run) => (alone ? run.id : row(run));
  return runs.map((run) => {
    const seeds = runs.filter((other) => row(other) === row(run));
    const alike = runs.filter((o) => o.colours[0] === run.colours[0] && o.dash === run.dash);
    const turn = [...new Set(alike.map(drawn))].indexOf(drawn(run));
    const where = several ? ` (${run.setting})` : "";
    const own = seeds.length === 1 || alone;
    return {
      ...run,
      title: run.title + where,
      dash: DASHES[(DASHES.indexOf(run.dash) + turn) % DASHES.length],
      group: own ? run.id : row(run),
      entry: own ? run.title + where : `${run.label}, ${seeds.length} seeds${where}`,
      named: own || seeds[0] === run,
      thin: own ? 1 : 0.6,
    };
  });
}

function line(run) {
  return {
    name: cut(run.title),
    group: run.group,
    colours: run.colours,
    dash: run.dash,
    width: 2 * (run.thin ?? 1),
  };
}

function curves(run, alone) {
  const of = (name, y, width, dash) => ({
    ...line(run),
    x: run.epochs,
    y,
    width: width * (run.thin ?? 1),
    ...(alone ? { name, group: name, dash } : { name: `${cut(run.title)}, ${name}` }),
  });
  const marks = (epochs, name, marker, colours) => {
    const y = epochs.map((epoch) => run.pgd[run.epochs.indexOf(epoch)]);
    return { ...of(name, y, 2, "solid"), x: epochs, marker, colours, bare: true, size: 11 };
  };
  const series = [of("clean", run.clean, 1.2, "dash"), of("PGD-10", run.pgd, 2.2, "solid")];
  if (alone) series.splice(1, 0, of("FGSM", run.fgsm, 1.2, "dot"));
  if (alone && run.raw.length) {
    series.push(of("PGD-10, raw weights", run.raw, 1.6, "dashdot"));
  }
  if (run.selected) series.push(marks([run.selected], "selected", RING, run.colours));
  const alarms = run.alarms.map(([epoch]) => epoch).filter((epoch) => run.epochs.includes(epoch));
  if (alarms.length) series.push(marks(alarms, "alarm", CROSS, ALERT));
  return series;
}

// `pairs` are of a run and one of its scores, each a line over the attacks in their order.
function cascades(pairs) {
  const there = pairs.filter(([, attacked]) => attacked);
  const names = [...new Set(there.flatMap(([, attacked]) => attacked.names))];
  const alone = new Set(there.map(([run]) => run.id)).size < 2 && there[0]?.[1].where;
  const series = there.map(([run, attacked], number) => ({
    ...line(run),
    width: 1.5 * (run.thin ?? 1),
    x: attacked.names.map((name) => names.indexOf(name)),
    y: attacked.accuracies,
    marker: run.marker,
    size: 8 * (run.thin ?? 1),
    ...(alone
      ? { name: attacked.where, group: attacked.where, dash: DASHES[number % DASHES.length] }
      : { name: attacked.where ? `${cut(run.title)}: ${attacked.where}` : cut(run.title) }),
  }));
  return { series, x: { title: "", names }, y: { title: "accuracy (%)", ...SHARE } };
}

// Rows of one comparison, means over their seeds.
const ROW_CHARTS = {
  curves: (rows) => byEpoch(rows, "validation PGD-10 (%)", ({ pgd: y, low, high }) => ({ y, low, high })),
  clean: (rows) => byEpoch(rows, "validation accuracy (%)", ({ clean: y }) => ({ y })),
  attacks: (rows) => cascades(rows.map((row) => [{ ...row, id: row.key, group: row.key }, row.cascade])),
  classes: (rows, { classes, attack }) => ({
    series: rows.filter((row) => row.classes.length).map((row) => {
      const x = row.classes.map((_, at) => at);
      return { ...rowLine(row), x, y: row.classes, marker: row.marker, size: 9, bare: true };
    }),
    x: { title: "class", names: classes },
    y: { title: `${attack} accuracy (%)`, ...SHARE },
  }),
};

// Curves of which the first third, where all rise, is off the axis if it has to be.
function byEpoch(rows, title, values) {
  const there = rows.filter((row) => row.curves);
  const last = Math.max(0, ...there.flatMap((row) => row.curves.epochs));
  return {
    series: there.map((row) => ({ ...rowLine(row), x: row.curves.epochs, ...values(row.curves) })),
    x: { title: "epoch" },
    y: { title, ...SHARE, after: last / 3 },
  };
}

function rowLine(row) {
  return { name: row.title, group: row.key, colours: row.colours, dash: row.dash, width: 2 };
}

function drawRows(rows, comparison) {
  for (const element of document.querySelectorAll("[data-chart]")) {
    const chart = ROW_CHARTS[element.dataset.chart]?.(rows, comparison);
    element.parentElement.hidden = !chart?.series.length;
    if (!chart?.series.length) continue;
    const marked = chart.series.some((series) => series.marker);
    const entry = (row) => ({ ...rowLine(row), ...(marked ? { marker: row.marker } : {}) });
    plot(element, { ...chart, legend: rows.map(entry) });
  }
}

function drawAll() {
  for (const element of document.querySelectorAll("[data-chart][data-runs]")) {
    const found = element.dataset.runs.split(",").map((id) => window.regmixRuns[id]);
    const runs = found.length > 1 ? together(found) : found;
    const chart = CHARTS[element.dataset.chart](runs);
    const named = runs.filter((run) => run.named);
    const entries = named.map((run) => ({ ...line(run), name: cut(run.entry) }));
    plot(element, { ...chart, legend: runs.length > 1 ? entries : chart.series });
  }
}

drawAll();
