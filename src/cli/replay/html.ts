/** The report of a replay as one page with charts. It needs no other file and no network. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { html, raw } from "hono/html";
import type { DenialsReport } from "./denials.ts";
import { hasShadow, headline, noteOn, policyTable, shadowLine, titlesOf } from "./print.ts";
import type { Result } from "./run.ts";

type Reported = Result["reports"][number];

const STYLE = `
:root { color-scheme: light dark; --text: light-dark(#1b1b1f, #e6e6ea); --line: light-dark(#d9d9e0, #3a3a42); }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); margin: 0 auto; padding: 2rem 1rem; max-width: 60rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
.wide { overflow-x: auto; } .chart { margin: 1rem 0; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .8rem; border-bottom: 1px solid var(--line); } td + td { white-space: nowrap; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; min-width: 8rem; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
@media (max-width: 56rem) {
  .policies thead { display: none; } .policies td { display: flex; justify-content: space-between; gap: 1rem; }
  .policies td::before { content: attr(data-name); } .policies tr { display: block; margin-bottom: 1rem; }
}`;

/**
 * A browser in the locale C has a language that uPlot cannot read. Runs in the browser, before it.
 */
const LANGUAGE = `
try { new Intl.NumberFormat(navigator.language); }
catch { Object.defineProperty(navigator, "language", { value: "en" }); }`;

/** Draws the charts in the page. Runs in the browser. */
const DRAW = `
const DENIED = "#d0503f";
const HATCHED = "repeating-linear-gradient(135deg, " + DENIED + " 0 1px, transparent 1px 3px)";
// Told apart by their filling, also without colours.
const hatch = () => {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const pen = tile.getContext("2d");
  pen.strokeStyle = DENIED;
  for (const x of [-6, 0, 6]) { pen.moveTo(x, 6); pen.lineTo(x + 6, 0); }
  pen.stroke();
  return pen.createPattern(tile, "repeat");
};
const utc = (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC");
for (const chart of document.querySelectorAll(".chart")) {
  const intervals = JSON.parse(chart.dataset.intervals);
  const color = getComputedStyle(document.body).color;
  const axis = { stroke: color, grid: { stroke: "#8884", width: 1 } };
  const hasShadow = intervals.some(({ shadow }) => shadow > 0);
  const bars = (label, stroke, fill, value) =>
    ({ label, stroke, fill, value, paths: uPlot.paths.bars({ size: [0.9], align: 1 }), points: { show: false } });
  new uPlot({
    width: chart.clientWidth, height: 260, tzDate: utc,
    series: [
      { label: "UTC" },
      bars("requests", "#4a7bd0", "#4a7bd040"),
      // On top of what is denied.
      ...(hasShadow ? [bars("would be denied", DENIED, hatch(), (_, sum, __, at) => at === null ? "--" : intervals[at].shadow)] : []),
      bars("denied", DENIED, DENIED),
    ],
    legend: { markers: { width: 1, fill: (_, at) => at === 1 ? "#4a7bd040" : hasShadow && at === 2 ? HATCHED : DENIED } },
    axes: [axis, axis],
    scales: { x: { range: (_, from, to) => [from, to + intervals[0].seconds] }, y: { range: (_, least, most) => [0, most || 1] } },
  }, [
    intervals.map(({ from }) => Date.parse(from) / 1000),
    intervals.map(({ requests }) => requests),
    ...(hasShadow ? [intervals.map(({ denied, shadow }) => denied + shadow)] : []),
    intervals.map(({ denied }) => denied),
  ], chart);
}`;

export function htmlOf({ lines, reports }: Result): string {
  const [first] = reports as [Reported];
  return String(html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Turnpike: replay of a log</title>
<style>${raw(fileOf("uplot/dist/uPlot.min.css"))}${raw(STYLE)}</style>
</head>
<body>
<h1>What these limits would have done</h1>
<p>${first.requests} requests by ${first.clients} clients, from ${lines.from} to ${lines.to}.</p>
${noteOn(lines).map((note) => html`<p>${note}</p>`)}
${reports.map((report, at) => section(report, titlesOf(reports)[at] ?? ""))}
<script>${raw(LANGUAGE)}${raw(fileOf("uplot/dist/uPlot.iife.min.js"))}${raw(DRAW)}</script>
</body>
</html>
`);
}

function section(report: Reported, title: string) {
  const { timeline, omitted, shadow } = report;
  const { head, rows } = policyTable(report);
  return html`
<h2>${title}</h2>
<p>${headline(report)}.</p>
${hasShadow(report) ? html`<p>${shadowLine(report)}.</p>` : ""}
${omitted.map(({ policy, why }) => html`<p>Policy "${policy}" is not replayed: ${why}.</p>`)}
<div class="chart" data-intervals="${JSON.stringify(timeline)}" role="img" aria-label="Requests and denials over time"></div>
${table("Policies", head, rows, "policies")}
${denialTables(report, "denied")}
${denialTables(shadow, "that shadow policies would deny")}`;
}

function denialTables({ worstClients, deniedPaths }: DenialsReport, what: string) {
  const column = what === "denied" ? what : "would be denied";
  return html`${table(`Clients ${what} most`, ["client", "requests", column], worstClients.map(Object.values))}
${table(`Paths ${what} most`, ["path", column], deniedPaths.map(Object.values))}`;
}

function table(caption: string, head: string[], rows: (string | number)[][], name = "") {
  if (rows.length === 0) return "";
  return html`
<div class="wide"><table class="${name}">
<caption>${caption}</caption>
<thead><tr>${head.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
<tbody>${rows.map((row) => html`<tr>${row.map((cell, at) => html`<td data-name="${head[at]}">${cell}</td>`)}</tr>`)}</tbody>
</table></div>`;
}

function fileOf(name: string): string {
  return readFileSync(createRequire(import.meta.url).resolve(name), "utf8");
}
