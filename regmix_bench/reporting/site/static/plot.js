// One chart in SVG: axes that fit what is drawn, values where a reader points or moves by arrow
// keys, and a legend whose entries hide what they name, in all charts of the page and in its address
// (`hide`). Text enters the page as text alone.
"use strict";

const plot = (() => {
  const HEIGHT = 300;
  const DASHES = { solid: "none", dash: "6 4", dot: "1.5 3", dashdot: "7 3 1.5 3" };
  const LISTED = 8; // values that a tip has
  const NEAR = 40; // pixels from a point to a pointer that means it
  const PAPER = 480; // pixels, for two charts beside each other on a page
  const LINE = 20; // pixels of a line of a legend
  const LOOKS = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "opacity", "vector-effect", "font-size"];
  const drawn = new Map();
  const hidden = new Set(new URLSearchParams(location.search).getAll("hide"));
  let printing = false;

  const across = (element) => (printing ? PAPER : element.clientWidth || PAPER);

  function make(tag, attributes = {}, ...children) {
    const svg = ["svg", "g", "path", "line", "text", "circle"].includes(tag);
    const made = svg
      ? document.createElementNS("http://www.w3.org/2000/svg", tag)
      : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== undefined) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  function coloured(made, colours) {
    made.style.setProperty("--light", colours[0]);
    made.style.setProperty("--dark", colours[1]);
    return made;
  }

  function ticks([low, high], count, least) {
    const rough = Math.max((high - low) / count, least);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((times) => times * power >= rough * 0.999);
    const found = [];
    for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++) {
      found.push(Number((at * step).toPrecision(12)));
    }
    return found;
  }

  // The values with some room; no narrower than `least`, and inside `within` where it is given.
  function fitted(values, least, within) {
    let low = values.reduce((a, b) => Math.min(a, b), Infinity);
    let high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    const room = Math.max(0.06 * (high - low), (least - (high - low)) / 2, 1e-9);
    [low, high] = [low - room, high + room];
    return within ? [Math.max(low, within[0]), Math.min(high, within[1])] : [low, high];
  }

  // A marker is the path of what is filled of it and that of what is not, in a unit square.
  function mark([full, hollow], size, x, y) {
    const sign = make("g", { class: "mark", transform: `translate(${x} ${y}) scale(${size})` });
    if (hollow) sign.append(make("path", { class: "hollow", d: hollow }));
    if (full) sign.append(make("path", { d: full }));
    return sign;
  }

  function key(series) {
    const line = make("line", { x1: 0, x2: 26, y1: 6, y2: 6, "stroke-dasharray": DASHES[series.dash] });
    const sign = make("svg", { viewBox: "0 0 26 12", width: 26, height: 12, "aria-hidden": true });
    if (!series.bare) sign.append(line);
    if (series.marker) sign.append(mark(series.marker, 7, 13, 6));
    return coloured(sign, series.colours);
  }

  // A chart: `series` of {name, group, colours, dash, width, x, y, low, high, marker, size, bare} (the
  // band between low and high is shaded, and `bare` ones have no line), `legend` of alike
  // without points, `x` and `y` of {title, show, least, within}, and `x.names` where places on the
  // axis are words. Where there is a `y.after`, the axis fits what follows that x, and cuts what is off it.
  function plot(element, chart) {
    if (!drawn.has(element)) widths.observe(element);
    drawn.set(element, chart);
    draw(element);
  }

  function draw(element) {
    const chart = drawn.get(element);
    const width = across(element);
    const shown = chart.series.filter((series) => !hidden.has(series.group));
    const points = shown.flatMap((series) =>
      series.x.map((x, at) => ({ series, x, y: series.y[at] })).filter((p) => Number.isFinite(p.y)),
    );
    const fits = (x) => x >= (chart.y.after ?? -Infinity);
    const edges = shown.flatMap(({ x, low = [], high = [] }) =>
      [low, high].flatMap((ends) => ends.filter((_, at) => fits(x[at]))),
    );
    const heights = points.filter(({ x }) => fits(x)).map(({ y }) => y);
    const yRange = fitted([...heights, ...edges], chart.y.least, chart.y.within);
    const xs = chart.series.flatMap((series) => series.x);
    const xRange = chart.x.names ? [-0.4, chart.x.names.length - 0.6] : fitted(xs, 1);
    const yTicks = points.length ? ticks(yRange, 5, 0) : [];
    const places = chart.x.names ? chart.x.names.map((_, at) => at) : [];
    const xTicks = chart.x.names ? places : ticks(xRange, Math.min(8, width / 60), 1);
    const left = 30 + 7 * yTicks.reduce((most, tick) => Math.max(most, `${tick}`.length), 1);
    const [right, top, bottom] = [width - 10, 8, HEIGHT - (chart.x.title ? 40 : 24)];
    const px = (x) => left + ((x - xRange[0]) / (xRange[1] - xRange[0])) * (right - left);
    const py = (y) => bottom - ((y - yRange[0]) / (yRange[1] - yRange[0])) * (bottom - top);
    for (const point of points) [point.px, point.py] = [px(point.x), py(point.y)];
    const seen = points.filter(({ y }) => y >= yRange[0] && y <= yRange[1]);

    const picture = make("svg", {
      viewBox: `0 0 ${width} ${HEIGHT}`,
      tabindex: 0,
      role: "application",
      "aria-roledescription": "chart",
      "aria-label": `${element.dataset.label} The arrow keys read the values.`,
    });
    for (const tick of yTicks) {
      picture.append(
        make("line", { class: "grid", x1: left, x2: right, y1: py(tick), y2: py(tick) }),
        make("text", { x: left - 6, y: py(tick) + 4, "text-anchor": "end" }, `${tick}`),
      );
    }
    const wide = (right - left) / Math.max(xTicks.length, 1) / 6.5;
    for (const tick of xTicks) {
      const name = chart.x.names ? cut(chart.x.names[tick], Math.max(3, wide)) : `${tick}`;
      picture.append(make("text", { x: px(tick), y: bottom + 17, "text-anchor": "middle" }, name));
    }
    const middle = `translate(13 ${(top + bottom) / 2}) rotate(-90)`;
    picture.append(
      make("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }),
      make("text", { transform: middle, "text-anchor": "middle" }, chart.y.title),
      make("text", { x: (left + right) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, chart.x.title),
    );
    const inside = make("svg", { class: "inside", x: left, y: top, width: right - left + 8, height: bottom - top });
    inside.setAttribute("viewBox", `${left} ${top} ${right - left + 8} ${bottom - top}`);
    for (const series of shown) {
      const own = points.filter((point) => point.series === series);
      const group = coloured(make("g", { class: "series" }), series.colours);
      const along = own.map((p, at) => `${at ? "L" : "M"}${p.px.toFixed(1)} ${p.py.toFixed(1)}`);
      if (series.low && own.length) {
        const there = (values) => series.x.map((x, at) => `${px(x).toFixed(1)} ${py(values[at]).toFixed(1)}`);
        const edge = [...there(series.high), ...there(series.low).reverse()];
        group.append(make("path", { class: "band", d: `M${edge.join("L")}Z` }));
      }
      if (!series.bare) {
        const look = { "stroke-width": series.width, "stroke-dasharray": DASHES[series.dash] };
        group.append(make("path", { class: "line", d: along.join(""), ...look }));
      }
      for (const point of series.marker ? own : []) {
        group.append(mark(series.marker, series.size, point.px.toFixed(1), point.py.toFixed(1)));
      }
      inside.append(group);
    }
    picture.append(inside);
    const tip = make("p", { class: "tip", role: "status" });
    element.replaceChildren(legend(element, chart), picture, tip, download(element, chart));
    answer(picture, tip, seen, chart, width);
  }

  // What is drawn as CSV, SVG and PNG.
  function download(element, chart) {
    const write = () => {
      const rows = chart.series.flatMap(({ name, x, y, low, high }) =>
        x.map((place, at) => {
          const where = chart.x.names ? chart.x.names[place] : place;
          return [name, where, y[at], low?.[at] ?? null, high?.[at] ?? null];
        }),
      );
      return files.csv([["series", "x", "y", "low", "high"], ...rows]);
    };
    const { label, chart: stem } = element.dataset;
    const line = make("p", { class: "files" }, files.link("CSV", label, `${stem}.csv`, write));
    const picture = () => drawing(element, chart);
    line.append(" ", files.link("SVG", label, `${stem}.svg`, () => picture().outerHTML));
    line.append(" ", files.image(label, `${stem}.png`, picture));
    return line;
  }

  // The chart with its legend as a picture of its own: of the looks that a style sheet gives, and white.
  function drawing(element, chart) {
    const shown = element.querySelector("svg[role]");
    const [width, high] = [shown.viewBox.baseVal.width, LINE * (chart.legend.length > 1)];
    const { copy, look } = styled(shown);
    const entries = chart.legend.filter((series) => !hidden.has(series.group));
    const wide = Math.max(...entries.map(({ name }) => 40 + 7 * name.length), 1);
    const across = Math.max(1, Math.floor(width / wide));
    const rows = high && Math.ceil(entries.length / across);
    const all = HEIGHT + rows * LINE;
    const made = make("svg", { xmlns: "http://www.w3.org/2000/svg", viewBox: `0 0 ${width} ${all}`, width, height: all });
    made.setAttribute("style", look);
    made.append(make("path", { d: `M0 0H${width}V${all}H0Z`, fill: getComputedStyle(document.body).backgroundColor }), copy);
    const keys = element.querySelectorAll(".legend button");
    for (const [at, series] of rows ? entries.entries() : []) {
      const sign = keys[chart.legend.indexOf(series)].querySelector("svg");
      const group = make("g", { transform: `translate(${10 + (at % across) * wide} ${HEIGHT + Math.floor(at / across) * LINE})` });
      group.append(styled(sign).copy, make("text", { x: 32, y: 11, fill: getComputedStyle(shown).color }, series.name));
      made.append(group);
    }
    return made;
  }

  // A copy of an element of SVG, in which each has what it is drawn with as its own attributes.
  function styled(original) {
    const copy = original.cloneNode(true);
    const inside = [...copy.querySelectorAll("*")];
    for (const [at, one] of [...original.querySelectorAll("*")].entries()) {
      const found = getComputedStyle(one);
      for (const name of LOOKS) inside[at].setAttribute(name, found.getPropertyValue(name));
      for (const name of ["style", "class"]) inside[at].removeAttribute(name);
    }
    copy.querySelector("circle")?.remove(); // where a reader points
    const { viewBox, attributes } = copy;
    const { width, height } = viewBox.baseVal;
    for (const { name } of [...attributes]) if (name !== "viewBox") copy.removeAttribute(name);
    for (const [name, value] of Object.entries({ width, height })) copy.setAttribute(name, value);
    const font = getComputedStyle(original);
    return { copy, look: `font-family: ${font.fontFamily}; font-size: ${font.fontSize}` };
  }

  function legend(element, chart) {
    const list = make("ul", { class: "legend" });
    for (const series of chart.legend.length > 1 ? chart.legend : []) {
      const button = make("button", { type: "button", "aria-pressed": !hidden.has(series.group) });
      button.append(key(series), series.name);
      button.addEventListener("click", () => {
        if (!hidden.delete(series.group)) hidden.add(series.group);
        const query = new URLSearchParams(location.search);
        query.delete("hide");
        for (const group of hidden) query.append("hide", group);
        history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}${location.hash}`);
        const place = [...list.children].indexOf(button.parentElement);
        [...drawn.keys()].forEach(draw);
        element.querySelectorAll(".legend button")[place].focus();
      });
      list.append(make("li", {}, button));
    }
    return list;
  }

  // Tell the values at the place of a point, its own first.
  function answer(picture, tip, points, chart, width) {
    const ring = make("circle", { class: "here", r: 6, cx: -99 });
    picture.append(ring);
    let here = null;
    const tell = (point) => {
      here = point;
      ring.setAttribute("cx", point ? point.px : -99);
      ring.setAttribute("cy", point ? point.py : -99);
      tip.replaceChildren();
      if (!point) return;
      const at = points.filter((other) => other !== point && other.x === point.x);
      at.sort((a, b) => Math.abs(a.py - point.py) - Math.abs(b.py - point.py));
      const rows = [point, ...at.slice(0, LISTED - 1)].map(({ series, y }) => {
        const swatch = coloured(make("span", { class: "swatch" }), series.colours);
        return make("span", {}, swatch, `${series.name}: ${chart.y.show(y)}`);
      });
      if (at.length >= LISTED) rows.push(make("span", {}, `and ${at.length - LISTED + 1} more`));
      const place = chart.x.names ? chart.x.names[point.x] : `${chart.x.title} ${point.x}`;
      tip.append(make("strong", {}, place), ...rows);
      const box = picture.getBoundingClientRect();
      const beside = (point.px * box.width) / width;
      const before = beside > box.width / 2; // the tip stands where there is more room
      tip.style.left = before ? "auto" : `${beside + 12}px`;
      tip.style.right = before ? `${box.width - beside + 12}px` : "auto";
      tip.style.top = `${box.top - picture.parentElement.getBoundingClientRect().top}px`;
    };
    const nearest = (x, y) => {
      const far = (point) => Math.hypot(point.px - x, point.py - y);
      const found = points.reduce((a, b) => (a && far(a) <= far(b) ? a : b), null);
      return found && far(found) < NEAR ? found : null;
    };
    picture.addEventListener("pointermove", (event) => {
      const box = picture.getBoundingClientRect();
      const scale = width / box.width;
      const found = nearest((event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
      if (found !== here) tell(found);
    });
    picture.addEventListener("pointerleave", () => tell(null));
    picture.addEventListener("blur", () => tell(null));
    picture.addEventListener("keydown", (event) => {
      const moved = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      const [along, down] = moved[event.key] ?? [0, 0];
      if (event.key === "Escape") tell(null);
      if (!points.length || (!along && !down)) return;
      event.preventDefault();
      const line = here && points.filter((point) => point.series === here.series);
      const column = here && points.filter((point) => point.x === here.x);
      if (column) column.sort((a, b) => a.py - b.py);
      if (!here) tell(points[0]);
      else if (along) tell(line[line.indexOf(here) + along] ?? here);
      else tell(column[column.indexOf(here) + down] ?? here);
    });
  }

  function cut(text, length) {
    return text.length > length ? `${text.slice(0, length - 1)}…` : text;
  }

  const widths = new ResizeObserver((changes) => {
    for (const { target } of changes) {
      const picture = target.querySelector("svg[role]");
      if (picture && picture.viewBox.baseVal.width !== across(target)) draw(target);
    }
  });
  for (const [name, value] of [["beforeprint", true], ["afterprint", false]]) {
    addEventListener(name, () => {
      printing = value;
      [...drawn.keys()].forEach(draw);
    });
  }
  return plot;
})();
