/** What people and programs write where a value is due: near the truth, or anything. */
import fc from "fast-check";

const ODD_TEXTS = [
  "",
  "0",
  "-1",
  "1e9",
  "NaN",
  "null",
  "__proto__",
  "60s",
  "1d",
  "0s",
  "999ms",
  "367d",
  "\0",
  "é",
];
const ODD_VALUES = [0, -0, 1, -1, 1.5, 1e9, 2 ** 53, Number.NaN, Infinity, null, undefined, true];

const anything: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(...ODD_VALUES, ...ODD_TEXTS),
  fc.string({ unit: "binary", maxLength: 20 }),
  fc.anything({ maxDepth: 2, withBigInt: true, withNullPrototype: true }),
);

type Fields = Record<string, fc.Arbitrary<unknown>>;

/** An object whose fields are right, but now and then one is wrong, missing, or one too many. */
export function record(required: Fields, optional: Fields = {}): fc.Arbitrary<unknown> {
  const each = Object.entries({ ...required, ...optional }).map(
    ([name, good]) => [name, mostly(good)] as const,
  );
  const near = fc.record(Object.fromEntries(each), { requiredKeys: Object.keys(required) });
  const more = mostly(fc.constant({}), fc.dictionary(fc.string(), anything, { maxKeys: 2 }));
  return mostly(fc.tuple(near, more).map(([one, other]) => Object.assign({}, one, other)));
}

function mostly(good: fc.Arbitrary<unknown>, bad = anything): fc.Arbitrary<unknown> {
  return fc.oneof({ weight: 40, arbitrary: good }, { weight: 1, arbitrary: bad });
}

export const inlinePolicy = {
  limit: fc.oneof({ weight: 20, arbitrary: fc.integer({ min: 1, max: 10_000 }) }, fc.constant(0)),
  window: fc.constantFrom("1s", "60s", "15m", "24h", "366d"),
};

export const policy = record(
  { name: fc.stringMatching(/^[A-Za-z0-9._-]{2,8}$/), ...inlinePolicy },
  { algorithm: fc.constantFrom("fixed-window", "sliding-window", "sliding-log", "concurrency") },
);

const durations = fc.constantFrom("1s", "10m", "1d", "366d");
const blockFor = fc.oneof(durations, record({ first: durations }, { max: durations }));

export const fixedWindow = record(
  { name: fc.stringMatching(/^[A-Za-z0-9._-]{2,8}$/), ...inlinePolicy },
  { start: fc.constantFrom("aligned", "first"), blockFor },
);

const refusal = fc.oneof(
  record(
    {},
    {
      status: fc.constantFrom(400, 403, 429, 503),
      body: fc.oneof(fc.string(), fc.object({ maxDepth: 2, withBigInt: true })),
      type: fc.constantFrom("text/html", "text/html;charset=utf-8", "a/b"),
    },
  ),
  record(
    {
      redirect: fc.oneof(
        fc.webUrl(),
        fc.webPath(),
        fc.string().map((text) => `/${text}`),
      ),
    },
    { status: fc.constantFrom(302, 303) },
  ),
);

export const siteFields = record(
  { name: fc.stringMatching(/^[A-Za-z0-9._-]{2,8}$/), ...inlinePolicy },
  { refusal },
);

export const bucket = record({
  ...inlinePolicy,
  algorithm: fc.constantFrom("token-bucket", "leaky-bucket"),
  burst: fc.integer({ min: 1, max: 1e9 }),
});
