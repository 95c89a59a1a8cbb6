/** `npm run page` writes what the pages run. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { build } from "esbuild";
import { expect, it } from "vitest";
import { COMPARED, whatIf } from "../../src/dashboard/what-if.ts";

it("is in the repository as the algorithms are", async () => {
  const { outputFiles } = await build({
    entryPoints: [new URL("../../src/dashboard/what-if.ts", import.meta.url).pathname],
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    globalName: "whatIf",
    target: "es2022",
  });
  await expect(outputFiles[0]?.text).toMatchFileSnapshot("../../src/dashboard/what-if.txt");
});

it.each([
  ["uPlot.iife.min.js", "uplot.txt"],
  ["uPlot.min.css", "uplot.css.txt"],
])("has %s as the package has it", async (name, copy) => {
  const text = readFileSync(createRequire(import.meta.url).resolve(`uplot/dist/${name}`), "utf8");
  await expect(text).toMatchFileSnapshot(`../../src/dashboard/${copy}`);
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
