/** Tokens, their scopes, and guesses at them. */
import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { Caller } from "../../src/caller/caller.ts";
import { parseConfig } from "../../src/config.ts";
import { api } from "../../src/http/api/api.ts";
import { WORKERS } from "../../src/runtime.ts";
import { FakeOwners } from "../caller/fake-owners.ts";
import { fresh } from "./api-client.ts";

const config = parseConfig({ TOKEN: "check:reads admin:rules metrics:graphs old-1" });
const BODY = JSON.stringify({ key: fresh(), limit: 100, window: "1d", duration: "1m" });

let addresses = 0;
let ip: string;

beforeEach(() => {
  ip = `2001:db8:${(++addresses).toString(16)}::1`;
});

/** Makes the API in an isolate of its own, over owners that all isolates share. */
function isolate(owners: Pick<typeof env.TURNPIKE_OWNERS, "getByName"> = env.TURNPIKE_OWNERS) {
  const app = api(new Caller({ owners, runtime: WORKERS, ...config } as never), config);
  return (
    authorization: string | undefined,
    path = "/peek",
    address = ip,
    method = "POST",
    others: Record<string, string> = {},
  ) =>
    app.request(path, {
      method,
      headers: {
        "CF-Connecting-IP": address,
        ...(authorization !== undefined && { Authorization: authorization }),
        ...others,
      },
      ...(method === "POST" && { body: JSON.stringify(bodyOf(path)) }),
    });
}

function bodyOf(path: string) {
  const { duration, key, ...policy } = JSON.parse(BODY) as Record<string, string>;
  if (path === "/block") return { key, duration };
  return path === "/unblock" ? { ip } : { key, ...policy };
}

async function statuses(requests: Iterable<Response | Promise<Response>>): Promise<number[]> {
  return (await Promise.all(requests)).map(({ status }) => status);
}

describe("a scope", () => {
  const send = isolate();

  it.each(["/check", "/peek", "/refund"])(
    "is not needed for %s: every token will do",
    async (path) => {
      const tokens = ["reads", "rules", "old-1"];
      expect(await statuses(tokens.map((token) => send(`Bearer ${token}`, path)))).toEqual([
        200, 200, 200,
      ]);
    },
  );

  it.each(["/reset", "/block", "/unblock", "/explain"])("is needed for %s", async (path) => {
    const refused = await send("Bearer reads", path);
    expect(refused.status).toBe(403);
    expect(refused.headers.get("WWW-Authenticate")).toContain('scope="admin"');
    expect(await refused.json()).toMatchObject({
      detail: 'This call needs a token with the scope "admin".',
    });
    for (const token of ["rules", "old-1"]) {
      expect((await send(`Bearer ${token}`, path)).ok).toBe(true);
    }
  });

  it.each([
    ["check", "/check"],
    ["check", "/settle"],
    ["admin", "/block"],
    ["admin", "/overrides"],
    ["admin", "/ring"],
  ])("named %s is the one that a token for metrics is told to need for %s", async (scope, path) => {
    const refused = await send("Bearer graphs", path);
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({
      detail: `This call needs a token with the scope "${scope}".`,
    });
  });

  it("is not part of what a client sends as its token", async () => {
    for (const token of ["check:reads", "admin:rules", "admin:reads"]) {
      expect((await send(`Bearer ${token}`)).status).toBe(401);
    }
  });
});

describe("a token", () => {
  it("can be replaced with no moment in which neither the old nor the new one holds", async () => {
    for (const [text, valid] of [
      ["one", ["one"]],
      ["one two", ["one", "two"]],
      [" two\n", ["two"]],
    ] as const) {
      const { tokens } = parseConfig({ TOKEN: text });
      expect(tokens).toEqual(valid.map((secret) => ({ scope: "admin", secret })));
    }
  });

  it("is compared with all tokens, whichever fits", async () => {
    const compare = vi.spyOn(crypto.subtle, "timingSafeEqual");
    const send = isolate();
    for (const token of ["reads", "rules", "old-1", "r", "x".repeat(4_000)]) {
      compare.mockClear();
      await send(`Bearer ${token}`);
      expect(compare, token).toHaveBeenCalledTimes(config.tokens.length);
    }
    compare.mockRestore();
  });
});

