/**
 * Keys on the wire: what counts as one client, and that the origin is sent what was counted.
 * Through raw sockets on both sides of a workerd with nothing in front.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { readCookie } from "../../src/http/key/request-values.ts";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startGate } from "./gate-server.ts";

const ONE = { limit: 1, window: "1d" };
const POLICIES = [
  { name: "auth", path: "/auth", key: ["header:Authorization"], ...ONE },
  { name: "api", path: "/api", key: ["header:X-Api-Key"], ...ONE },
  { name: "cookie", path: "/cookie", key: ["cookie:session"], ...ONE },
  { name: "query", path: "/query", key: ["query:api_key"], ...ONE },
  { name: "host", path: "/host", key: ["host"], ...ONE },
  { name: "method", path: "/method", key: ["method"], ...ONE },
  { name: "address", path: "/address", limit: 2, window: "1d" },
  { name: "hop", path: "/hop", key: ["header:X-Api-Key", "cookie:session"], ...ONE },
  { name: "country", path: "/country", key: ["header:CF-IPCountry"], ...ONE },
  { name: "two-cookies", path: "/two", key: ["cookie:a", "cookie:b", "header:X-A"], ...ONE },
  { name: "trial", path: "/trial", key: ["cookie:session"], shadow: true, ...ONE },
  {
    name: "absent",
    path: "/absent",
    key: ["header:X-Absent", "header:X-A"],
    limit: 9,
    window: "1d",
  },
  { name: "burst", path: "/guarded", key: ["header:X-Api-Key"], limit: 100, window: "1d" },
  { name: "guard", path: "/guarded", limit: 20, window: "1d" },
];

let origin: Server;
let worker: WorkerdServer;
let log = "";
let received: string[] = [];

beforeAll(async () => {
  origin = createServer((socket) => {
    socket.once("data", (data) => {
      received.push(data.toString("latin1"));
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    });
    socket.on("error", () => socket.destroy());
  });
  origin.listen(0, "127.0.0.1");
  await once(origin, "listening");
  worker = await startGate(
    {
      ORIGIN: `http://127.0.0.1:${(origin.address() as AddressInfo).port}`,
      POLICIES: JSON.stringify(POLICIES),
      IP_HEADER: "X-Forwarded-For",
    },
    {
      onOutput: (written) => {
        log += written;
      },
    },
  );
});

afterAll(async () => {
  await worker.stop();
  origin.close();
});

beforeEach(() => {
  received = [];
});

/** Sends header lines as they are, byte for byte, and returns the status. */
async function send(target: string, lines: readonly string[], host = "gate.example") {
  const [method, path] = target.includes(" ") ? target.split(" ") : ["GET", target];
  const socket = connect(Number(new URL(worker.url).port), "127.0.0.1");
  const head = [`${method} ${path} HTTP/1.1`, `Host: ${host}`, "Connection: close", ...lines];
  socket.write(Buffer.from(`${head.join("\r\n")}\r\n\r\n`, "latin1"));
  const answer = await text(socket);
  return Number(/^HTTP\/1.1 (\d+)/.exec(answer)?.[1]);
}

async function statuses(target: string, clients: readonly (readonly string[])[]) {
  const found: number[] = [];
  for (const lines of clients) found.push(await send(target, lines));
  return found;
}

/** Returns the header lines of a name in the last request that the origin got. */
function sent(name: string): string[] {
  const lines = received.at(-1)?.split("\r\n") ?? [];
  return lines.filter((line) => line.toLowerCase().startsWith(`${name.toLowerCase()}:`));
}

const passes = (n: number) => [200, ...Array<number>(n - 1).fill(429)];

describe("a key of Authorization", () => {
  it("is one for every spelling of the scheme and every blank", async () => {
    const spellings = [
      "Bearer t1",
      "bearer t1",
      "BEARER t1",
      "Bearer  t1",
      "Bearer\tt1",
      " Bearer t1 ",
    ];
    const clients = spellings.map((value) => [`Authorization: ${value}`]);
    expect(await statuses("/auth", clients)).toEqual(passes(6));
    const basic = ["Basic dXNlcjpwYXNz", "basic  dXNlcjpwYXNz", "Basic dXNlcjpwYXN6"];
    const statusesOfBasic = await statuses(
      "/auth",
      basic.map((value) => [`Authorization: ${value}`]),
    );
    expect(statusesOfBasic).toEqual([200, 429, 200]);
    expect(
      await statuses("/auth", [["Authorization: Bearer t2"], ["Authorization: Bearer T1"]]),
    ).toEqual([200, 200]);
  });

  it("has no place for a second token that only some origin reads", async () => {
    expect(await statuses("/auth", [["Authorization: Bearer real"]])).toEqual([200]);
    const tricks = (n: number) => [
      [`Authorization: Bearer real junk${n}`],
      [`Authorization: Bearer real, Bearer junk${n}`],
      ["Authorization: Bearer real", `Authorization: Bearer junk${n}`],
      [`Authorization: x${n} real`],
    ];
    expect(await statuses("/auth", [...tricks(1), ...tricks(2)])).toEqual(Array(8).fill(429));
    expect(await send("/auth", ["Authorization: Bearer other1 real"])).toBe(200);
    expect(sent("Authorization")).toEqual(["Authorization: Bearer other1"]);
  });
});

