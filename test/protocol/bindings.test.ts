import { afterEach, describe, expect, it, vi } from "vitest";
import { wrongClass } from "../../src/protocol/bindings.ts";

afterEach(() => vi.restoreAllMocks());

describe("an object that lacks a method", () => {
  it.each([
    ["ringIfUsed", "TURNPIKE_MEMBERSHIP"],
    ["policies", "TURNPIKE_MEMBERSHIP"],
    ["adoptPolicies", "TURNPIKE_MEMBERSHIP"],
    ["check", "TURNPIKE_OWNERS"],
    ["takeOver", "TURNPIKE_OWNERS"],
  ])("of the name %s has the binding %s", (method, binding) => {
    vi.spyOn(console, "error").mockImplementation(() => {});
    const error = new TypeError(`The RPC receiver does not implement the method "${method}".`);
    expect(wrongClass(error)).toMatch(new RegExp(`^${binding} must be`));
  });
});
