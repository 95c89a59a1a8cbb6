/**
 * Keys: one client has one key however he writes himself, two clients have two, and what any server
 * reads behind the gate is what was counted.
 */
import "./runs.ts";
import fc from "fast-check";
import { Context } from "hono";
import { describe, expect, it } from "vitest";
import { clientAddress, keyOf } from "../../src/http/key/identity.ts";
import { headerNormalizer } from "../../src/http/key/normalize-headers.ts";
import {
  MISSING,
  readCookie,
  readHeader,
  readParameter,
} from "../../src/http/key/request-values.ts";
import { parsePolicy } from "../../src/limit/policy.ts";

const OPTIONS = { ipHeader: "X-Client", ipv6Prefix: 64 };

/** What tells clients apart, each as a model has it: undefined where it is absent. */
interface Client {
  address: string | undefined;
  host: string;
  method: string;
  country: string | undefined;
  asn: number | undefined;
  ja4: string | undefined;
  category: string | undefined;
  token: string | undefined;
  apiKey: string | undefined;
  session: string | undefined;
  tenant: string | undefined;
}

/** How a client writes himself; each number picks one of the ways there are. */
type Ways = Record<keyof Client, number>;

const FIELD_OF: Record<string, keyof Client> = {
  ip: "address",
  "ip/64": "address",
  host: "host",
  method: "method",
  country: "country",
  asn: "asn",
  ja4: "ja4",
  "header:Authorization": "token",
  "header:X-Api-Key": "apiKey",
  "cookie:session": "session",
  "query:tenant": "tenant",
};