describe("a key of another header", () => {
  it("counts what the origin reads, if the header stands twice", async () => {
    expect(await send("/api", ["X-Api-Key: k1"])).toBe(200);
    expect(sent("X-Api-Key")).toEqual(["X-Api-Key: k1"]);
    expect(await send("/api", ["X-Api-Key: k1", "X-Api-Key: junk1"])).toBe(200);
    // No server reads k1 from this line.
    expect(sent("X-Api-Key")).toEqual(["X-Api-Key: k1, junk1"]);
    expect(await send("/api", ["X-Api-Key: k1", "X-Api-Key: junk1"])).toBe(429);
  });

  it("counts one value, if a proxy doubled the line or left one empty", async () => {
    expect(await send("/api", ["X-Api-Key: twin"])).toBe(200);
    for (const more of ["X-Api-Key: twin", "X-Api-Key:"]) {
      expect(await send("/api", ["X-Api-Key: twin", more])).toBe(429);
    }
    expect(await send("/api", ["X-Api-Key: single", "X-Api-Key: single"])).toBe(200);
    expect(sent("X-Api-Key")).toEqual(["X-Api-Key: single"]);
  });

  it("leaves the origin no other header that CGI, WSGI or PHP take for the same", async () => {
    expect(await send("/api", ["X-Api-Key: k2", "X_Api_Key: real", "X-Api_Key: real"])).toBe(200);
    expect(received.at(-1)).not.toContain("real");
    expect(sent("X-Api-Key")).toEqual(["X-Api-Key: k2"]);
    expect(await statuses("/api", [["X_Api_Key: a"], ["X_Api_Key: b"]])).toEqual([200, 429]);
    expect(received.at(-1)).not.toMatch(/X_Api_Key/i);
  });

  it("leaves headers that no key names as they are", async () => {
    expect(await send("/elsewhere", ["X-Api-Key: a", "X-Api-Key: b", "X_Api_Key: c"])).toBe(200);
    expect(sent("X-Api-Key")).toEqual(["X-Api-Key: a", "X-Api-Key: b"]);
    expect(sent("X_Api_Key")).toEqual(["X_Api_Key: c"]);
  });
});