describe("an address that sends wrong tokens", () => {
  it("is refused after ten in a minute, in every isolate, even with the right one", async () => {
    const [here, there] = [isolate(), isolate()];
    for (let n = 0; n < 5; n++) {
      expect(await statuses([here("Bearer a"), there("Bearer b")])).toEqual([401, 401]);
    }
    const refused = await here("Bearer wrong");
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("Retry-After"))).toBeLessThanOrEqual(60);
    expect(((await refused.json()) as { detail: string }).detail).toMatch(
      /^This address has sent too many wrong tokens\. Try again in [\dmins ]+\.$/,
    );
    expect(await statuses([here("Bearer rules"), there("Bearer rules")])).toEqual([429, 429]);
  });

  it("gets ten guesses, however many come at once", async () => {
    const send = isolate();
    const guesses = Array.from({ length: 200 }, (_, n) =>
      send(`Bearer ${n === 100 ? "rules" : `guess-${n}`}`),
    );
    const all = await statuses(guesses);
    expect(all.filter((status) => status === 401)).toHaveLength(10);
    expect(all[100]).toBe(429);
  });

  it("locks out nobody else, and no right token before the ten", async () => {
    const send = isolate();
    for (let n = 0; n < 9; n++) await send("Bearer wrong");
    const right = Array.from({ length: 30 }, () => send("Bearer rules"));
    expect(new Set(await statuses(right))).toEqual(new Set([200]));
    for (let n = 0; n < 2; n++) await send("Bearer wrong");
    expect((await send("Bearer rules")).status).toBe(429);
    expect((await send("Bearer rules", "/peek", "2001:db8:ffff::1")).status).toBe(200);
    // An address of the same /64 is the same client.
    expect((await send("Bearer rules", "/peek", ip.replace("::1", "::2"))).status).toBe(429);
  });

  it("is not refused for its right tokens once the lock is lifted, however many come at once", async () => {
    const send = isolate();
    for (let n = 0; n < 12; n++) await send("Bearer wrong");
    const [, refused] = await Promise.all([send("Bearer wrong"), send("Bearer rules")]);
    expect(refused.status).toBe(429);
    expect((await send("Bearer rules", "/unblock", "2001:db8:fffe::1")).status).toBe(204);
    for (let round = 0; round < 3; round++) {
      const right = Array.from({ length: 30 }, () => send("Bearer rules"));
      expect(new Set(await statuses(right))).toEqual(new Set([200]));
    }
  });

  it("is told in JSON, whatever it accepts", async () => {
    const send = isolate();
    for (let n = 0; n < 11; n++) await send("Bearer wrong");
    const refused = await send("Bearer wrong", "/peek", ip, "POST", { Accept: "text/html" });
    expect(refused.status).toBe(429);
    expect(refused.headers.get("Content-Type")).toBe("application/problem+json");
  });

  it("has made no guess if a page made its browser send requests without a token", async () => {
    const send = isolate();
    for (let n = 0; n < 15; n++) {
      const answers = [
        send(undefined),
        send(undefined, "/check", ip, "OPTIONS"),
        send("Basic eDp5"),
      ];
      expect(await statuses(answers)).toEqual([401, 401, 401]);
    }
    expect((await send("Bearer rules")).status).toBe(200);
  });

  it("costs right tokens no call to an owner, until then", async () => {
    const owners = new FakeOwners();
    const send = isolate(owners as never);
    await send("Bearer rules", "/check");
    expect(owners.calls.map(({ verb }) => verb)).toEqual(["check"]);
    await send("Bearer wrong", "/check");
    await send("Bearer rules", "/check");
    expect(owners.calls.map(({ verb }) => verb)).toEqual(["check", "check", "check", "check"]);
  });
});

describe("a wrong token", () => {
  it("is logged once a minute, from however many addresses", async () => {
    const later = Date.now() + 3_600_000;
    vi.useFakeTimers({ toFake: ["Date"], now: later });
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const send = isolate();
    for (let n = 0; n < 30; n++) await send("Bearer wrong", "/check", `198.51.100.${n % 3}`);
    vi.setSystemTime(later + 60_000);
    await send("Bearer wrong", "/check", "198.51.100.4");
    const lines = warn.mock.calls.map(([line]) => JSON.parse(line));
    expect(lines).toEqual([
      { event: "wrong-token", times: expect.any(Number) },
      { event: "wrong-token", times: 30 },
    ]);
    vi.useRealTimers();
    vi.restoreAllMocks();
  });
});

describe("an address that cannot be read", () => {
  it("is told with a wrong token: all that send one share the lock then", async () => {
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    const send = isolate();
    const told = () =>
      warn.mock.calls
        .map(([line]) => JSON.parse(line))
        .find(({ event }) => event === "clients-not-told-apart");
    await send("Bearer rules", "/check", "gate.internal");
    expect(told()).toBeUndefined();
    await send("Bearer wrong", "/check", "gate.internal");
    expect(told()).toEqual({
      event: "clients-not-told-apart",
      policy: "wrong token",
      part: "ip",
      detail: "CF-Connecting-IP names no client: its last entry is not an address",
      times: 1,
    });
    vi.restoreAllMocks();
  });
});

describe("an answer of the API", () => {
  const noisy = ["log", "info", "warn", "error", "debug"] as const;

  it("shows no token, key or address, and neither does the log", async () => {
    const logs = noisy.map((level) => vi.spyOn(console, level).mockImplementation(() => {}));
    const owners = new FakeOwners();
    owners.misbehave = () => Promise.reject(new Error("broken"));
    const send = isolate(owners as never);
    const answers: string[] = [];
    for (const path of ["/check", "/peek", "/reset", "/block", "/explain", "/nothing"]) {
      for (const token of ["Bearer rules", "Bearer reads", "Bearer wrong-1"]) {
        const answer = await send(token, path);
        answers.push(await answer.text(), JSON.stringify([...answer.headers]));
      }
    }
    const said = JSON.stringify([answers, logs.map(({ mock }) => mock.calls)]);
    expect(said).toContain("owner-failed");
    const { key = "" } = JSON.parse(BODY) as Record<string, string>;
    for (const secret of ["rules", "reads", "wrong-1", "old-1", key, ip]) {
      expect(said.includes(secret), secret).toBe(false);
    }
    vi.restoreAllMocks();
  });

  it("has no CORS header, so that pages of other sites cannot read it", async () => {
    const send = isolate();
    const answers = [
      await send("Bearer rules"),
      await send("Bearer wrong"),
      await send(undefined, "/check", ip, "OPTIONS"),
    ];
    for (const { headers } of answers) {
      expect([...headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
    }
  });
});
