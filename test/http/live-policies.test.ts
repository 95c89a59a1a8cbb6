/** Policies that are changed while the deployed Worker runs, in a workerd with nothing in front. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { bundleFile } from "../bench/contenders.ts";
import { startWorkerd, type WorkerdServer } from "../bench/workerd-server.ts";

const DEPLOYED = [{ name: "site", limit: 5, window: "1d" }];
const TOKEN = "check:counts admin:rules";

let folder: string;
let server: WorkerdServer;
let output = "";

const start = async () => {
  server = await startWorkerd({
    script: await bundleFile("src/worker.ts"),
    vars: { TOKEN, POLICIES: JSON.stringify(DEPLOYED), DEADLINE: "10s" },
    hasObjects: true,
    hasMembership: true,
    hasEvents: true,
    folder,
    onOutput: (text) => {
      output += text;
    },
  });
};

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "turnpike-policies-"));
  await start();
});

afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function call(
  method: string,
  { path = "", body, ifMatch, token = "rules" }: Partial<Record<string, unknown>> = {},
) {
  const isText = typeof body === "string";
  const response = await fetch(`${server.url}_turnpike/v1/policies${path}`, {
    method,
    headers: {
      Authorization: `Bearer ${token}`,
      ...(ifMatch !== undefined && { "If-Match": String(ifMatch) }),
    },
    ...(body !== undefined && { body: isText ? body : JSON.stringify(body) }),
  });
  const json = (await response.json()) as Record<string, unknown>;
  return { status: response.status, etag: response.headers.get("ETag"), json };
}

async function put(policies: unknown, by?: string) {
  const { etag } = await call("GET");
  return call("PUT", { body: { policies, by }, ifMatch: etag });
}

beforeEach(async () => {
  const { etag, json } = await call("GET");
  if (json.source === "live") await call("DELETE", { ifMatch: etag });
});

describe("the policies in force", () => {
  it("are those of the deployment, version 0, until somebody changes them", async () => {
    expect(await call("GET")).toEqual({
      status: 200,
      etag: '"0"',
      json: { policies: DEPLOYED, source: "deployment", version: 0, by: null, at: null },
    });
    expect(await call("GET", { path: "/history" })).toMatchObject({
      json: { versions: [], deployed: DEPLOYED },
    });
  });

  it("are replaced whole, with who and when, and go back to the deployment's", async () => {
    const policies = [
      { name: "site", limit: 7, window: "1d" },
      { name: "b", limit: 1, window: "1s" },
    ];
    const { etag } = await call("GET");
    const changed = await call("PUT", { body: { policies, by: "kim" }, ifMatch: etag });
    const version = Number(etag?.slice(1, -1)) + 1;
    const live = { policies, source: "live", version, by: "kim", at: expect.stringMatching(/Z$/) };
    expect(changed).toEqual({ status: 200, etag: `"${version}"`, json: live });
    expect((await call("GET")).json).toEqual(live);
    for (const path of ["?by=lee&by=kim", "?who=lee"]) {
      expect(await call("DELETE", { path })).toMatchObject({ status: 400 });
    }
    const gone = await call("DELETE", { path: "?by=lee", ifMatch: changed.etag });
    expect(gone).toMatchObject({
      etag: `"${version + 1}"`,
      json: { policies: DEPLOYED, source: "deployment", by: "lee" },
    });
    const { versions } = (await call("GET", { path: "/history" })).json as { versions: object[] };
    expect(versions.slice(0, 2)).toMatchObject([{ source: "deployment", by: "lee" }, live]);
    expect(output).toContain(`{"event":"policies-changed","version":${version}`);
  });

  it("can be any version of the history again", async () => {
    await put([{ name: "once", limit: 3, window: "1m", refusal: { status: 420 } }]);
    await put([{ name: "twice", limit: 4, window: "1m" }]);
    const { versions } = (await call("GET", { path: "/history" })).json as {
      versions: { policies: unknown }[];
    };
    const again = await put(versions[1]?.policies);
    expect(again.json.policies).toEqual(versions[1]?.policies);
  });

  it("may be 1,000", async () => {
    const policies = Array.from({ length: 1_000 }, (_, at) => ({
      name: `policy-${at}`,
      limit: at + 1,
      window: "1h",
      path: `/some/longer/path/of/a/site/${at}/*`,
      key: ["ip", "header:X-Api-Key"],
      algorithm: "sliding-window",
    }));
    expect((await put(policies)).status).toBe(200);
    expect((await call("GET")).json.policies).toEqual(policies);
  });

  it("are those that the live page shows", async () => {
    await put([{ name: "shown", limit: 9, window: "1h" }]);
    const headers = { Authorization: "Bearer rules" };
    const response = await fetch(`${server.url}_turnpike/live`, { headers });
    let text = "";
    const decoder = new TextDecoder();
    for await (const piece of response.body as AsyncIterable<Uint8Array>) {
      text += decoder.decode(piece, { stream: true });
      if (text.includes("\n\n")) break;
    }
    const [, data = ""] = /^data: (.*)$/m.exec(text) ?? [];
    const { policies } = JSON.parse(data);
    expect(policies).toMatchObject([{ name: "shown", limit: 9 }]);
  });

  it("stay when the process is killed right after the answer", async () => {
    const { json } = await put([{ name: "kept", limit: 9, window: "1h" }]);
    await server.kill();
    await start();
    expect((await call("GET")).json).toEqual(json);
  });
});

describe("a change", () => {
  it("is refused without If-Match, and told which version is in force", async () => {
    const { etag } = await call("GET");
    const { status, json } = await call("PUT", { body: { policies: DEPLOYED } });
    expect([status, json.detail]).toEqual([428, expect.stringContaining(`${etag} is in force`)]);
    expect((await call("GET")).etag).toBe(etag);
  });

  it("back to the deployment needs no If-Match, but obeys one", async () => {
    const { etag } = await put([{ name: "brief", limit: 9, window: "1h" }]);
    expect((await call("DELETE", { ifMatch: '"1"' })).status).toBe(412);
    expect((await call("GET")).etag).toBe(etag);
    const { status, json } = await call("DELETE");
    expect([status, json.source]).toEqual([200, "deployment"]);
  });

  it("is refused for the second of two operators at one time", async () => {
    const { etag } = await call("GET");
    const both = await Promise.all(
      [8, 9].map((limit) =>
        call("PUT", { body: { policies: [{ limit, window: "1h" }] }, ifMatch: etag }),
      ),
    );
    const [won, lost] = both.toSorted((a, b) => a.status - b.status);
    expect([won?.status, lost?.status]).toEqual([200, 412]);
    expect(lost?.json.detail).toContain(`must be ${won?.etag}`);
    expect(lost?.etag).toBe(won?.etag);
    expect((await call("GET")).json).toEqual(won?.json);
  });

  it.each(['W/"1"', "1", '"abc"', '"1", "2"', '"99999999999999999999"'])(
    "is refused if If-Match names no version: %s",
    async (ifMatch) => {
      expect((await call("PUT", { body: { policies: DEPLOYED }, ifMatch })).status).toBe(412);
    },
  );

  it("replaces any version if If-Match is *", async () => {
    const body = { policies: [{ limit: 2, window: "1h" }] };
    expect((await call("PUT", { body, ifMatch: "*" })).status).toBe(200);
  });

  it.each([
    [{ policies: [{ name: "a", limit: -1, window: "1h" }] }, "policies[0].limit"],
    [{ policies: [{ name: "a", limit: 1, window: "soon" }] }, "policies[0].window"],
    [{ policies: [{ name: "a", limit: 1, window: "1h", typo: 1 }] }, "policies[0].typo"],
    [{ policies: [DEPLOYED[0], { name: "site", limit: 1, window: "1h" }] }, "policies[1].name"],
    [{ policies: [] }, "policies"],
    [{ policies: {} }, "policies"],
    [{ policy: [] }, "policy"],
    [{ policies: DEPLOYED, by: "x".repeat(65) }, "by"],
    [{ policies: DEPLOYED, by: 7 }, "by"],
    [[], ""],
    [null, ""],
    ["not JSON", ""],
  ])("with a mistake names it and changes nothing: %j", async (body, field) => {
    const { etag } = await call("GET");
    const { status, json } = await call("PUT", { body, ifMatch: etag });
    expect([status, json.field]).toEqual([400, field]);
    expect((await call("GET")).etag).toBe(etag);
  });

  it("is refused if the body is too large", async () => {
    const body = JSON.stringify({ policies: DEPLOYED, by: "x".repeat(600_000) });
    expect((await call("PUT", { body, ifMatch: "*" })).status).toBe(413);
  });

  it("is refused for a token that may only check", async () => {
    for (const method of ["GET", "PUT", "DELETE"]) {
      expect((await call(method, { token: "counts" })).status).toBe(403);
    }
  });
});

describe("requests", () => {
  const visit = async (client: string) => {
    const response = await fetch(server.url, { headers: { "CF-Connecting-IP": client } });
    await response.arrayBuffer();
    const policy = response.headers.get("RateLimit-Policy") ?? "";
    const limits = [...policy.matchAll(/;q=(\d+)/g)].map(([, limit]) => Number(limit));
    const left = Number(/r=(\d+)/.exec(response.headers.get("RateLimit") ?? "")?.[1]);
    return { status: response.status, limits, left };
  };

  it("are decided under a new version, and what was counted goes on", async () => {
    const client = "192.0.2.1";
    for (const left of [4, 3, 2]) {
      expect(await visit(client)).toEqual({ status: 200, limits: [5], left });
    }
    await put([{ name: "site", limit: 9, window: "1d" }]);
    const limits = async () => (await visit(client)).limits;
    await expect.poll(limits, { interval: 20, timeout: 60_000 }).toEqual([9]);
    const { left } = await visit(client);
    expect(left).toBeLessThan(9 - 3);
  });

  it("are decided under a new version from a new isolate's first request on", async () => {
    await put([{ name: "site", limit: 77, window: "1d" }]);
    await server.stop();
    await start();
    expect(await visit("192.0.2.2")).toMatchObject({ limits: [77], left: 76 });
  });

  it("are not denied because of a denial under the previous version", async () => {
    const client = "192.0.2.3";
    await put([{ name: "site", limit: 1, window: "1d" }]);
    const status = async () => (await visit(client)).status;
    await expect.poll(status, { interval: 20, timeout: 60_000 }).toBe(429);
    // The isolate that makes a change follows it at once, and there is no other here.
    await put([{ name: "site", limit: 1, window: "1d", shadow: true }]);
    expect(await status()).toBe(200);
  });

  it("never see a mixture, a wrong version, an error or a lost count in ten changes", async () => {
    const client = "192.0.2.4";
    // The version is in both limits.
    const limitsOf = (n: number) => [1_000_000 + n, 2_000_000 + n];
    const policiesOf = (n: number) => {
      const [limit, other] = limitsOf(n);
      return [
        { name: "busy", limit, window: "1d" },
        { name: "other", limit: other, window: "1d", key: ["host"] },
      ];
    };
    let begun = 0;
    await put(policiesOf(0));
    await expect.poll(async () => (await visit(client)).limits).toEqual(limitsOf(0));
    const { left: before } = await visit(client);
    let passed = 0;
    let isOver = false;
    const wrong: unknown[] = [];
    const seen = new Set<number>();
    const load = Array.from({ length: 8 }, async () => {
      let latest = 0;
      while (!isOver) {
        const { status, limits } = await visit(client);
        const n = (limits[0] as number) - 1_000_000;
        seen.add(n);
        passed++;
        // One after the other, so none goes back to an earlier version.
        const isKnown = n >= latest && n <= begun;
        if (status !== 200 || limits[1] !== 2_000_000 + n || !isKnown)
          wrong.push({ status, limits });
        latest = n;
      }
    });
    for (let n = 1; n <= 10; n++) {
      begun = n;
      expect((await put(policiesOf(n))).status).toBe(200);
      await expect.poll(() => seen.has(n), { interval: 5, timeout: 60_000 }).toBe(true);
    }
    isOver = true;
    await Promise.all(load);
    expect(wrong).toEqual([]);
    const { limits, left } = await visit(client);
    expect(limits).toEqual(limitsOf(10));
    expect(before - left).toBe(passed + 1 - 10);
  });
});