describe("a key of a cookie", () => {
  it("is one in all spellings of a value, and apart for visitors that differ", async () => {
    const spellings = ["aaa", '"aaa"', "%61aa", '"\\141aa"', "%61%61%61"];
    const clients = spellings.map((value) => [`Cookie: session=${value}; theme=dark`]);
    expect(await statuses("/cookie", clients)).toEqual(passes(5));
    const long = "x".repeat(6_000);
    const others = [
      '{"id":1}',
      '{"id":2}',
      '{"id":1,"n":"a b"}',
      "\xc3\xa91",
      "\xc3\xa92",
      "a\\1",
      "a\\2",
    ];
    for (const value of [
      ...others,
      `${long}1`,
      `${long}2`,
      "a,b",
      "a b",
      "=",
      "J\xc3\xb3 P\xc3\xa9rez",
      "J\xc3\xb3 P\xc3\xa9",
    ]) {
      const lines = [`Cookie: theme=dark; session=${value}`];
      expect(await statuses("/cookie", [lines, lines]), value).toEqual([200, 429]);
    }
    expect(await statuses("/cookie", [[], ["Cookie: theme=dark"]])).toEqual([200, 429]);
    expect(await statuses("/cookie", [["Cookie: session="], ['Cookie: session=""']])).toEqual([
      200, 429,
    ]);
  });

  it.each([
    ["the second of a name", "session=KEY; session=REAL", "session=KEY"],
    ["another case (ASP.NET)", "session=KEY; SESSION=REAL", "session=KEY"],
    ["another case in front", "SESSION=REAL; session=KEY", "session=KEY"],
    ["an encoded name (old PHP, Rack)", "session=KEY; sessio%6e=REAL", "session=KEY"],
    ["a pair behind a blank (Python)", "session=KEY; x=1 session=REAL", "session=KEY; x=1"],
    ["a pair behind a comma (RFC 2965)", "session=KEY; x=1,session=REAL", "session=KEY; x=1"],
    ["a pair behind the value", "session=KEY session=REAL", "session=KEY"],
    ["what stands behind quotes", 'session="KEY"REAL', 'session="KEY"'],
    ["what stands in quotes", 'x="; session=KEY; y="; session=REAL', 'x="; session=KEY; y="'],
  ])("leaves the origin no other place to look: %s", async (name, cookie, forwarded) => {
    const key = name.replace(/\W/g, "");
    const lines = [`Cookie: ${cookie.replace("KEY", key)}`];
    expect(await send("/cookie", lines)).toBe(200);
    expect(sent("Cookie")).toEqual([`Cookie: ${forwarded.replace("KEY", key)}`]);
    expect(await statuses("/cookie", [[`Cookie: session=${key}`]])).toEqual([429]);
  });

  it("reads two lines of cookies, and sends them on as one that all can read", async () => {
    expect(
      await send("/cookie", ["Cookie: theme=dark", "Cookie: session=lines", "Cookie: z=1"]),
    ).toBe(200);
    expect(sent("Cookie")).toEqual(["Cookie: theme=dark; session=lines; z=1"]);
    expect(await send("/cookie", ["Cookie: session=lines"])).toBe(429);
  });

  it("leaves a request as it is if nothing is odd, or no key names the cookie", async () => {
    const cookie = 'Cookie: a="x, y";b=1;  session=plain ;c={"d":1}; e';
    expect(await send("/cookie", [cookie])).toBe(200);
    expect(sent("Cookie")).toEqual([cookie]);
    for (const path of ["/elsewhere", "/trial"]) {
      expect(await send(path, ["Cookie: session=1; session=2"])).toBe(200);
      expect(sent("Cookie")).toEqual(["Cookie: session=1; session=2"]);
    }
  });

  it("counts a value up to a blank if Python could, and sends all of it on", async () => {
    const cookie = "Cookie: session=Ada (L.); theme=dark";
    expect(await statuses("/cookie", [[cookie], ["Cookie: session=Ada"]])).toEqual([200, 429]);
    expect(await send("/elsewhere", [cookie])).toBe(200);
    expect(await send("/cookie", ["Cookie: session=Bob \xc3\xa9; theme=dark"])).toBe(200);
    expect(sent("Cookie")).toEqual(["Cookie: session=Bob \xc3\xa9; theme=dark"]);
  });

  it("keeps all values apart if several are part of one key", async () => {
    const lines = ["Cookie: a=1; b=2; a=3; b=4", "X-A: 5", "X-A: 6"];
    expect(await statuses("/two", [lines, lines])).toEqual([200, 429]);
    expect([sent("Cookie"), sent("X-A")]).toEqual([["Cookie: a=1; b=2"], ["X-A: 5, 6"]]);
    const other = ["Cookie: a=12; b=", "X-A: 5, 6"];
    expect(await statuses("/two", [other])).toEqual([200]);
  });
});

describe("reading a cookie", () => {
  it("takes linear time: a client can send about 120 KB", () => {
    for (const piece of ["s=1; ", "S=1;", "s=a ", "%73=;", 's=" ', "s=a,b "]) {
      const header = piece.repeat(480_000 / piece.length);
      const { user } = process.cpuUsage();
      readCookie(header, "s");
      // Linear time is about 0.2 s of CPU, quadratic time more than 20 s.
      expect((process.cpuUsage().user - user) / 1_000, piece).toBeLessThan(5_000);
    }
  });
});

describe("a key of the query", () => {
  it("is one in all spellings of a parameter", async () => {
    const queries = [
      "api_key=a+b",
      "api_key=a%20b",
      "API_KEY=a b".replace(" ", "+"),
      "api%5fkey=a+b",
      "x=1&api_key=a+b&y",
    ];
    for (const [at, query] of queries.entries()) {
      expect(await send(`/query?${query}`, []), query).toBe(at === 0 ? 200 : 429);
    }
    expect(await send("/query?api_key=a%2Bb", [])).toBe(200);
  });

  it("counts as no parameter, if origins could differ on which one counts", async () => {
    expect(await send("/query", [])).toBe(200);
    for (const n of [1, 2]) {
      for (const query of [
        `api_key=real&api_key=${n}`,
        `api_key=${n}&api_key=real`,
        `api_key=${n}&api_key[]=real`,
        `api_key=${n}&api.key=real`,
        `api_key=${n}&Api_Key=real`,
        `x=1;api_key=real&api_key=${n}`,
      ]) {
        expect(await send(`/query?${query}`, []), query).toBe(429);
      }
    }
  });
});

