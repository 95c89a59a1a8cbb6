/** The header that names the client, in the forms of real proxies, against real parsers. */
import "../fuzz/runs.ts";
import fc from "fast-check";
import forwarded from "forwarded";
import parseForwarded from "forwarded-parse";
import ipaddr from "ipaddr.js";
import { describe, expect, it } from "vitest";
import { readForwarded, whyNoAddress } from "../../src/http/key/forwarded.ts";
import { readAddress } from "../../src/limit/address-list.ts";

describe("the header that names the client", () => {
  it.each([
    ["nginx, HAProxy", "203.0.113.9, 198.51.100.1", "198.51.100.1"],
    ["nginx on a socket for both families", "203.0.113.9, ::ffff:198.51.100.1", "198.51.100.1"],
    ["Azure's gateway", "198.51.100.1:50001", "198.51.100.1"],
    ["Azure's gateway, IPv6", "203.0.113.9:1,[2001:db8::1]:443", "2001:db8::1"],
    [
      "AWS with client ports",
      "203.0.113.9, [2001:DB8::21f:5bff:febf:ce22]:41532",
      "2001:db8::21f:5bff:febf:ce22",
    ],
    ["CloudFront", "2001:db8::1:46532", "2001:db8::1"],
    ["CloudFront, no zeros", "2001:db8:1:2:3:4:5:6:443", "2001:db8:1:2:3:4:5:6"],
    ["an address in brackets", "[2001:db8::1]", "2001:db8::1"],
    ["IPv4 that is mapped into IPv6, with a port", "[::ffff:198.51.100.1]:80", "198.51.100.1"],
    ["a zone", "fe80::1%eth0", "fe80::1"],
    ["a zone as in URLs", "[fe80::1%25eth0]:80", "fe80::1"],
    ["quotes", '"198.51.100.1"', "198.51.100.1"],
    ["quotes and a port", '"[2001:db8::1]:443"', "2001:db8::1"],
    ["RFC 7239, IPv4", "for=192.0.2.43", "192.0.2.43"],
    [
      "RFC 7239, whole",
      'for=_gazonk, For="[2001:db8:cafe::17]:4711";proto=https;by=203.0.113.43',
      "2001:db8:cafe::17",
    ],
    ["RFC 7239, for= behind others", "proto=http; by=203.0.113.43 ;for=192.0.2.60", "192.0.2.60"],
    ["RFC 7239, a hidden port", 'for="192.0.2.43:_port"', "192.0.2.43"],
    ["RFC 7239, commas in quotes", 'for=192.0.2.1;host="a, for=192.0.2.2"', "192.0.2.1"],
    ["empty entries behind it", "203.0.113.9, 198.51.100.1, ,", "198.51.100.1"],
    ["an empty element behind it", "for=192.0.2.43, ;", "192.0.2.43"],
  ])("is read as written by %s", (_, text, address) => {
    expect(readForwarded(text)).toBe(address);
  });

  it.each([
    ['for=192.0.2.9;x="', 'for="[2001:db8::1]:443"', "2001:db8::1"],
    ['for=192.0.2.9;x="', "for=198.51.100.1", "198.51.100.1"],
    ['for="', "198.51.100.1", "198.51.100.1"],
    ['"', "198.51.100.1:80", "198.51.100.1"],
    ["for=192.0.2.9;", "198.51.100.1", "198.51.100.1"],
    ['for=192.0.2.9\\"', 'for="198.51.100.1";by="203.0.113.1"', "198.51.100.1"],
  ])("names the proxy's client, whatever a client wrote before: %s", (client, proxy, address) => {
    expect(readForwarded(`${client}, ${proxy}`)).toBe(address);
  });

  it.each([
    [null, "it is absent"],
    ["", "it is empty"],
    [" , ,", "it is empty"],
    ["203.0.113.9, unknown", 'its last entry is "unknown"'],
    ["for=unknown", 'its last entry is "unknown"'],
    ['for="_SEVKISEK"', "its last entry is hidden (RFC 7239, section 6.3)"],
    ["_hidden", "its last entry is hidden (RFC 7239, section 6.3)"],
    ["for=203.0.113.9, proto=https", "its last entry has no for="],
    ["for=203.0.113.9;for=203.0.113.8", "its last entry has no for="],
    ["203.0.113.9, gate.example", "its last entry is not an address"],
    ["203.0.113.9, unix:", "its last entry is not an address"],
  ])("tells why it names no client: %s", (text, fault) => {
    expect(readForwarded(text ?? "")).toBeUndefined();
    expect(whyNoAddress(text)).toBe(fault);
    expect(whyNoAddress(text)).not.toMatch(/203|gate|SEV/);
  });
});

const v4 = fc.ipV4();
const v6 = fc.ipV6().filter((text) => !text.includes("."));
const port = fc.integer({ min: 10_000, max: 65_535 });
/** A client, and how some proxy writes it. */
const node = fc.oneof(
  fc.tuple(v4, port).map(([host, at]) => [host, host, `${host}:${at}`] as const),
  fc.tuple(v6, port).map(([host, at]) => [host, `[${host}]`, `[${host}]:${at}`] as const),
);
const quoted = (text: string) => (/[[:]/.test(text) ? `"${text}"` : text);

describe("any list of entries", () => {
  it("has the last entry that the npm package `forwarded` finds", () => {
    const lists = fc.array(fc.oneof(v4, v6), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(lists, fc.constantFrom(", ", ",", " , "), (entries, comma) => {
        const text = entries.join(comma);
        const socket = { remoteAddress: "127.0.0.1" };
        const [, last = ""] = forwarded({ headers: { "x-forwarded-for": text }, socket } as never);
        expect(readForwarded(text)).toBe(readAddress(last.trim()));
        expect(readForwarded(text)).toBe(
          readAddress(ipaddr.process(entries.at(-1) as string).toString()),
        );
      }),
    );
  });

  it("in RFC 7239's form has the last entry that the npm package `forwarded-parse` finds", () => {
    const name = fc.constantFrom("for", "For", "FOR");
    const extra = fc.constantFrom("", ";proto=https", ";by=203.0.113.43", ';host="a,b;for=c"');
    const element = fc
      .tuple(node, fc.nat({ max: 2 }), name, extra)
      .map(([forms, at, key, more]) => `${key}=${quoted(forms[at] as string)}${more}`);
    fc.assert(
      fc.property(fc.array(element, { minLength: 1, maxLength: 3 }), (elements) => {
        const text = elements.join(", ");
        const last = parseForwarded(text).at(-1)?.for ?? "";
        const host = last.replace(/^\[(.*)\].*$/, "$1").replace(/^([\d.]+):\d+$/, "$1");
        expect(readForwarded(text), text).toBe(readAddress(host));
        expect(readForwarded(text)).toBeDefined();
      }),
    );
  });

  it("names one client, however its proxy writes the address", () => {
    fc.assert(
      fc.property(node, ([host, bare, withPort]) => {
        const spellings = [host, bare, withPort, `"${withPort}"`, `for="${withPort}"`];
        for (const text of spellings) expect(readForwarded(text), text).toBe(readAddress(host));
      }),
    );
  });
});
