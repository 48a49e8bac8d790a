// A line with a mark that moves along it, drawn as SVG. Either axis may be logarithmic.

import { el, svg } from "./dom.js";

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [420, 270, 52, 28, 30, 44];

export const tenths = (from, to) => {
  const step = to - from > 0.6 ? 0.2 : to - from > 0.25 ? 0.1 : 0.05;
  const first = Math.ceil(from / step - 1e-9);
  return Array.from({ length: Math.floor(to / step + 1e-9) - first + 1 }, (_, i) => Number(((first + i) * step).toFixed(2)));
};

export const decades = (from, to) => {
  const first = Math.ceil(Math.log10(from) - 1e-9);
  return Array.from({ length: Math.floor(Math.log10(to) + 1e-9) - first + 1 }, (_, i) => 10 ** (first + i));
};

export class Chart {
  constructor({ label, x, y, line }) {
    this.x = this.scale(x, LEFT, WIDTH - RIGHT);
    this.y = this.scale(y, HEIGHT - BOTTOM, TOP);
    const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, class: "chart" });
    const words = (axis, value) => (axis.log ? `${Number((value * 100).toPrecision(3))}%` : String(value));
    for (const value of x.ticks(x.from, x.to)) {
      const at = this.x(value);
      drawing.append(svg("line", { x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM, class: "grid" }), svg("text", { x: at, y: HEIGHT - BOTTOM + 17, "text-anchor": "middle" }, words(x, value)));
    }
    for (const value of y.ticks(y.from, y.to)) {
      const at = this.y(value);
      drawing.append(svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: at, y2: at, class: "grid" }), svg("text", { x: LEFT - 7, y: at + 4, "text-anchor": "end" }, words(y, value)));
    }
    const points = line.map(([a, b]) => `${this.x(a).toFixed(1)},${this.y(b).toFixed(1)}`).join(" ");
    this.dot = svg("circle", { r: 7, class: "dot" });
    this.stem = svg("line", { y2: HEIGHT - BOTTOM, class: "stem" });
    drawing.append(
      svg("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 8, "text-anchor": "middle", class: "label" }, x.label),
      svg("text", { x: 10, y: 17, class: "label" }, y.label),
      svg("polyline", { points, class: "line" }),
      this.stem,
      this.dot,
    );
    this.figure = el("figure", {}, drawing, el("figcaption", {}, label));
  }

  scale({ from, to, log }, start, end) {
    const f = log ? (value) => Math.log10(Math.max(value, from)) : (value) => value;
    return (value) => start + ((f(Math.min(Math.max(value, from), to)) - f(from)) / (f(to) - f(from))) * (end - start);
  }

  mark(x, y) {
    const [cx, cy] = [this.x(x), this.y(y)];
    this.dot.setAttribute("cx", cx);
    this.dot.setAttribute("cy", cy);
    this.stem.setAttribute("x1", cx);
    this.stem.setAttribute("x2", cx);
    this.stem.setAttribute("y1", cy);
  }
}