describe("a key of what the request line says", () => {
  it("is one for a host, with whatever port, dot and case", async () => {
    const hosts = [
      "gate.example",
      "gate.example.",
      "gate..example",
      "GATE.example:8080",
      "gate.example:8443",
      "gate%2eexample",
    ];
    const found: number[] = [];
    for (const host of hosts) found.push(await send("/host", [], host));
    expect(found).toEqual(passes(hosts.length));
    expect(await send("/host", [], "other.example")).toBe(200);
  });

  it("is one for HEAD and GET, and one for all methods that few sites know", async () => {
    const methods = [
      "GET",
      "HEAD",
      "POST",
      "PROPFIND",
      "MKCOL",
      "REPORT",
      "TRACE",
      "QUERY",
      "UNLOCK",
    ];
    const found: number[] = [];
    for (const method of methods)
      found.push(await send(`${method} /method`, ["Content-Length: 0"]));
    expect(found).toEqual([200, 429, 200, 200, 429, 429, 429, 429, 429]);
  });
});

describe("an address that a proxy wrote", () => {
  it("is read in every form", async () => {
    for (const spellings of [
      ["198.51.100.1:50001", "198.51.100.1", '"198.51.100.1:80"'],
      ["198.51.100.2:50001", "9.9.9.9, 198.51.100.2", "for=198.51.100.2;proto=https"],
      ["[2001:db8::1]:443", "2001:db8::1", 'For="[2001:db8::2]:4711"'],
    ]) {
      const clients = spellings.map((value) => [`X-Forwarded-For: ${value}`]);
      expect(await statuses("/address", clients), spellings[0]).toEqual([200, 200, 429]);
    }
    const lines = [
      "X-Forwarded-For: 9.9.9.9",
      "X-Forwarded-For: 198.51.100.3:1",
      "X-Forwarded-For: ",
    ];
    expect(await statuses("/address", [lines, lines, lines])).toEqual([200, 200, 429]);
  });

  it("that cannot be read is shared, and a warning says why, with no value in it", async () => {
    const clients = [["X-Forwarded-For: 9.9.9.9, gate.internal"], ["X-Forwarded-For: _x"], []];
    expect(await statuses("/address", clients)).toEqual([200, 200, 429]);
    const [line = ""] = log.match(/\{"event":"clients-not-told-apart".*"address".*\}/) ?? [];
    expect(JSON.parse(line)).toMatchObject({
      policy: "address",
      part: "ip",
      detail: "X-Forwarded-For names no client: its last entry is not an address",
    });
    expect(log).not.toMatch(/9\.9\.9\.9|gate\.internal/);
  });
});

describe("a key that only the client writes", () => {
  it("is a limit with a policy by address beside it: 500 made-up keys from one address", async () => {
    const all = await Promise.all(
      Array.from({ length: 500 }, (_, n) =>
        send("/guarded", [`X-Api-Key: made-up-${n}`, "X-Forwarded-For: 203.0.113.77"]),
      ),
    );
    expect(all.filter((status) => status === 200)).toHaveLength(20);
    expect(all.filter((status) => status === 429)).toHaveLength(480);
  });
});

describe("a header that Connection lists", () => {
  it("gives a client no key, since the origin does not get it", async () => {
    const clients = [1, 2].map((n) => [
      "Connection: x-api-key, Cookie",
      `X-Api-Key: made-up-${n}`,
      `Cookie: session=made-up-${n}`,
    ]);
    expect(await statuses("/hop", [...clients, ["X-Api-Key: real"]])).toEqual([200, 429, 200]);
    expect(received[0]).not.toMatch(/made-up/);
  });

  it("counts if a proxy sets it, which the origin gets all the same", async () => {
    const clients = [1, 2].map(() => ["Connection: CF-IPCountry", "CF-IPCountry: FR"]);
    expect(await statuses("/country", [...clients, ["CF-IPCountry: FR"]])).toEqual([200, 429, 429]);
    expect(sent("CF-IPCountry")).toEqual(["CF-IPCountry: FR"]);
  });
});

describe("a value that no request has", () => {
  it("is logged with policy and name, and one that most requests have is not", async () => {
    for (let n = 0; n < 4; n++) await send("/absent", [n === 0 ? "X-A: 1" : "X-B: 1"]);
    const told = log.match(/\{"event":"clients-not-told-apart".*\}/g) ?? [];
    const parts = told.map((line) => JSON.parse(line)).filter(({ policy }) => policy === "absent");
    expect(parts).toEqual([
      {
        event: "clients-not-told-apart",
        policy: "absent",
        part: "header:X-Absent",
        detail: "no request of the last minute has it, so all of them share one quota",
        times: 1,
      },
    ]);
  });
});
