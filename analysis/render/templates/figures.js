// Figures of a report that a reader may zoom, read by pointer or keys, and take curves out of. The drawing stays what is
// printed, and what is there where no script runs: this one only puts a button beside it, and on demand a plot in its place.
"use strict";
{
  const RAISED = {"+": "", "-": "⁻", ".": "·", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹"};
  const DASHES = {norm: [3, 3], best: [9, 4], 3: [2, 4], 4: [10, 4, 2, 4], 5: [5, 5]};
  const night = matchMedia("(prefers-color-scheme: dark)");

  const color = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const power = decades => "10" + String(+decades.toFixed(2)).replace(/./g, each => RAISED[each]);
  const signed = decades => (decades < 0 ? "−" : "+") + Math.abs(decades).toFixed(2);
  const cut = (label, longest) => label.length > longest ? "…" + label.slice(1 - longest) : label;
  const inked = role => color({best: "c1", faint: "faint"}[role] || "c0");
  const made = (tag, name, parts = [], attributes = {}) => {
    const element = document.createElement(tag);
    element.className = name;
    element.append(...parts);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const button = (name, parts, act, pressed) => {
    const element = made("button", name, parts, {type: "button", ...pressed === undefined ? {} : {"aria-pressed": pressed}});
    element.addEventListener("click", act);
    return element;
  };

  // A value on a curve: a number, null (not measured), "-" (passed over), "lost" (nothing arrives), "broken" (not finite).
  const drawn = value => typeof value === "number" ? value : value === "-" ? undefined : null;
  const said = value => ({number: () => signed(value), string: () => ({lost: "no gradient", broken: "not finite"})[value]}
    [typeof value] || (() => undefined))();

  function colored(u, shown, places) {
    const {left, top, width, height} = u.bbox;
    u.ctx.save();
    u.ctx.beginPath();
    u.ctx.rect(left, top, width, height);
    u.ctx.clip();
    for (const [name, band] of [[shown.core ? "grey" : "band", shown.band], ["band", shown.core]]) {
      if (!band) continue;
      const [low, high] = band.map(each => u.valToPos(each, "y", true));
      u.ctx.fillStyle = color(name);
      u.ctx.fillRect(left, high, width, low - high);
    }
    u.ctx.restore();
  }

  function marked(u, shown, on) {
    const {ctx, bbox} = u, dots = devicePixelRatio;
    const at = place => u.valToPos(place, "x", true);
    const inside = place => place >= u.scales.x.min && place <= u.scales.x.max;
    ctx.save();
    ctx.textAlign = "center";
    ctx.font = `${12 * dots}px sans-serif`;
    shown.curves.forEach((curve, index) => on[index] && curve.line.forEach((value, place) => {
      if (typeof value !== "string" || value === "-" || !inside(place)) return;
      ctx.fillStyle = inked(curve.role);
      ctx.fillText(value === "lost" ? "▼" : "×", at(place), value === "lost" ? bbox.top + bbox.height : bbox.top + 10 * dots);
    }));
    ctx.strokeStyle = color("error");
    ctx.lineWidth = 1.6 * dots;
    for (const place of on[0] ? shown.ringed : []) {
      const value = shown.curves[0].beside[place] ?? shown.curves[0].line[place];
      if (typeof value !== "number" || !inside(place)) continue;
      ctx.beginPath();
      ctx.arc(at(place), u.valToPos(value, "y", true), 7 * dots, 0, 7);
      ctx.stroke();
    }
    ctx.restore();
  }

  // The plot of a figure: a line for each curve, then the points beside it, which are switched with it.
  function plotted(shown, box, status, names, places) {
    const on = shown.curves.map(() => true), last = shown.labels.length - 1;
    const loose = shown.curves.flatMap((curve, index) => Object.keys(curve.beside).length ? [index] : []);
    const roles = [...shown.curves, ...loose.map(index => shown.curves[index])].map(curve => curve.role);
    const lines = shown.curves.map((curve, index) => ({
      stroke: () => inked(curve.role), width: {own: 3, best: 3}[curve.role] || 1.3,
      dash: DASHES[curve.role === "faint" ? index : curve.role], points: {fill: () => color("page")},
    }));
    const points = loose.map(index => ({
      stroke: () => inked(shown.curves[index].role), paths: () => null, points: {show: true, size: 5, fill: () => color("page")},
    }));
    const table = [
      shown.labels.map((_, place) => place),
      ...shown.curves.map(curve => curve.line.map(drawn)),
      ...loose.map(index => shown.labels.map((_, place) => shown.curves[index].beside[place] ?? null)),
    ];
    const read = u => {
      const place = u.cursor.idx;
      if (place == null) return;
      const values = shown.curves.map((curve, index) => on[index] && [names[index], said(curve.beside[place] ?? curve.line[place])]);
      const known = values.filter(each => each && each[1] !== undefined).map(each => each.join(" "));
      status.textContent = `${places[place]}, in decades: ${known.join("; ") || "nothing measured"}`;
    };
    const axis = {stroke: () => color("soft"), grid: {stroke: () => color("line"), width: 1}, ticks: {stroke: () => color("line"), width: 1}};
    axis.font = "13px system-ui, sans-serif";
    const wide = box.clientWidth >= 600, longest = wide ? 14 : 8;
    const size = () => ({width: box.clientWidth, height: wide ? 430 : 340});
    let u;
    u = new uPlot({
      ...size(), padding: [null, null, null, wide ? 78 : 46], legend: {show: false}, series: [{}, ...lines, ...points],
      scales: {x: {time: false, range: (_, low, high) => low === high ? [low - 0.5, high + 0.5] : [low, high]}, y: {range: ranged}},
      axes: [
        {...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000], space: 46, size: 78, rotate: 35, grid: {show: false},
          values: (_, splits) => splits.map(place => cut(shown.labels[place] || "", longest))},
        {...axis, side: 1, size: 56, incrs: [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100], values: (_, splits) => splits.map(power)},
      ],
      cursor: {y: false, points: {size: 9, fill: (_, index) => inked(roles[index - 1])}, drag: {x: true, y: false}},
      hooks: {drawClear: [each => colored(each, shown)], draw: [each => marked(each, shown, on)], setCursor: [read]},
    }, table, box);

    // Whole, the healthy band is in sight; zoomed, what the curves do there.
    function ranged(_, low, high) {
      const {min = 0, max = last} = u?.scales.x ?? {};
      const known = low == null ? shown.band : max - min >= last ? [Math.min(low, shown.band[0]), Math.max(high, shown.band[1])] : [low, high];
      const room = Math.max(0.06 * (known[1] - known[0]), 0.2);
      return [known[0] - room, known[1] + room];
    }
    const point = place => {
      const value = table.slice(1).map(each => each[place]).find(each => each != null) ?? shown.band[1];
      u.setCursor({left: u.valToPos(place, "x"), top: u.valToPos(value, "y")});
    };
    // The axis moves in a microtask of uPlot's; what is pointed at stays so.
    const zoom = (factor, place = u.cursor.idx) => {
      const center = place ?? (u.scales.x.min + u.scales.x.max) / 2;
      const half = Math.min(Math.max((u.scales.x.max - u.scales.x.min) * factor, Math.min(2, last)), last) / 2;
      const min = Math.min(Math.max(center - half, 0), last - 2 * half);
      u.setScale("x", {min, max: min + 2 * half});
      if (place != null) queueMicrotask(() => point(place));
    };
    const go = place => {
      place = Math.min(Math.max(place, 0), last);
      if (place < u.scales.x.min || place > u.scales.x.max) zoom(1, place);
      else point(place);
    };
    const keys = {
      ArrowRight: () => go((u.cursor.idx ?? -1) + 1), ArrowLeft: () => go((u.cursor.idx ?? last + 1) - 1), Home: () => go(0), End: () => go(last),
      "+": () => zoom(0.5), "-": () => zoom(2), 0: () => zoom(Infinity),
    };
    box.addEventListener("keydown", event => {
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      keys[event.key]();
    });
    const toggle = index => {
      on[index] = !on[index];
      u.setSeries(index + 1, {show: on[index]});
      if (loose.includes(index)) u.setSeries(1 + on.length + loose.indexOf(index), {show: on[index]});
      return on[index];
    };
    new ResizeObserver(() => box.clientWidth && box.clientWidth !== u.width && u.setSize(size())).observe(box);
    night.addEventListener("change", () => u.redraw(false));
    return {zoom, toggle};
  }

  function enhance(figure) {
    let live;
    const open = () => {
      const shown = JSON.parse(figure.querySelector("script").textContent);
      const title = figure.querySelector(".plot title").textContent, legend = [...figure.querySelectorAll(".legend li")];
      const rows = document.querySelectorAll(`#${shown.name}-numbers tbody th`);
      const places = shown.labels.map((label, place) => rows[place]?.textContent.trim() || label);
      const help = "Arrow keys read the values, plus and minus zoom, 0 shows all; or point, and drag over a part.";
      const box = made("div", "live-plot", [], {tabindex: 0, role: "application", "aria-label": `${title}. ${help}`});
      const status = made("p", "live-words", [help], {role: "status"});
      const parts = made("div", "live", [made("p", "live-y", [shown.y_label]), box, status]);
      figure.querySelector(".drawing").after(parts);
      const plot = plotted(shown, box, status, legend.map(each => each.querySelector(".name").textContent), places);
      const curves = legend.map((each, index) => button("live-curve", [...each.childNodes].map(part => part.cloneNode(true)), event => {
        event.currentTarget.setAttribute("aria-pressed", plot.toggle(index));
      }, true));
      const zooms = [["Zoom in", 0.5], ["Zoom out", 2], ["Show all", Infinity]].map(
        ([words, factor]) => button("live-button", [words], () => plot.zoom(factor)));
      parts.append(made("div", "live-row", curves, {role: "group", "aria-label": "Curves"}));
      change.after(made("span", "live live-row", zooms, {role: "group", "aria-label": "Zoom"}));
      return parts;
    };
    const change = button("live-button live-switch", ["Interactive"], () => {
      const on = figure.classList.toggle("is-live");
      change.setAttribute("aria-pressed", on);
      if (on) live ??= open();
    }, false);
    figure.prepend(made("div", "live-row live-head", [change]));
  }

  const everywhere = () => [...document.querySelectorAll("figure")].filter(
    each => each.querySelector("script") && !each.querySelector(".live-switch")).forEach(enhance);
  document.addEventListener("shown", everywhere);
  everywhere();
}