const word = fc.stringMatching(/^[\w.~-]{1,4}$/);
/** As browsers and frameworks write into cookies, JSON and other alphabets included. */
const value = fc.oneof(
  word,
  fc.stringMatching(/^[!#$&'()*+./:<>?@[\]^_`{|}~\w-]{1,6}$/).filter((text) => !/^[{[]/.test(text)),
  fc.record({ id: fc.nat({ max: 3 }), name: word }).map((json) => JSON.stringify(json)),
  fc.constantFrom("é", "è", "日本", "x".repeat(6_000), "y".repeat(6_000)),
);
const client: fc.Arbitrary<Client> = fc.record({
  address: optional(fc.constantFrom("192.0.2.1", "192.0.2.2", "2001:db8:1::", "2001:db8:2::")),
  host: fc.constantFrom("a.example", "b.example", "xn--bcher-kva.example", "127.0.0.1"),
  method: fc.constantFrom("GET", "POST", "DELETE", "other"),
  country: optional(fc.constantFrom("DE", "T1")),
  asn: optional(fc.constantFrom(1, 2)),
  ja4: optional(fc.constantFrom("t13d1516h2", "t13d1517h2")),
  category: optional(fc.constantFrom("Search Engine Crawler", "Monitoring & Analytics")),
  token: optional(word.filter((text) => !/=/.test(text))),
  apiKey: optional(fc.stringMatching(/^[!-+\--~](?:[ -+\--~]{0,4}[!-+\--~])?$/)),
  session: optional(value),
  tenant: optional(fc.oneof(value, fc.constantFrom("a b", "a+b", "a&b", "a=b", "a;b", "a#b"))),
});
const ways: fc.Arbitrary<Ways> = fc.record(
  Object.fromEntries(
    Object.keys({ ...FIELD_OF, category: "" })
      .concat()
      .map((part) => [FIELD_OF[part] ?? "category", fc.nat({ max: 1_000 })]),
  ),
) as fc.Arbitrary<Ways>;
const parts = fc.uniqueArray(fc.constantFrom(...Object.keys(FIELD_OF)), {
  minLength: 1,
  maxLength: 4,
});

function optional<Value>(some: fc.Arbitrary<Value>) {
  return fc.oneof({ weight: 4, arbitrary: some }, { weight: 1, arbitrary: fc.constant(undefined) });
}

function pick<Value>(way: number, ...values: Value[]): Value {
  return values[way % values.length] as Value;
}

/** The request of a client, written in one way of many. */
function requestOf(one: Client, way: Ways): Request {
  const { address, host, method, token, apiKey, session, tenant } = one;
  const headers = new Headers();
  if (address) headers.set("X-Client", writtenAddress(address, way.address));
  else if (way.address % 2) headers.set("X-Client", pick(way.address, "unknown", "_x", "gate"));
  if (token) {
    const scheme = pick(way.token, "Bearer", "bearer", "BEARER", "bEARER");
    headers.set("Authorization", `${scheme}${pick(way.token, " ", "  ", "\t")}${token}`);
  }
  if (apiKey) headers.set(pick(way.apiKey, "X-Api-Key", "x-api-key"), apiKey);
  const cookies = [`theme=${way.session}`];
  if (session) cookies.splice(way.session % 2, 0, `session=${writtenCookie(session, way.session)}`);
  headers.set("Cookie", cookies.join(pick(way.session, "; ", ";")));
  const query = [`q=${way.tenant}`];
  if (tenant) query.splice(way.tenant % 2, 0, writtenParameter(tenant, way.tenant));
  const methods = method === "other" ? ["PROPFIND", "MKCOL"] : [method];
  const request = new Request(`https://${writtenHost(host, way.host)}/?${query.join("&")}`, {
    method: pick(way.method, ...methods, ...(method === "GET" ? ["HEAD"] : methods)),
    headers,
  });
  return Object.defineProperty(request, "cf", { value: cfOf(one, way) });
}

function writtenAddress(address: string, way: number): string {
  const host = address.includes(":") ? `${address}${(way % 9).toString(16)}` : address;
  const bracketed = host.includes(":") ? `[${host}]` : host;
  const mapped = host.includes(":") ? host.toUpperCase() : `::ffff:${host}`;
  const forms = [host, mapped, `${bracketed}:443`, `"${bracketed}:8080"`, `for="${bracketed}"`];
  return `${pick(way, "", "203.0.113.9, ", "junk,")}${pick(way, ...forms)}${pick(way, "", ",")}`;
}

function writtenHost(host: string, way: number): string {
  const names = host.startsWith("xn--") ? [host, "bücher.example", "BÜCHER.example"] : [host];
  if (host === "127.0.0.1") names.push("0x7f.1", "127.1");
  else names.push(host.toUpperCase(), `${host}.`, host.replace(".", ".."));
  return pick(way, ...names) + pick(way, "", ":8443", ":443");
}

function writtenCookie(text: string, way: number): string {
  const encoded = encodeURIComponent(text);
  const raw = text.includes("%") || /^"|[^\0-\x7f]/.test(text) ? encoded : text;
  const all = text.replace(/[\0-\x7f]/g, hexOf).replace(/[^\0-\x7f]+/g, encodeURIComponent);
  return pick(way, raw, encoded, all, all.toLowerCase(), `"${encoded}"`);
}

function writtenParameter(text: string, way: number): string {
  const encoded = encodeURIComponent(text);
  const name = pick(way, "tenant", "tenant", "%74enant", "Tenant", "tenant[]");
  const more = pick(way, "", "", "", `&tenant=${encoded}`);
  return `${name}=${pick(way, encoded, encoded.replaceAll("%20", "+"), encoded.toLowerCase().includes("%") ? encoded.replace(/%../g, (hex) => hex.toLowerCase()) : encoded)}${more}`;
}

function hexOf(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

function cfOf({ country, asn, ja4, category }: Client, way: Ways) {
  return {
    ...(country ? { country } : pick(way.country, {}, { country: "XX" }, { country: null })),
    ...(asn ? { asn } : pick(way.asn, {}, { asn: 0 }, { asn: null })),
    ...(category && { verifiedBotCategory: category }),
    botManagement: { verifiedBot: Boolean(category), ...(ja4 && { ja4 }) },
  };
}

function keyFor(request: Request, key: readonly string[]): string[] {
  const policy = parsePolicy({ limit: 1, window: "1h", key });
  return keyOf(new Context(request), policy, clientAddress(request.headers, OPTIONS), OPTIONS);
}

describe("a key", () => {
  it("is one for a client in all spellings, of every part and combination", () => {
    fc.assert(
      fc.property(client, ways, ways, parts, (one, here, there, key) => {
        const [first, second] = [here, there].map((way) => keyFor(requestOf(one, way), key));
        expect(first).toEqual(second);
      }),
    );
  });

  it("is two for two clients, of every part and combination", () => {
    fc.assert(
      fc.property(client, client, ways, ways, parts, (one, other, here, there, key) => {
        const differ = key.some((part) => {
          const field = FIELD_OF[part] as keyof Client;
          return one[field] !== other[field];
        });
        const [first, second] = [
          keyFor(requestOf(one, here), key),
          keyFor(requestOf(other, there), key),
        ];
        expect(JSON.stringify(first) !== JSON.stringify(second), `${first} ${second}`).toBe(differ);
      }),
    );
  });

  it("of `bot` is one for the verified bots of a category, and the address for all others", () => {
    fc.assert(
      fc.property(client, client, ways, (one, other, way) => {
        const [first, second] = [one, other].map((each) => keyFor(requestOf(each, way), ["bot"]));
        const isOne = one.category
          ? one.category === other.category
          : !other.category && one.address === other.address;
        expect(JSON.stringify(first) === JSON.stringify(second)).toBe(isOne);
      }),
    );
  });
});

type Reader = (line: string, name: string) => string | undefined;

/** Servers, by what they take for a cookie: each returns it as they would. */
const READERS: Record<string, Reader> = {
  "first, as Express, Go and PHP": (line, name) =>
    pairsOf(line, /;/).find(([key]) => key === name)?.[1],
  "last, as Django": (line, name) => pairsOf(line, /;/).findLast(([key]) => key === name)?.[1],
  "any case, last, as ASP.NET": (line, name) =>
    pairsOf(line, /;/).findLast(([key]) => key?.toLowerCase() === name)?.[1],
  "encoded names, first, as old PHP": (line, name) =>
    pairsOf(line, /;/).find(([key]) => tryDecode(key).replaceAll(".", "_") === name)?.[1],
  "commas, first, as RFC 2965": (line, name) =>
    pairsOf(line, /[;,]/).find(([key]) => key === name)?.[1],
  "commas, last": (line, name) => pairsOf(line, /[;,]/).findLast(([key]) => key === name)?.[1],
  "quotes and blanks, last, as Python's http.cookies": simpleCookie,
};

function pairsOf(line: string, separator: RegExp): string[][] {
  return line.split(separator).map((pair) => {
    const at = pair.indexOf("=");
    return at < 0 ? [] : [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
  });
}

/** After CPython's `http.cookies`: pairs follow each other behind blanks or `;`. */
function simpleCookie(line: string, name: string): string | undefined {
  const PAIR =
    /\s*([\w!#$%&'~`><@,:/*+.^|)(?}{=-]+?)(?:\s*=\s*("(?:[^\\"]|\\.)*"|[\w!#$%&'~`><@,:/*+.^|)(?}{=[\]-]*))?\s*(?:\s+|;|$)/y;
  let found: string | undefined;
  let at = 0;
  while (at < line.length) {
    PAIR.lastIndex = at;
    const match = PAIR.exec(line);
    if (!match) break;
    const [, key, value] = match;
    at = PAIR.lastIndex;
    if (value === undefined) return undefined;
    if (key === name) found = value;
  }
  return found;
}

function tryDecode(text = ""): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function canonical(raw: string): string {
  return readCookie(`other=${raw}`, "other").value;
}

const cookieLines = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "sid=",
        "SID=",
        "s%69d=",
        "sid",
        "x=",
        "sid =",
        "=",
        "; ",
        ";",
        ",",
        " ",
        '"',
      ),
      fc.constantFrom("REAL", "N", "{", "\\", "a", "1", "\t", '"REAL"', "%52EAL", "$Path=/"),
    ),
    { maxLength: 14 },
  )
  .map((pieces) => pieces.join("").trim());

describe("what is forwarded", () => {
  it.each(Object.entries(READERS))(
    "is no other cookie than was counted, read by: %s",
    (name, read) => {
      fc.assert(
        fc.property(cookieLines, (line) => {
          const { value: counted, normalized } = readCookie(line || null, "sid");
          const found = read(normalized ?? line, "sid");
          if (found === undefined || found === "") return;
          // A list is one value for nearly all, and its first entry for those that split at commas.
          if (/^commas/.test(name) && /sid\s*=[^;]*,/.test(normalized ?? line)) return;
          expect(canonical(found), `${line} => ${normalized}`).toBe(counted);
        }),
      );
    },
  );

  it("is read again as what was counted", () => {
    fc.assert(
      fc.property(cookieLines, (line) => {
        const { value: counted, normalized } = readCookie(line || null, "sid");
        if (normalized === undefined) return;
        expect(readCookie(normalized || null, "sid")).toEqual({ value: counted });
      }),
    );
  });

  it("is one line of each header that a key names, and the body with it", async () => {
    const policy = parsePolicy({ limit: 1, window: "1h", key: ["header:X-Id", "cookie:sid"] });
    const rules = [{ policy }];
    const c = new Context(
      new Request("https://a.example/", {
        method: "POST",
        body: "body",
        headers: { "X-Id": "1, 2", X_Id: "3", Cookie: "sid=1; sid=2" },
      }),
    );
    headerNormalizer(rules)?.(c, rules);
    expect(Object.fromEntries(c.req.raw.headers)).toMatchObject({
      "x-id": "1, 2",
      cookie: "sid=1",
    });
    expect(c.req.header("X_Id")).toBeUndefined();
    expect(await c.req.text()).toBe("body");
  });

  it("has the body that was read before", async () => {
    const rules = [{ policy: parsePolicy({ limit: 1, window: "1h", key: ["cookie:sid"] }) }];
    const headers = { Cookie: "sid=1; sid=2" };
    const c = new Context(
      new Request("https://a.example/", { method: "POST", body: '{"a":1}', headers }),
    );
    expect(await c.req.json()).toEqual({ a: 1 });
    headerNormalizer(rules)?.(c, rules);
    expect([c.req.header("Cookie"), c.req.method]).toEqual(["sid=1", "POST"]);
    expect([await c.req.json(), await c.req.text()]).toEqual([{ a: 1 }, '{"a":1}']);
  });
});

describe("any text", () => {
  it("is read without a throw", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc
        .array(fc.constantFrom("sid", "=", ";", " ", ",", '"', "%", "%ff", "&", "+", "[", "\\"), {
          maxLength: 400,
        })
        .map((pieces) => pieces.join("")),
    );
    fc.assert(
      fc.property(text, (each) => {
        for (const { value } of [
          readCookie(each, "sid"),
          readHeader(each, "X"),
          readHeader(each, "authorization"),
        ]) {
          expect(typeof value).toBe("string");
        }
        expect(typeof readParameter(`https://a.example/?${each}`, "sid")).toBe("string");
      }),
    );
    expect(readCookie(null, "sid").value).toBe(MISSING);
  });
});
