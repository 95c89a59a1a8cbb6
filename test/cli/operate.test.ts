/** The commands that operate a running Worker, against one. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { startGate } from "../http/gate-server.ts";
import { fileWith, removeFiles, turnpike, turnpikeHere } from "./turnpike.ts";

const POLICIES = JSON.stringify([
  { limit: 10, window: "60s" },
  { name: "day", key: ["header:X-Api-Key"], limit: 5, window: "1d" },
  { name: "app", key: ["header:X-App", "ip"], limit: 7, window: "1d" },
  { name: "guard", key: ["header:X-User"], limit: 1, window: "1h", blockFor: "10m" },
  { name: "banned", limit: 10, window: "1d", deny: ["198.51.100.0/24"] },
]);

let server: WorkerdServer;
beforeAll(async () => {
  server = await startGate({ TOKEN: "check:narrow dev", POLICIES }, { hasMembership: true });
});
afterAll(async () => {
  await server.stop();
  removeFiles();
});

const BAN =
  'npx turnpike policies get --json > live.json, add "deny": ["198.51.100.0/24"] to a policy for all paths';
const LIMIT = ["--limit", "2", "--window", "1h"];
const at = (...args: string[]) => turnpikeHere(...args, "--url", server.url);

describe("turnpike", () => {
  it("checks until it is denied, and explains, resets, blocks and unblocks", async () => {
    expect(await at("check", "ann", ...LIMIT)).toMatchObject({ code: 0, error: "" });
    expect((await at("peek", "ann", ...LIMIT)).out).toContain("allowed: 1 of 2 left");
    await at("check", "ann", ...LIMIT);
    const denied = await at("check", "ann", ...LIMIT);
    expect([denied.code, denied.error]).toEqual([1, ""]);
    expect(denied.out).toMatch(
      /^denied: 0 of 2 left under ".*", may pass in .* \(limited, by the /,
    );
    expect((await at("explain", "ann", ...LIMIT)).out).toContain("0 of 2");
    expect((await at("reset", "ann", ...LIMIT)).out).toBe("reset ann\n");
    expect((await at("check", "ann", ...LIMIT)).code).toBe(0);
    expect((await at("block", "ann", "--for", "1h")).out).toBe("blocked ann for 1h\n");
    expect((await at("peek", "ann", ...LIMIT)).code).toBe(1);
    expect((await at("explain", "ann", ...LIMIT)).out).toMatch(
      /^blocked by an operator for (?:1 h|59 min \d+ s) more\n.*ends in \d+ (?:h|min|s)\b/s,
    );
    expect((await at("block", "ann")).out).toMatch(
      /^ann was blocked already, for (?:1 h|59 min \d+ s) more: that block is kept\n$/,
    );
    expect((await at("unblock", "ann")).out).toMatch(/^unblocked ann: nothing denies it now in /);
    expect((await at("unblock", "ann")).out).toMatch(/^ann was not blocked: nothing denies it /);
    expect((await at("check", "ann", ...LIMIT)).code).toBe(0);
  });

  it("says what an IPv6 address stands for, and what holds where a list refuses a client", async () => {
    const all = "ip:2001:db8::17 (all of 2001:db8::/64)";
    expect((await at("block", "ip:2001:db8::17")).out).toBe(`blocked ${all} for 10m\n`);
    expect((await at("unblock", "ip:2001:db8::17")).out).toContain(`unblocked ${all}: nothing`);
    const limit = ["--policy", "default", "--limit", "5", "--for", "1h"];
    expect((await at("override", "ip:2001:db8::17", ...limit)).out).toMatch(
      /^ip:2001:db8::17 \(all of 2001:db8::\/64\) under "default": 5 for (?:1 h|59 min \d+ s) more\n$/,
    );
    expect((await at("unblock", "ip:198.51.100.9")).out).toBe(
      "ip:198.51.100.9 was not blocked: refused with 403 by deny of banned\n",
    );
    const { now } = JSON.parse((await at("block", "bill", "--json")).out);
    expect(now).toMatchObject({ allowed: false, reason: "blocked" });
  });

  it("unblocks what a policy has blocked, and says what denies it still", async () => {
    for (const _ of ["passes", "is denied"]) await at("check", "gus", "--policy", "guard");
    expect((await at("explain", "gus")).out).toMatch(/^blocked by guard for /);
    const { out } = await at("unblock", "gus");
    expect(out).toMatch(/^unblocked gus: denied now by guard, for /);
    expect((await at("unblock", "gus")).out).toMatch(/^gus was not blocked: denied now by guard/);
  });

  it("explains a client under all policies, and refuses to block what top has shortened", async () => {
    await at("check", "ip:192.0.2.44", "--policy", "default");
    expect((await at("explain", "IP:192.0.2.44")).out).toMatch(
      /^nothing denies it now in weur\n.*│ default +│ 9 of 10 +│/s,
    );
    expect((await at("explain", "ip:192.0.2.45")).out).toMatch(
      /^nothing denies it now in weur: not seen there lately\n/,
    );
    expect(JSON.parse((await at("explain", "ip:192.0.2.44", "--json")).out)).toMatchObject({
      blockedMs: 0,
      policies: [{ policy: "default", remaining: 9 }, { policy: "banned" }],
    });
    expect(await at("block", "192.0.2.*")).toMatchObject({
      code: 2,
      error: expect.stringContaining("192.0.2.* is the beginning of a key"),
    });
    expect((await at("block", '["192.0.2.*","/login"]')).error).toContain("the beginning of a key");
  });

  it("explains which policies count nothing of a client, and why", async () => {
    expect((await at("explain", "ip:198.51.100.7")).out).toMatch(
      /^refused with 403 by deny of banned\n.*│ banned +│ +│ +│ deny refuses it with 403 +│.*│ day +│ +│ +│ counts by header:X-Api-Key, so an address alone says nothing +│/s,
    );
  });

  it("does not measure a bucket by a limit that is less than its burst", async () => {
    const bucket = ["--limit", "20", "--window", "1s", "--algorithm", "token-bucket"];
    const { out } = await at("explain", "kim", ...bucket, "--burst", "300");
    expect(out).toMatch(/│ 300 of 300 +│ .* 300\.000 of 300 tokens, one more each 50ms/);
  });

  it("takes the Worker's address from the environment", async () => {
    vi.stubEnv("TURNPIKE_URL", server.url);
    expect((await turnpikeHere("peek", "eve", ...LIMIT)).out).toContain("allowed: 2 of 2 left");
    vi.unstubAllEnvs();
  });

  it("gives a key another limit, shows it and clears it", async () => {
    const override = (...args: string[]) => at("override", "dora", "--policy", "default", ...args);
    expect((await override()).error).toContain("The policy's own limit holds");
    expect((await override("--limit", "50000", "--for", "1h")).out).toMatch(
      /^dora under "default": 50000 for (?:1 h|59 min \d+ s) more\n$/,
    );
    expect((await at("check", "dora", "--policy", "default")).out).toContain("49999 of 50000");
    expect((await override("--limit", "unlimited")).code).toBe(0);
    expect((await override()).out).toContain('dora under "default": unlimited for ');
    for (const _ of ["once", "again"]) {
      expect((await override("--clear")).out).toBe(
        'dora under "default": 10, as without an override\n',
      );
    }
    expect((await override("--limit", "many")).code).toBe(2);
    for (const args of [
      ["--limit", "5", "--clear"],
      ["--clear", "--for", "1h"],
      ["--for", "1h"],
    ]) {
      const { code, error } = await override(...args);
      expect([code, error]).toEqual([2, expect.stringContaining("or --clear alone")]);
    }
  });

  it("takes a key of several parts, in all commands", async () => {
    const key = '["my-app", "192.0.2.7"]';
    const app = ["--policy", "app"];
    expect((await at("check", key, ...app)).out).toContain("6 of 7 left");
    expect((await at("peek", key, ...app)).out).toContain("6 of 7 left");
    expect((await at("explain", key)).out).toMatch(/│ app +│ 6 of 7 +│/);
    expect((await at("explain", key, ...app)).out).toMatch(/│ app +│ 6 of 7 +│/);
    expect((await at("override", key, ...app, "--limit", "50")).code).toBe(0);
    expect((await at("override", key, ...app)).out).toContain('under "app": 50 for 366 days more');
    expect((await at("override", key, ...app, "--clear")).code).toBe(0);
    expect((await at("reset", key, ...app)).out).toBe(`reset ${key}\n`);
    expect((await at("block", key, "--for", "1h")).out).toBe(`blocked ${key} for 1h\n`);
    expect((await at("peek", key, ...app)).code).toBe(1);
    expect((await at("unblock", key)).code).toBe(0);
    expect((await at("peek", key, ...app)).out).toContain("7 of 7 left");
  });

  it("names a client by its address", async () => {
    expect((await at("check", "ip:192.0.2.7", "--policy", "default")).out).toContain(
      '9 of 10 left under "default"',
    );
  });

  it("prints the API's own answer", async () => {
    const { out } = await at("check", "bob", ...LIMIT, "--cost", "2", "--json");
    expect(JSON.parse(out)).toMatchObject({ allowed: true, remaining: 0, limit: 2 });
  });

  it("shows the ring, and changes it", async () => {
    await at("check", "carl", ...LIMIT);
    expect((await at("ring")).out).toMatch(/weur \s*│ 1 .*│ weur\/1/);
    expect((await at("ring", "add", "weur")).out).toContain("weur/4");
  });
});

describe("turnpike conformance", () => {
  it("finds no difference in the Turnpike that the environment names", async () => {
    process.env.TURNPIKE_URL = server.url;
    const { code, out, error } = await turnpikeHere("conformance");
    delete process.env.TURNPIKE_URL;
    expect([code, error], out).toEqual([0, ""]);
    expect(out).toMatch(/^\d+ steps run, 0 differ; \d+ left out/);
  });

  it("asks another limiter as a mapping says, and shows what differs", async () => {
    const own = createServer((_, response) => {
      response.writeHead(200, { "X-Left": "7" });
      response.end('{"verdict":{"ok":true}}');
    }).listen(0, "127.0.0.1");
    await once(own, "listening");
    const url = `http://127.0.0.1:${(own.address() as AddressInfo).port}`;
    const mapping = {
      path: "/limit?id={key}",
      method: "GET",
      allowed: "verdict.ok",
      remaining: "header:X-Left",
    };
    const args = [
      "--algorithm",
      "fixed-window",
      "--mapping",
      fileWith("mapping.json", JSON.stringify(mapping)),
    ];
    const { code, out } = await turnpikeHere("conformance", "--url", url, ...args);
    expect(code).toBe(1);
    expect(out).toMatch(/│ fixed-window │ .* │ allowed +│ false +│ true/);
    expect(out).toMatch(/│ remaining +│ \d+ +│ 7/);
    own.close();
    const wrong = fileWith("wrong.json", '{"alowed":"ok"}');
    expect(await turnpikeHere("conformance", "--url", url, "--mapping", wrong)).toMatchObject({
      code: 2,
      error: expect.stringContaining("mapping.alowed is not one of the fields method, path"),
    });
  });
});

describe("a mistake", () => {
  it("is said in one line, with code 2", async () => {
    const wrong = [
      [["check", "ann", "--policy", "magic"], "--policy must be"],
      [["check", "ann", "--limit", "-1"], "limit"],
      [
        ["check", "ann", "--policy", "default", "--cost", "x"],
        "--cost must be a whole number, got x",
      ],
      [["check", "ip:nobody", "--policy", "default"], "ip must be one address"],
      [["check", "ann"], "write --policy with a name, or --limit and --window"],
      [["block", "ann", "--for", "soon"], "--for must be"],
      [["block", "ann", "--for", "1 hour"], '(write "1h")'],
      [["block", "ann", "--for", "1", "hour"], "A duration is written as 1h"],
      [
        ["override", "ip:192.0.2.10", "--limit", "5"],
        "required option '--policy <name>' not specified",
      ],
      [["block", "ip:198.51.100.0/24"], BAN],
      [["block", "198.51.100.0/24"], BAN],
      [["check", "ip:2001:db8::/32", "--policy", "default"], "2001:db8::/32 is a network"],
      [
        ["block", "192.0.2.1:80"],
        `"192.0.2.1:80" (as an argument: user-1, ip:192.0.2.7, or '["my-app", "192.0.2.7"]')`,
      ],
      [
        ["override", "ip:192.0.2.7", "--policy", "day", "--limit", "5"],
        `ip must be left out under "day": its key [header:X-Api-Key] is not an address alone; write "key" with all its parts`,
      ],
      [["explain", "[my-app, x]"], "a key that begins with [ must be a list of texts in JSON"],
      [["explain", "[]"], "a key that begins with [ must be a list of texts in JSON"],
      [["explain", "[1]"], "a key that begins with [ must be a list of texts in JSON"],
      [["ring", "remove", "weur/99"], "weur/99"],
    ] as const;
    for (const [args, sentence] of wrong) {
      const { code, error, out } = await at(...args);
      expect([code, out]).toEqual([2, ""]);
      expect(error).toContain(sentence);
      expect(error.trim().split("\n")).toHaveLength(1);
    }
  });

  it("is a wrong token, or one that may not do this", async () => {
    const as = (token: string, ...args: string[]) =>
      turnpike([...args, "--url", server.url], "", { TURNPIKE_TOKEN: token });
    expect((await as("narrow", "peek", "dora", ...LIMIT)).code).toBe(0);
    expect((await as("narrow", "reset", "dora", ...LIMIT)).error).toContain("admin");
    const { code, error } = await as("wrong", "peek", "dora", ...LIMIT);
    expect([code, error]).toEqual([2, expect.stringContaining("is TURNPIKE_TOKEN right?")]);
  });

  it("is a Worker that is not there, or another site", async () => {
    const call = (url: string) =>
      turnpike(["check", "ann", "--policy", "default", "--url", url], "", { TURNPIKE_TOKEN: "t" });
    expect((await call("http://127.0.0.1:1023")).error).toContain(
      "is not reachable (ECONNREFUSED)",
    );
    expect((await call("ftp://example")).error).toContain("--url must be an address such as");
    expect(
      (await turnpike(["check", "ann", "--policy", "default", "--url", "https://limits.invalid"]))
        .error,
    ).toContain("no token: set TURNPIKE_TOKEN");
  });
});
