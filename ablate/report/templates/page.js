// Draws the page's figures with Plotly in the page's colours. Each takes the place of its SVG; print keeps the SVG.
// Without this script the page is whole, only still.
"use strict";
(() => {
  const content = JSON.parse(document.getElementById("plots").textContent);
  const dashes = ["solid", "dash", "dashdot", "dot"];
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const isCoarse = window.matchMedia("(pointer: coarse)").matches;
  const hovers = window.matchMedia("(hover: hover)").matches;
  const gap = 0.07, letter = 6.8, swatch = 56;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const suffix = (place) => (place === 0 ? "" : String(place + 1));

  function faded(hex, alpha) {
    const part = (from) => parseInt(hex.slice(from, from + 2), 16);
    return `rgba(${part(1)}, ${part(3)}, ${part(5)}, ${alpha})`;
  }

  // A name that is wider than the page goes on in the next line of the legend.
  function wrapped(label, width) {
    const most = Math.max(12, Math.floor((width - swatch) / letter));
    const lines = [""];
    for (const word of label.split(" ")) {
      const last = lines[lines.length - 1];
      if (last && last.length + 1 + word.length > most) lines.push(word);
      else lines[lines.length - 1] = last ? `${last} ${word}` : word;
    }
    return lines;
  }

  function traces(figure, width) {
    const found = [];
    const named = new Set();
    figure.panels.forEach((panel, place) => {
      for (const line of panel.lines) {
        const paint = content.palette[line.colour % content.palette.length];
        const axes = {xaxis: "x" + suffix(place), yaxis: "y" + suffix(place), legendgroup: line.label};
        const hasInterval = line.low !== undefined;
        if (hasInterval && line.banded) {
          found.push({
            ...axes, type: "scatter", mode: "lines", x: [...line.x, ...[...line.x].reverse()],
            y: [...line.high, ...[...line.low].reverse()], fill: "toself", fillcolor: faded(paint, 0.16),
            line: {width: 0}, hoverinfo: "skip", showlegend: false,
          });
        }
        const range = hasInterval ? "<br>95 %: %{customdata[0]:.4~g} to %{customdata[1]:.4~g}" : "";
        const at = panel.ticks.length ? "%{customdata[2]}" : "%{x:~g}";
        found.push({
          ...axes, type: "scatter", mode: line.x.length <= 20 ? "lines+markers" : "lines", name: wrapped(line.label, width).join("<br>"),
          x: line.x, y: line.y, showlegend: !named.has(line.label),
          customdata: line.x.map((x, i) => [hasInterval ? line.low[i] : null, hasInterval ? line.high[i] : null, panel.ticks[x]]),
          line: {color: paint, width: 2, dash: dashes[Math.floor(line.colour / content.palette.length) % dashes.length]},
          marker: {color: paint, size: 6},
          error_y: hasInterval && !line.banded ? {
            type: "data", symmetric: false, array: line.high.map((high, i) => high - line.y[i]),
            arrayminus: line.low.map((low, i) => line.y[i] - low), color: faded(paint, 0.7), thickness: 1.4, width: 0,
          } : undefined,
          hovertemplate: `<b>%{fullData.name}</b><br>${panel.x} ${at}: %{y:.4~g} ${figure.unit}${range}<br>` +
            `${line.seeds === 1 ? "one seed" : line.seeds + " seeds"}<extra></extra>`,
        });
        named.add(line.label);
      }
    });
    return found;
  }

  // The places of an axis whose levels have names, or of a logarithmic one whose levels are few.
  function named(panel) {
    if (panel.ticks.length) {
      return {tickvals: panel.ticks.map((_, i) => i), ticktext: panel.ticks, range: [-0.3, panel.ticks.length - 0.7]};
    }
    const places = [...new Set(panel.lines.flatMap((line) => line.x))];
    return panel.log && places.length <= 12 ? {tickvals: places, ticktext: places.map(String)} : {};
  }

  function layout(figure, width) {
    const ink = colour("--ink"), rule = colour("--rule");
    const columns = Math.min(width < 620 ? 1 : 2, figure.panels.length);
    const rows = Math.ceil(figure.panels.length / columns);
    const labels = [...new Set(figure.panels.flatMap((panel) => panel.lines.map((line) => line.label)))];
    const perRow = Math.max(1, Math.floor((width - 20) / (swatch + letter * Math.max(...labels.map((label) => label.length)))));
    const numLines = labels.reduce((sum, label) => sum + wrapped(label, width).length, 0);
    const legendRows = labels.length < 2 ? 0 : Math.ceil(numLines / perRow);
    const legend = legendRows * 19 + (legendRows ? 14 : 0);
    const titles = figure.panels.some((panel) => panel.title) ? 22 : 0;
    const margin = {l: width < 620 ? 52 : 64, r: 12, t: 14 + titles, b: 50 + legend};
    const inner = 250 * rows + (rows - 1) * (70 + titles);
    const found = {
      width, height: inner + margin.t + margin.b, margin,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
      font: {family: 'system-ui, "Segoe UI", Helvetica, Arial, sans-serif', size: 12, color: ink},
      hoverlabel: {bgcolor: colour("--tint"), bordercolor: rule, font: {color: ink, size: 12}, align: "left"},
      legend: {orientation: "h", x: 0, xref: "container", y: 0, yref: "container", yanchor: "bottom", font: {size: 12}, tracegroupgap: 0},
      modebar: {bgcolor: "rgba(0,0,0,0)", color: colour("--soft"), activecolor: ink},
      dragmode: isCoarse ? false : "zoom", annotations: [], showlegend: legendRows > 0,
    };
    const across = (1 - gap * (columns - 1)) / columns;
    const between = (70 + titles) / inner, down = (1 - between * (rows - 1)) / rows;
    figure.panels.forEach((panel, place) => {
      const column = place % columns, row = Math.floor(place / columns);
      const left = column * (across + gap), top = 1 - row * (down + between);
      const common = {gridcolor: rule, linecolor: ink, zeroline: false, fixedrange: isCoarse, automargin: false};
      found["xaxis" + suffix(place)] = {
        ...common, anchor: "y" + suffix(place), domain: [left, left + across], showgrid: false, showline: true,
        type: panel.log ? "log" : "linear", ticks: "outside", ticklen: 4,
        ...named(panel),
      };
      found.annotations.push({
        text: panel.x, xref: "paper", yref: "paper", x: left + across / 2, y: Math.max(0, top - down), yshift: -24,
        xanchor: "center", yanchor: "top", showarrow: false, font: {size: 12.5},
      });
      found["yaxis" + suffix(place)] = {
        ...common, anchor: "x" + suffix(place), domain: [Math.max(0, top - down), top], type: figure.log ? "log" : "linear",
        matches: place === 0 ? undefined : "y", showticklabels: column === 0, exponentformat: "power",
        title: {text: column === 0 ? figure.unit : "", standoff: 4}, tickformat: "~g",
      };
      if (panel.title) {
        found.annotations.push({
          text: panel.title, xref: "paper", yref: "paper", x: left, y: top, xanchor: "left", yanchor: "bottom",
          showarrow: false, font: {size: 12.5},
        });
      }
    });
    return found;
  }

  const config = {
    displaylogo: false, responsive: false, displayModeBar: hovers,
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
  };
  const widths = new Map();

  function draw(place) {
    const figure = content.figures[Number(place.dataset.figure)];
    const width = Math.floor(place.parentElement.getBoundingClientRect().width);
    if (!width) return;
    widths.set(place, width);
    place.parentElement.classList.add("is-live");
    Plotly.react(place, traces(figure, width), layout(figure, width), config);
  }

  // One after the other, so that the page answers meanwhile.
  const places = [...document.querySelectorAll(".live[data-figure]")];
  const drawNext = () => {
    const place = places.shift();
    if (!place) return;
    draw(place);
    setTimeout(drawNext, 0);
  };
  drawNext();

  const redraw = (always) => {
    for (const [place, width] of widths) {
      const now = Math.floor(place.parentElement.getBoundingClientRect().width);
      if (now && (always || now !== width)) draw(place);
    }
  };
  let waiting = 0;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => redraw(false), 120);
  });
  dark.addEventListener("change", () => redraw(true));
})();
