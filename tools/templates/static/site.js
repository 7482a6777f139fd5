// Tables of which one is shown at a time, and figures with a legend of their own, which has room for many curves.
"use strict";

function showChosen(group) {
  const wanted = [...group.querySelectorAll("select")].map((select) => select.value).join("|");
  for (const choice of group.querySelectorAll(".choice")) choice.hidden = choice.dataset.key !== wanted;
}

for (const group of document.querySelectorAll(".switched")) {
  group.addEventListener("change", () => showChosen(group));
  showChosen(group);
}

const DASHES = { solid: "", dash: "6 4", dot: "2 3", dashdot: "7 3 2 3" };
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function swatch(line) {
  const dashes = DASHES[line.dash] ?? "";
  const box = document.createElement("span");
  box.innerHTML =
    '<svg width="28" height="10" aria-hidden="true"><line x1="1" y1="5" x2="27" y2="5" stroke-width="2.5"/></svg>';
  box.querySelector("line").setAttribute("stroke", line.color);
  box.querySelector("line").setAttribute("stroke-dasharray", dashes);
  return box.firstChild;
}

class Figure {
  constructor(element) {
    const { figures, first } = JSON.parse(element.querySelector("script").textContent);
    this.element = element;
    this.figures = figures;
    this.drawing = element.querySelector(".drawing");
    this.keys = [...element.querySelectorAll("select.key")];
    this.logs = [...element.querySelectorAll("input.log")];
    this.first = first;
    // Curves that are not shown; a figure of few curves shows all.
    this.hidden = new Set();
    const labels = this.labels(Object.values(figures).flatMap((figure) => figure.data));
    for (const [label, trace] of labels) if (!first.includes(trace.meta.solver)) this.hidden.add(label);
    this.legend([...labels]);
    element.querySelector(".choices").addEventListener("change", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.draw();
    new ResizeObserver(() => this.narrow !== this.isNarrow() && this.draw()).observe(this.drawing);
  }

  isNarrow() {
    return this.drawing.clientWidth < 560;
  }

  labels(traces) {
    const curves = traces.filter((trace) => !trace.meta.band).map((trace) => [trace.meta.label, trace]);
    return new Map(curves.sort(([a], [b]) => a.localeCompare(b)));
  }

  legend(labels) {
    const legend = this.element.querySelector(".legend");
    const all = document.createElement("div");
    all.className = "all";
    const button = (text, isHidden) => {
      const made = document.createElement("button");
      made.type = "button";
      made.textContent = text;
      made.onclick = () => {
        this.hidden = new Set(labels.filter(([, trace]) => isHidden(trace)).map(([label]) => label));
        this.draw();
      };
      return made;
    };
    const [many, few] = [labels.length, labels.filter(([label]) => !this.hidden.has(label)).length];
    all.append(button(`all ${many}`, () => false), button("none", () => true));
    if (few < many) {
      all.append(button(`the best ${few}`, (trace) => !this.first.includes(trace.meta.solver)));
      all.append(`${few} of ${many} curves are shown at first, those of the best ranks.`);
    }
    legend.append(all);
    this.boxes = labels.map(([label, trace]) => {
      const line = document.createElement("label");
      const box = document.createElement("input");
      box.type = "checkbox";
      box.onchange = () => {
        if (box.checked) this.hidden.delete(label);
        else this.hidden.add(label);
        this.draw();
      };
      line.append(box, swatch(trace.line), label);
      legend.append(line);
      return [label, box];
    });
  }

  draw() {
    const { data, layout } = this.figures[this.keys.map((select) => select.value).join("|")];
    for (const [label, box] of this.boxes) box.checked = !this.hidden.has(label);
    const narrow = (this.narrow = this.isNarrow());
    const axis = (name) => {
      const text = layout[name].title.text;
      return {
        automargin: true, gridcolor: colour("--line"), linecolor: colour("--line"), zerolinecolor: colour("--line"),
        exponentformat: "power", ...layout[name],
        title: { text: narrow ? text.replace(" (", "<br>(") : text, font: { size: narrow ? 11 : 13 }, standoff: 8 },
      };
    };
    const shown = { ...layout, xaxis: axis("xaxis"), yaxis: axis("yaxis") };
    for (const box of this.logs) {
      const name = box.dataset.axis;
      const decades = this.decades(data, name[0]);
      box.disabled = decades === null;
      shown[name].type = box.checked && decades !== null ? "log" : "linear";
      // One label a decade: those between them crowd the axis.
      if (shown[name].type === "log" && decades > 2) shown[name].dtick = Math.ceil(decades / 8);
    }
    Object.assign(shown, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--ink") },
      margin: { l: 50, r: 12, t: 32, b: 44 }, hoverlabel: { namelength: -1 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--quiet"), activecolor: colour("--ink") },
    });
    const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
    const logs = ["xaxis", "yaxis"].map((name) => shown[name].type === "log");
    const traces = data.map((trace) => ({
      ...trace, ...this.drawable(trace, ...logs), visible: !this.hidden.has(trace.meta.label),
    }));
    Plotly.react(this.drawing, traces, shown, config);
  }

  // The points of a trace that logarithmic axes can show; plotly would draw a line to the edge for the others. A band
  // that reaches zero ends at the lowest value of its curve.
  drawable(trace, logX, logY) {
    const positive = trace.y.filter((y) => y > 0);
    const lowest = positive.length ? Math.min(...positive) : null;
    const points = trace.x.map((x, k) => [x, logY && trace.meta.band && trace.y[k] <= 0 ? lowest : trace.y[k]]);
    const kept = points.filter(([x, y]) => !(logX && x <= 0) && !(logY && y <= 0));
    return { x: kept.map(([x]) => x), y: kept.map(([, y]) => y) };
  }

  // Decades that positive values span, or null where there is none.
  decades(data, axis) {
    const logs = data.flatMap((trace) => trace[axis]).filter((value) => value > 0).map(Math.log10);
    return logs.length ? Math.max(...logs) - Math.min(...logs) : null;
  }
}

for (const element of document.querySelectorAll("figure.interactive")) new Figure(element);
