import { describe, expect, it } from "vitest";
import { clientAddress, clientKey as keyOfClient } from "../../src/http/key/identity.ts";

const USUAL = { ipHeader: "CF-Connecting-IP", ipv6Prefix: 64 };

function clientKey(headers: Headers, change: Partial<typeof USUAL> = {}) {
  const options = { ...USUAL, ...change };
  return keyOfClient(clientAddress(headers, options), { headers }, options);
}

function keyOf(address: string, headers: Record<string, string> = {}) {
  return clientKey(new Headers({ "CF-Connecting-IP": address, ...headers }));
}

describe("identity", () => {
  it("is the address that Cloudflare saw", () => {
    expect(keyOf("203.0.113.7")).toEqual(["203.0.113.7"]);
  });

  it("unwraps IPv4 that is mapped into IPv6, in either spelling", () => {
    expect(keyOf("::ffff:1.2.3.4")).toEqual(["1.2.3.4"]);
    expect(keyOf("::FFFF:0102:0304")).toEqual(["1.2.3.4"]);
  });

  it("leaves other forms of IPv4 in IPv6 as they are, in either spelling", () => {
    for (const address of ["::1.2.3.4", "::102:304"]) expect(keyOf(address)).toEqual(["::/64"]);
    for (const address of ["64:ff9b::1.2.3.4", "64:FF9B::102:304"]) {
      expect(keyOf(address)).toEqual(["64:ff9b::/64"]);
    }
  });

  it("shortens the first of the longest runs of zeros, but no single one", () => {
    const keys = {
      "1:0:0:2:3:0:0:4": "1::2:3:0:0:4/128",
      "1:0:0:2:0:0:0:3": "1:0:0:2::3/128",
      "0:1:2:3:4:5:6:7": "0:1:2:3:4:5:6:7/128",
      "1:2:3:4:5:6:7::": "1:2:3:4:5:6:7:0/128",
      "0:0:0:0:0:0:0:0": "::/128",
    };
    for (const [address, key] of Object.entries(keys)) {
      const headers = new Headers({ "CF-Connecting-IP": address });
      expect(clientKey(headers, { ipv6Prefix: 128 })).toEqual([key]);
    }
  });

  it("puts all addresses of one /64 together, and those of others apart", () => {
    expect(keyOf("2001:db8:0:1::1")).toEqual(["2001:db8:0:1::/64"]);
    expect(keyOf("2001:DB8:0:1:ffff:ffff:ffff:ffff")).toEqual(["2001:db8:0:1::/64"]);
    expect(keyOf("2001:db8:0:2::1")).toEqual(["2001:db8:0:2::/64"]);
  });

  it("cuts IPv6 where the operator says", () => {
    const headers = new Headers({ "CF-Connecting-IP": "2001:db8:1:2:3:4:5:6" });
    expect(clientKey(headers, { ipv6Prefix: 32 })).toEqual(["2001:db8::/32"]);
    expect(clientKey(headers, { ipv6Prefix: 60 })).toEqual(["2001:db8:1::/60"]);
    expect(clientKey(headers, { ipv6Prefix: 128 })).toEqual(["2001:db8:1:2:3:4:5:6/128"]);
  });

  it("is one shared `unknown` if the address is absent or garbled", () => {
    expect(clientKey(new Headers())).toEqual(["unknown"]);
    const garbled = [
      "",
      " ",
      "localhost",
      "1.2.3",
      "127.1",
      "0x7f000001",
      "1.2.3.4.5",
      "256.1.1.1",
      "01.2.3.4",
      ":::",
      "g::1",
      "1::2::3",
      "::00001",
      "::\t1",
      "::1]/[::2",
      "::ffff:01.2.3.4",
      "::ffff:0x7f.0.0.1",
      "1.2.3.4:port",
      "1.2.3:80",
      ":80",
      "[::1",
      "[::1]x",
      "[]:80",
      "%eth0",
      "unknown",
      "_hidden",
      "unix:",
    ];
    for (const address of garbled) {
      expect(keyOf(address), address).toEqual(["unknown"]);
    }
  });

  it("takes nothing from X-Forwarded-For and its like", () => {
    const forged = {
      "X-Forwarded-For": "9.9.9.9",
      "X-Real-IP": "9.9.9.9",
      Forwarded: "for=9.9.9.9",
    };
    expect(keyOf("203.0.113.7", forged)).toEqual(["203.0.113.7"]);
    expect(clientKey(new Headers(forged))).toEqual(["unknown"]);
  });

  it("takes the last entry of a header that the operator names", () => {
    const headers = new Headers({ "X-Forwarded-For": "9.9.9.9, 203.0.113.7" });
    expect(clientKey(headers, { ipHeader: "X-Forwarded-For" })).toEqual(["203.0.113.7"]);
  });

  it("takes the last element of Forwarded, if the operator names it", () => {
    const headers = new Headers({ Forwarded: "for=9.9.9.9" });
    headers.append("Forwarded", 'For="[2001:db8:cafe::17]:4711";proto=https;by=203.0.113.43');
    expect(clientKey(headers, { ipHeader: "Forwarded" })).toEqual(["2001:db8:cafe::/64"]);
  });

  it("tells Workers of other zones apart, which share one address", () => {
    const address = "2a06:98c0:3600::103";
    expect(keyOf(address, { "CF-Worker": "a.example" })).toEqual([address, "a.example"]);
    expect(keyOf(address, { "CF-Worker": "b.example" })).toEqual([address, "b.example"]);
    expect(keyOf("2a06:98c0:3600:0:0:0:0:103", { "CF-Worker": "a.example" })).toEqual([
      address,
      "a.example",
    ]);
    expect(keyOf("203.0.113.7", { "CF-Worker": "a.example" })).toEqual(["203.0.113.7"]);
  });
});
