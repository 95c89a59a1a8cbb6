import { expect, it } from "vitest";
import { RuleMatcher } from "../../src/http/match/rule-matcher.ts";
import { parsePolicy } from "../../src/limit/policy.ts";

const MANY = 10_000;

function rules(pathOf: (n: number) => string) {
  return Array.from({ length: MANY }, (_, n) => {
    const path = pathOf(n);
    const name = path === "/*" ? `all-${n}` : `one-${n}`;
    return { policy: parsePolicy({ name, limit: 1, window: "1m", path }) };
  });
}

it("policies of single paths do not each keep a list of those of all paths", () => {
  const matcher = new RuleMatcher([...rules((n) => `/p${n}`), ...rules(() => "/*")]);
  const headers = new Headers();
  const met = (path: string) =>
    matcher.match({ req: { url: `https://a.example${path}`, method: "GET", raw: { headers } } });
  expect(met("/p7")?.[0]?.policy.name).toBe("one-7");
  const counts = ["/p7", "/p7/below", "/other", "/%707", "/*"].map((path) => met(path)?.length);
  expect(counts).toEqual([MANY + 1, MANY, MANY, MANY + 1, MANY]);
});
