/** The parts of a key as an operator writes them, beside those of a request. */
import { expect, it } from "vitest";
import { partsUnder } from "../../src/http/api/client-keys.ts";
import { keyOf } from "../../src/http/key/identity.ts";
import type { Address } from "../../src/limit/address-list.ts";

const OPTIONS = { ipv6Prefix: 64, ipHeader: "CF-Connecting-IP" };

it.each([
  ["country", "de"],
  ["country", "T1"],
  ["host", "Shop.Example"],
  ["method", "head"],
  ["method", "brew"],
  ["asn", "64500"],
])("%s: an operator may write %s", (part, written) => {
  const policy = { name: "pair", key: ["ip/48", part] };
  const raw = {
    headers: new Headers(),
    cf: { country: written.toUpperCase(), asn: 64_500 },
  };
  const method = written === "brew" ? "BREW" : "HEAD";
  const c = { req: { method, url: "https://shop.example/", raw } };
  const client = "2001:db8:7:1::9" as Address;
  const key = keyOf(c, policy, client, OPTIONS);
  expect(partsUnder(policy, ["2001:DB8:7:2::1", written], OPTIONS)).toEqual(key);
});
