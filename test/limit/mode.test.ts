import { describe, expect, it } from "vitest";
import { parsePolicy } from "../../src/limit/policy.ts";

const VALID = { limit: 10, window: "60s" };

describe("mode", () => {
  it.each([
    ["before", "before", ["GET", "HEAD"]],
    ["alongside", "alongside", ["GET", "HEAD"]],
    ["after", "after", ["GET", "HEAD"]],
    [{ alongside: ["POST"] }, "alongside", ["POST"]],
    [{ alongside: ["POST", "GET"] }, "alongside", ["POST", "GET", "HEAD"]],
  ])("is read from %j", (given, mode, aheadMethods) => {
    expect(parsePolicy({ ...VALID, mode: given })).toMatchObject({ mode, aheadMethods });
  });

  const RULE =
    'mode must be "before", "alongside" or "after", or a table of methods such as { alongside = ["GET", "POST"] }';
  const ALONGSIDE = { mode: "alongside" };

  it.each([
    [{ mode: "later" }, `${RULE}, got "later"`],
    [{ mode: 5 }, `${RULE}, got 5`],
    [{ mode: null }, `${RULE}, got null`],
    [{ mode: ["alongside"] }, `${RULE}, got ["alongside"]`],
    [{ mode: {} }, "mode.alongside is required, got nothing"],
    [
      { mode: { alongside: ["GET"], before: ["POST"] } },
      'mode.before is not a known field, got ["POST"]',
    ],
    [{ mode: { alongside: [] } }, 'mode.alongside must be a list such as ["POST"], got []'],
    [
      { mode: { alongside: ["get"] } },
      'mode.alongside[0] must be a method in capitals such as "POST", got "get"',
    ],
    [
      { ...ALONGSIDE, algorithm: "concurrency" },
      'mode must be "before" with "concurrency", which says when a handler starts, got "alongside"',
    ],
    [
      { ...ALONGSIDE, algorithm: "leaky-bucket" },
      'mode must be "before" with "leaky-bucket", which says when a handler starts, got "alongside"',
    ],
    [
      { ...ALONGSIDE, maxWait: "1s" },
      'mode must be "before" with "maxWait", which says when a handler starts, got "alongside"',
    ],
    [
      { mode: "after", durable: true },
      'mode must be "before" or "alongside" with "durable", which waits for the owner, got "after"',
    ],
    [
      { mode: "after", charge: "failure" },
      'mode must be "before" or "alongside" with "charge", which waits for the owner, got "after"',
    ],
    [
      { mode: "after", actual: "bytes" },
      'mode must be "before" or "alongside" with "actual", which waits for the owner, got "after"',
    ],
    [
      { ...ALONGSIDE, method: ["POST"] },
      'mode must be "before" or { alongside = ["POST"] } where "method" is ["POST"], got "alongside"',
    ],
  ])("refuses %j", (fields, message) => {
    expect(() => parsePolicy({ ...VALID, ...fields })).toThrow(message);
  });
});
