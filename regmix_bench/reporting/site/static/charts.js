// Charts of runs, drawn from what data/<run_id>.js put into `regmixRuns`.
"use strict";

const darkness = matchMedia("(prefers-color-scheme: dark)");
let printing = false;
const PAPER = 480; // two charts beside each other on a page

const CHARTS = {
  curves: (runs) => ({
    traces: runs.flatMap((run) => curves(run, runs.length === 1)),
    x: "epoch",
    y: "validation accuracy (%)",
    range: [0, 103],
  }),
  loss: (runs) => ({
    traces: runs.map((run) => ({ ...line(run), x: run.epochs, y: run.loss })),
    x: "epoch",
    y: "training loss",
  }),
  attacks: (runs) => ({
    traces: runs.flatMap((run) => cascades(run, runs.length === 1)),
    x: "",
    y: "accuracy (%)",
    range: [0, 103],
  }),
};

function css(property) {
  return getComputedStyle(document.documentElement).getPropertyValue(property).trim();
}

function colour(run) {
  return run.colours[darkness.matches && !printing ? 1 : 0];
}

// Plotly reads tags and entities in what it shows.
function plain(text) {
  const cut = text.length > 72 ? `${text.slice(0, 71)}…` : text;
  return cut.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
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
    name: plain(run.title),
    mode: "lines",
    line: { color: colour(run), dash: run.dash, width: 2 * (run.thin ?? 1) },
    // A click on an entry hides all that is drawn of it.
    ...(run.group ? { legendgroup: run.group, showlegend: false } : {}),
  };
}

// What stands in the legend of a comparison; the lines themselves name their runs when pointed at.
function entries(runs) {
  return runs.filter((run) => run.named).map((run) => ({
    ...line(run),
    name: plain(run.entry),
    x: [null],
    y: [null],
    showlegend: true,
  }));
}

function curves(run, alone) {
  const base = { ...line(run), x: run.epochs };
  const of = (name, width, dash) => ({
    ...base,
    name: alone ? name : `${plain(run.title)}, ${name}`,
    line: { ...base.line, width: width * (run.thin ?? 1), dash: alone ? dash : run.dash },
    ...(alone ? { showlegend: true } : {}),
  });
  const marks = (epochs, name, symbol, color) => ({
    ...base,
    x: epochs,
    y: epochs.map((epoch) => run.pgd[run.epochs.indexOf(epoch)]),
    mode: "markers",
    name: alone ? name : `${plain(run.title)}, ${name}`,
    ...(alone ? { showlegend: true } : {}),
    marker: { color, symbol, size: 10, line: { color, width: 2 } },
  });
  const traces = [
    { ...of("clean", 1.2, "dash"), y: run.clean },
    ...(alone ? [{ ...of("FGSM", 1.2, "dot"), y: run.fgsm }] : []),
    { ...of("PGD-10", 2.2, "solid"), y: run.pgd },
    ...(alone && run.raw.length ? [{ ...of("PGD-10, raw weights", 1.6, "dashdot"), y: run.raw }] : []),
  ];
  if (run.selected) traces.push(marks([run.selected], "selected", "circle-open", colour(run)));
  const alarms = run.alarms.map(([epoch]) => epoch).filter((epoch) => run.epochs.includes(epoch));
  if (alarms.length) traces.push(marks(alarms, "alarm", "x-thin", css("--alert")));
  return traces;
}

function cascades(run, alone) {
  return (alone ? run.attacks : run.attacks.slice(0, 1)).map((attacked, number) => ({
    ...line(run),
    name: alone ? attacked.where : `${plain(run.title)}: ${attacked.where}`,
    mode: "lines+markers",
    x: attacked.names,
    y: attacked.accuracies,
    line: {
      color: colour(run),
      width: 1.5 * (run.thin ?? 1),
      dash: alone ? DASHES[number % DASHES.length] : run.dash,
    },
    marker: { color: colour(run), symbol: run.symbol, size: 8 * (run.thin ?? 1) },
    ...(alone ? { showlegend: true } : {}),
  }));
}

function draw(element, runs) {
  const { traces, x, y, range } = CHARTS[element.dataset.chart](runs);
  traces.push(...(runs.length > 1 ? entries(runs) : []));
  const width = printing ? PAPER : element.clientWidth;
  const many = traces.filter((trace) => trace.showlegend !== false).length;
  const rule = css("--rule");
  const axis = { gridcolor: rule, linecolor: rule, zeroline: false, automargin: true };
  Plotly.react(
    element,
    traces,
    {
      font: { family: css("--sans"), size: 12, color: css("--ink") },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 48, r: 8, t: 8, b: 40 },
      height: 300 + (many > 1 ? 20 * Math.ceil((many * 200) / width) : 0),
      ...(printing ? { width } : {}),
      xaxis: { ...axis, title: { text: x }, fixedrange: width < 500 },
      yaxis: { ...axis, title: { text: y }, range, fixedrange: width < 500 },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11 } },
      showlegend: many > 1,
      hovermode: "closest",
      hoverlabel: { namelength: -1 },
    },
    { responsive: true, displayModeBar: false, displaylogo: false },
  );
}

function drawAll() {
  for (const element of document.querySelectorAll("[data-chart][data-runs]")) {
    const runs = element.dataset.runs.split(",").map((id) => window.regmixRuns[id]);
    draw(element, runs.length > 1 ? together(runs) : runs);
  }
}

darkness.addEventListener("change", drawAll);
for (const [name, value] of [["beforeprint", true], ["afterprint", false]]) {
  addEventListener(name, () => {
    printing = value;
    document.querySelectorAll(".js-plotly-plot").forEach(Plotly.purge); // else it keeps its width
    drawAll();
  });
}
drawAll();
