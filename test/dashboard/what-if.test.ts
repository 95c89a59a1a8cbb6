/** `npm run page` writes what the pages run. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { build } from "esbuild";
import { expect, it } from "vitest";
import { COMPARED, whatIf } from "../../src/dashboard/what-if.ts";

it("is in the repository as the algorithms are", async () => {
  const { outputFiles } = await build({
    stdin: {
      // Shorter than what esbuild writes for a global name.
      contents: `
        import { spoken } from "../limit/duration.ts";
        import { COMPARED, whatIf } from "./what-if.ts";
        globalThis.whatIf = { COMPARED, spoken, whatIf };`,
      resolveDir: new URL("../../src/dashboard", import.meta.url).pathname,
    },
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    target: "es2022",
  });
  await expect(outputFiles[0]?.text).toMatchFileSnapshot("../../src/dashboard/what-if.txt");
});

/** What the library brings to its place in `node_modules`. */
function uplotFile(name: string): string {
  return readFileSync(createRequire(import.meta.url).resolve(`uplot/dist/${name}`), "utf8");
}

it("has the chart's library as its package has it", async () => {
  await expect(uplotFile("uPlot.iife.min.js")).toMatchFileSnapshot("../../src/dashboard/uplot.txt");
});

it("has the library's style but for legend and title, which the page does not have", async () => {
  const style = uplotFile("uPlot.min.css").replace(
    /[^{}]*\.u-(?:legend|inline|title|series)[^{}]*\{[^}]*\}/g,
    "",
  );
  await expect(style).toMatchFileSnapshot("../../src/dashboard/uplot.css.txt");
});

it("decides as each algorithm says", () => {
  const edge = [...Array(10).fill(57_000), ...Array(10).fill(62_000)];
  const passing = COMPARED.map((name) => {
    const fates = whatIf(name, 10, 60_000, edge);
    return [name, fates.filter(({ allowed }) => allowed).length];
  });
  expect(Object.fromEntries(passing)).toEqual({
    "fixed-window": 20,
    "sliding-window": 10,
    "sliding-log": 10,
    "token-bucket": 10,
    "leaky-bucket": 10,
  });
});
