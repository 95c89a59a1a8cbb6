/** The figures as a bar chart in SVG, drawn without a browser. */
import { type EChartsOption, init } from "echarts";
import type { Row } from "./rounds.ts";

const WIDTH_PX = 800;
const BAR_PX = 22;
const TITLE_PX = 44;
const GAP_PX = 12;
const CAPTION_PX = 24;
const NAMES_PX = 150;
/** Readable on GitHub's light and dark pages alike. */
const TEXT = "#7d8590";
const BAR = "#8b949e";
const TURNPIKE_BAR = "#f6821f";

/** What each workload measured, under its title. */
export type Results = Record<string, readonly Row[]>;

/** Draws requests per second relative to no limiter: one group of bars for each workload. */
export function chart(results: Results): string {
  const groups = Object.entries(results);
  const tops: number[] = [];
  let height = 0;
  for (const [, rows] of groups) {
    tops.push(height + TITLE_PX);
    height += TITLE_PX + rows.length * BAR_PX + GAP_PX;
  }
  const drawing = init(null, null, {
    renderer: "svg",
    ssr: true,
    width: WIDTH_PX,
    height: height + CAPTION_PX,
  });
  drawing.setOption({
    animation: false,
    textStyle: { fontFamily: "system-ui, sans-serif", color: TEXT },
    title: [
      ...groups.map(([text], at) => ({
        text,
        left: 0,
        top: (tops[at] as number) - TITLE_PX + 10,
        textStyle: { fontSize: 14, color: TEXT },
      })),
      {
        text: "requests per second ÷ those without a limiter",
        left: NAMES_PX,
        top: height,
        padding: 0,
        textStyle: { fontSize: 12, fontWeight: "normal", color: TEXT },
      },
    ],
    grid: groups.map(([, rows], at) => ({
      left: NAMES_PX,
      right: 110,
      top: tops[at] as number,
      height: rows.length * BAR_PX,
    })),
    xAxis: groups.map((_, gridIndex) => ({ gridIndex, type: "value", show: false, min: 0 })),
    yAxis: groups.map(([, rows], gridIndex) => ({
      gridIndex,
      type: "category",
      inverse: true,
      data: rows.map((row) => row.contender),
      axisLine: { show: false },
      axisTick: { show: false },
      axisLabel: { color: TEXT },
    })),
    series: groups.map(([, rows], at) => ({
      type: "bar",
      xAxisIndex: at,
      yAxisIndex: at,
      data: rows.map((row) => ({
        value: row.toFloor,
        itemStyle: { color: row.contender.startsWith("turnpike") ? TURNPIKE_BAR : BAR },
        label: { show: true, position: "right", color: TEXT, formatter: labelOf(row) },
      })),
    })),
  } satisfies EChartsOption);
  const svg = drawing.renderToSVGString();
  drawing.dispose();
  return svg;
}

function labelOf({ toFloor, requestsPerSecond }: Row): string {
  return `${toFloor.toFixed(2)}  (${Math.round(requestsPerSecond).toLocaleString("en")}/s)`;
}
