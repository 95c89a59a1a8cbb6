/** Prints what a replay found. */
import { styleText } from "node:util";
import { count, tableOf } from "../text.ts";
import type { DenialsReport } from "./denials.ts";
import type { Result } from "./run.ts";
import type { Report } from "./tally.ts";
import type { Interval } from "./timeline.ts";

const BARS = " ▁▂▃▄▅▆▇█";
/** The column of policies in shadow. */
const WOULD_BE_DENIED = "would be denied";
/** Columns of a chart. */
const WIDTH = 60;

type Reported = Result["reports"][number];

/** Returns the report as text. Colours only on a terminal that wants them. */
export function printed({ lines, reports }: Result): string {
  const [first] = reports as [Reported];
  const parts = [
    `${count(first.requests, "request")} by ${count(first.clients, "client")}, from ${lines.from} to ${lines.to}`,
    ...noteOn(lines).map((note) => styleText("yellow", note)),
    ...reports.map((report, at) => section(report, titlesOf(reports)[at] ?? "")),
  ];
  return parts.join("\n");
}

/** What a reader should know of the lines that did not count as they stand. */
export function noteOn({ unreadable, skipped, late }: Result["lines"]): string[] {
  const notes = [
    unreadable > 0 && `${count(unreadable, "line")} could not be read`,
    skipped > 0 && `${count(skipped, "line")} held no request`,
    late > 0 &&
      `${count(late, "line")} came more than a minute late, and count at the time of the line before`,
  ];
  return notes.filter((note) => note !== false).map((note) => `Note: ${note}.`);
}

/** Returns the headings of the reports: where each list of policies comes from. */
export function titlesOf(reports: readonly Reported[]): string[] {
  const letters = reports.length > 1 ? ["A: ", "B: "] : [];
  return reports.map(({ source }, at) => `${letters[at] ?? ""}${source}`);
}

function section(report: Reported, title: string): string {
  const { omitted, shadow } = report;
  const out = ["", styleText("bold", title), headline(report)];
  if (hasShadow(report)) out.push(shadowLine(report));
  for (const { policy, why } of omitted) {
    out.push(styleText("yellow", `Note: policy "${policy}" is not replayed: ${why}.`));
  }
  const { head, rows } = policyTable(report);
  out.push(tableOf(head, rows), ...denialTables(report, "denied"));
  out.push(...denialTables(shadow, WOULD_BE_DENIED), ...chart(report.timeline));
  return out.join("\n");
}

/** Says how many requests were denied, and of how many clients. */
export function headline({ denied, requests, deniedClients, clients }: Reported): string {
  return `${amount(denied, requests)} requests denied, of ${amount(deniedClients, clients)} clients`;
}

/** Returns true if the report has a policy in shadow. */
export function hasShadow({ policies }: Pick<Report, "policies">): boolean {
  return policies.some(({ shadow }) => shadow);
}

/** Says what policies in shadow would deny of what passes. */
export function shadowLine({ shadow, requests, clients }: Omit<Report, "omitted">): string {
  const { denied, deniedClients } = shadow;
  return `Shadow policies would also deny ${amount(denied, requests)} requests, of ${amount(deniedClients, clients)} clients`;
}

function denialTables({ denied, worstClients, deniedPaths }: DenialsReport, column: string) {
  if (denied === 0) return [];
  return [
    tableOf(["client", "requests", column], worstClients.map(Object.values)),
    tableOf(["path", column], deniedPaths.map(Object.values)),
  ];
}

/** Returns the table of a report's policies. */
export function policyTable({ policies }: Pick<Report, "policies">) {
  const shares = Object.keys(policies[0]?.limits ?? {});
  const head = ["policy", "limit", "algorithm", "requests", "denied", "clients denied"];
  const rows = policies.map((policy) => [
    policy.shadow ? `${policy.name} (shadow)` : policy.name,
    withBurst(`${policy.limit} per ${policy.window}`, policy.burst),
    ...[policy.algorithm, policy.requests, policy.denied, policy.deniedClients],
    ...shares.map((share) => withBurst(policy.limits[share] ?? "", policy.bursts?.[share])),
  ]);
  return { head: [...head, ...shares.map((share) => `limit for ${share}`)], rows };
}

function withBurst<Limit>(limit: Limit, burst: number | undefined): Limit | string {
  return burst === undefined ? limit : `${limit}, burst ${burst}`;
}

/**
 * Lines of bars: requests, and of them those that were denied, and those that policies in shadow
 * would also deny.
 */
function chart(timeline: readonly Interval[]): string[] {
  const [first] = timeline;
  const last = timeline.at(-1);
  if (!first || !last) return [];
  const each = Math.ceil(timeline.length / WIDTH);
  const sums = (of: "requests" | "denied" | "shadow") =>
    Array.from({ length: Math.ceil(timeline.length / each) }, (_, at) =>
      timeline.slice(at * each, (at + 1) * each).reduce((sum, interval) => sum + interval[of], 0),
    );
  const requests = sums("requests");
  const most = Math.max(...requests);
  const bars = (values: number[]) =>
    values.map((value) => BARS[Math.ceil((value / most) * (BARS.length - 1))]).join("");
  const denials = (["denied", "shadow"] as const).map((of) => ({ of, values: sums(of) }));
  const shown = denials.filter(({ values }) => values.some((value) => value > 0));
  if (shown.length === 0) return [];
  return [
    `requests ${bars(requests)} at most ${most} in ${lengthOf(first.seconds * each)}`,
    ...shown.map(({ of, values }) => `${of.padEnd("requests".length)} ${bars(values)}`),
    `         ${first.from} to ${last.from}`,
  ];
}

function lengthOf(seconds: number): string {
  if (seconds % 86_400 === 0) return `${seconds / 86_400} d`;
  if (seconds % 3_600 === 0) return `${seconds / 3_600} h`;
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${seconds} s`;
}

function amount(part: number, whole: number): string {
  const share = whole === 0 ? 0 : (part / whole) * 100;
  return `${part} (${share.toFixed(share > 0 && share < 1 ? 2 : 1)} %) of ${whole}`;
}
