// What a page has where it is served: it follows what goes on in the results folder, and is loaded
// anew when a record arrives. The server is asked once a second, and mostly answers that nothing is new.
"use strict";

// The block keeps names from those of a page's other scripts.
{
const shown = new URL(document.currentScript.src).searchParams.get("v");
const place = /^\/(index\.html|runs\.html)?$/.test(location.pathname) ? document.querySelector("main h1") : null;
const PATIENCE = 3000; // milliseconds after the last key or press until a page may be loaded anew
const note = make("p", { role: "status", className: "trouble" });
const heading = make("h2"), list = make("ul", { tabIndex: 0, label: "Runs under way" }), more = make("p", { className: "caption" });
const section = make("section", { className: "under-way" }, heading, list, more);
let touched = -Infinity;
let latest = null;

function make(name, { role, label, ...rest } = {}, ...children) {
  const element = Object.assign(document.createElement(name), rest);
  if (role) element.setAttribute("role", role);
  if (label) element.setAttribute("aria-label", label);
  element.append(...children);
  return element;
}

// Loading anew

for (const event of ["keydown", "pointerdown"]) {
  addEventListener(event, () => { touched = performance.now(); }, { passive: true });
}

// The address holds what is sorted, searched and chosen; this is the rest of what a reader has before him.
function reload() {
  const opened = [...document.querySelectorAll("details")].map((element) => element.open);
  const { name, id } = document.activeElement ?? {};
  sessionStorage.setItem("live", JSON.stringify({ path: location.pathname, opened, name, id }));
  location.reload();
}

function restore() {
  const kept = JSON.parse(sessionStorage.getItem("live") ?? "null");
  sessionStorage.removeItem("live");
  if (kept?.path !== location.pathname) return;
  document.querySelectorAll("details").forEach((element, at) => { element.open = kept.opened[at] ?? element.open; });
  const named = kept.name && document.querySelector(`main [name="${CSS.escape(kept.name)}"]`);
  (document.getElementById(kept.id) ?? named)?.focus({ preventScroll: true });
}

// What goes on

function clock(seconds) {
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

const WIDTH = 160, HEIGHT = 44;

// The accuracies on held-out images of the epochs so far, from 0 to 1, over all epochs that there will be.
function curves({ epochs, clean, pgd }) {
  const of = (name, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  const words = `After ${clean.length} of ${epochs} epochs: clean ${percent(clean.at(-1))}, PGD-10 ${percent(pgd.at(-1))}`;
  const svg = of("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, role: "img", "aria-label": words });
  svg.append(Object.assign(of("title", {}), { textContent: words }));
  svg.append(of("path", { class: "frame", d: `M0.5 0.5V${HEIGHT - 0.5}H${WIDTH - 0.5}` }));
  for (const [name, values] of [["clean", clean], ["pgd", pgd]]) {
    const at = (share, epoch) => `${(((epoch + 1) / epochs) * (WIDTH - 4)).toFixed(1)},${((1 - share) * (HEIGHT - 4) + 2).toFixed(1)}`;
    svg.append(of("polyline", { class: name, points: values.map(at).join(" ") }));
    const [x, y] = at(values.at(-1), values.length - 1).split(",");
    svg.append(of("circle", { class: name, cx: x, cy: y, r: 2 }));
  }
  return svg;
}

function item(run) {
  const words = make("p", { className: "stage" }, make("span", { className: `standing ${run.standing}` }, run.standing));
  if (run.stage || run.reason) words.append(" ", run.stage || run.reason);
  if (run.standing === "running" && run.left !== undefined) {
    const left = Math.max(0, run.left - (Date.now() / 1000 - run.written));
    words.append(make("span", { className: "left" }, left < 1 ? "about to end" : `${clock(left)} left`));
  }
  const entry = make("li", {}, make("p", { className: "of" }, run.name), words);
  if (run.share !== undefined) {
    entry.append(make("progress", { max: 1, value: run.share, label: `${run.name}: share of its cost that is done` }));
  }
  if (run.curve) entry.append(curves(run.curve));
  return entry;
}

function draw() {
  if (!place || !latest) return;
  const { counts, runs } = latest;
  const total = Object.entries(counts).filter(([, count]) => count);
  if (!total.length) return section.remove();
  const rest = Object.values(counts).reduce((sum, count) => sum + count, 0) - runs.length;
  heading.textContent = `Under way: ${total.map(([standing, count]) => `${count} ${standing}`).join(", ")}`;
  list.replaceChildren(...runs.map(item)); // the list stays, and with it the focus and how far it is scrolled
  const drawn = runs.some(({ curve }) => curve) ? "Curves: clean (grey) and PGD-10 accuracy on held-out images, from 0 to 1." : "";
  more.textContent = `${rest ? `And ${rest} more. ` : ""}${drawn}`;
  if (!section.isConnected) place.after(section);
}

async function ask() {
  if (document.hidden) return;
  let state;
  try {
    state = await (await fetch("/_state.json")).json();
  } catch {
    return; // the server has ended, or is about to answer again
  }
  latest = state;
  draw();
  if (note.textContent !== state.trouble) note.textContent = state.trouble;
  if (state.trouble && !note.isConnected) document.body.prepend(note);
  if (!state.trouble) note.remove();
  if (state.version !== shown && performance.now() - touched > PATIENCE) reload();
}

restore();
ask();
setInterval(ask, 1000);
}
