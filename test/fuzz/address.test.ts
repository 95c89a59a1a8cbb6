import "./runs.ts";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { clientAddress, clientKey } from "../../src/http/key/identity.ts";
import { addressListSchema, isListed, readAddress } from "../../src/limit/address-list.ts";

const USUAL = { ipHeader: "X-Address", ipv6Prefix: 64 };

const octets = fc.array(fc.nat({ max: 255 }), { minLength: 4, maxLength: 4 });
const words = fc.array(fc.oneof(fc.constantFrom(0, 0xffff), fc.nat({ max: 0xffff })), {
  minLength: 8,
  maxLength: 8,
});
const near = fc.array(fc.constantFrom(..."0123456789abcdefG.:/%[] ,\0", "::", "ffff"), {
  maxLength: 20,
});

function keyOf(text: string, options = USUAL): string[] {
  const headers = new Headers({ "X-Address": text });
  return clientKey(clientAddress(headers, options), { headers }, options);
}

function bits(text: string): string {
  const bytes = ipaddr.isValid(text) ? ipaddr.process(text).toByteArray() : [];
  return bytes.map((byte) => byte.toString(2).padStart(8, "0")).join("");
}

/** The key by an independent reader. */
function keyByLibrary(text: string, ipv6Prefix: number): string {
  const bare = text.replace(/%.*/, "");
  const written = [
    bare,
    /^\[(.*)\](?::[\w.-]*)?$/.exec(text)?.[1]?.replace(/%.*/, ""),
    // Not `::` and a port, whose colon is a part of the address.
    /^(.*[^:]):\d{1,5}$/.exec(bare)?.[1],
  ];
  const host = written.find(
    (each) => each && (ipaddr.IPv4.isValidFourPartDecimal(each) || ipaddr.IPv6.isValid(each)),
  );
  if (!host) return "unknown";
  const address = ipaddr.process(host);
  if (address instanceof ipaddr.IPv4) return address.toString();
  return `${ipaddr.IPv6.networkAddressFromCIDR(`${address}/${ipv6Prefix}`)}/${ipv6Prefix}`;
}

/** The same address as some other program writes it. */
function spellings(parts: readonly number[]): string[] {
  const hex = parts.map((word) => word.toString(16));
  const padded = hex.map((word) => word.padStart(4, "0"));
  const low = parts.slice(6).flatMap((word) => [word >> 8, word & 255]);
  const at = parts.indexOf(0);
  const shortened = at < 0 ? [] : [`${hex.slice(0, at).join(":")}::${hex.slice(at + 1).join(":")}`];
  const mixed = `${hex.slice(0, 6).join(":")}:${low.join(".")}`;
  return [hex.join(":"), padded.join(":"), padded.join(":").toUpperCase(), mixed, ...shortened];
}

describe("any address", () => {
  it("is one key in all its spellings", () => {
    fc.assert(
      fc.property(words, fc.integer({ min: 32, max: 128 }), (parts, ipv6Prefix) => {
        const keys = spellings(parts).map((text) => keyOf(text, { ...USUAL, ipv6Prefix }).join());
        expect(new Set(keys).size, spellings(parts).join(" ")).toBe(1);
        expect(keys[0]).not.toBe("unknown");
      }),
    );
  });

  it("has the key that ipaddr.js would give it", () => {
    fc.assert(
      fc.property(words, fc.integer({ min: 32, max: 128 }), (parts, ipv6Prefix) => {
        for (const text of spellings(parts)) {
          const expected = keyByLibrary(text, ipv6Prefix);
          expect(keyOf(text, { ...USUAL, ipv6Prefix }), text).toEqual([expected]);
        }
      }),
    );
  });

  it("of IPv4 is itself, wrapped in IPv6 or not", () => {
    fc.assert(
      fc.property(octets, ([a = 0, b = 0, c = 0, d = 0]) => {
        const text = `${a}.${b}.${c}.${d}`;
        const wrapped = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
        for (const each of [text, `::ffff:${text}`, `::FFFF:${wrapped}`, `9.9.9.9, ${text}`]) {
          expect(keyOf(each), each).toEqual([text]);
        }
      }),
    );
  });

  it("counts with its whole network, and no other", () => {
    const prefixes = fc.integer({ min: 32, max: 128 });
    fc.assert(
      fc.property(words, words, fc.nat({ max: 128 }), prefixes, (one, tail, same, ipv6Prefix) => {
        fc.pre(one[0] !== 0);
        const [a = "", b = ""] = [one, tail].map((parts) => bits(parts.map(hexOf).join(":")));
        const other = addressOf(a.slice(0, same) + b.slice(same));
        const together = other.bits.slice(0, ipv6Prefix) === a.slice(0, ipv6Prefix);
        fc.pre(other.bits.length === 128);
        const [first, second] = [one.map(hexOf).join(":"), other.text].map((text) =>
          keyOf(text, { ...USUAL, ipv6Prefix }).join(),
        );
        expect(first === second).toBe(together);
      }),
    );
  });

  it("is on a list exactly if it begins with a network's bits", () => {
    const hosts = fc.oneof(
      octets.map((parts) => parts.join(".")),
      words.map((parts) => parts.map(hexOf).join(":")),
    );
    fc.assert(
      fc.property(
        hosts,
        hosts,
        fc.nat({ max: 128 }),
        fc.nat({ max: 40 }),
        (host, own, at, keep) => {
          const base = bits(own);
          const length = Math.min(at, base.length);
          const list = v.parse(addressListSchema, [`${own}/${length}`]);
          const shared = base.slice(0, keep) + bits(host).slice(keep);
          for (const text of [host, ...(shared.length === base.length ? [textOf(shared)] : [])]) {
            const sought = bits(text);
            const expected =
              sought.length === base.length && sought.startsWith(base.slice(0, length));
            expect(isListed(readAddress(text), list), `${text} ${own}/${length}`).toBe(expected);
          }
        },
      ),
    );
  });
});

describe("any text", () => {
  it("is an address exactly if it is one for ipaddr.js", () => {
    fc.assert(
      fc.property(near, (parts) => {
        const text = parts.join("");
        // Where the library is more liberal: octal octets, and `::1.2.3.4` as if it were mapped.
        fc.pre(!/[.:]0\d+\.|\.0\d|^::[\d.]+$/.test(text) && !/[ ,\0]/.test(text));
        expect(keyOf(text), text).toEqual([keyByLibrary(text, 64)]);
      }),
    );
  });

  it("is an address, or `unknown` and a list's mistake", () => {
    const texts = fc.oneof(
      near.map((parts) => parts.join("")),
      fc.string({ unit: "binary" }),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const address = readAddress(text);
        const list = v.safeParse(addressListSchema, [text]);
        if (address) {
          expect(list.success).toBe(true);
          expect(readAddress(address)).toBe(address);
        } else if (!text.includes("/")) {
          expect(list.success).toBe(false);
        }
        if (/[^\x20-\x7e]|^\s|\s$|,/.test(text)) return;
        if (address) expect(keyOf(text)).not.toEqual(["unknown"]);
      }),
    );
  });
});

function hexOf(word: number): string {
  return word.toString(16);
}

function addressOf(text: string): { text: string; bits: string } {
  return { text: textOf(text), bits: bits(textOf(text)) };
}

function textOf(binary: string): string {
  const size = binary.length === 32 ? 8 : 16;
  const parts = binary.match(new RegExp(`.{${size}}`, "g")) ?? [];
  const numbers = parts.map((part) => Number.parseInt(part, 2));
  return size === 8 ? numbers.join(".") : numbers.map(hexOf).join(":");
}
