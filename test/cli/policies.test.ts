/** `turnpike policies` and `turnpike top`, against a running Worker. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { differences } from "../../src/cli/operate/written-policies.ts";
import type { WorkerdServer } from "../bench/workerd-server.ts";
import { ALL_OBJECTS, startGate } from "../http/gate-server.ts";
import { fileWith, removeFiles, turnpike, turnpikeHere } from "./turnpike.ts";

let server: WorkerdServer;
beforeAll(async () => {
  // It takes seconds, in which the Worker would close a connection that the next call takes.
  await import("wrangler");
  server = await startGate({ TOKEN: "dev", WATCH: "full" }, ALL_OBJECTS);
});
afterAll(async () => {
  await server.stop();
  removeFiles();
});

const at = (...args: string[]) => turnpikeHere(...args, "--url", server.url);
const policies = (...args: string[]) => at("policies", ...args);

const DEPLOYED = fileWith("deployed.json", '[{"limit":10,"window":"60s"}]');
const LOGIN = { name: "login", path: "/login", limit: 5, window: "10m" };
const NEW = fileWith("new.json", JSON.stringify([{ limit: 20, window: "60s" }, LOGIN]));
const TOML = fileWith("new.toml", '[[policies]]\nlimit = 30\nwindow = "60s"\n');
const WRANGLER = fileWith("wrangler.toml", '[[vars.POLICIES]]\nlimit = 40\nwindow = "60s"\n');
const CHANGES = ["~ default: limit 10 → 20", "+ login: path /login, limit 5, window 10m"];

// First, under the policy that was deployed.
describe("turnpike top", () => {
  it("shows the keys with the most requests, and with the most denials", async () => {
    const check = (key: string) => at("check", key, "--policy", "default");
    for (let n = 0; n < 12; n++) await check("busy");
    await at("check", "quiet", "--policy", "default", "--cost", "10");
    await check("quiet");
    await check("calm");
    // A key has one row, whatever counted it.
    await at("check", "busy", "--limit", "5", "--window", "60s");
    const top = async (...args: string[]) => JSON.parse((await at("top", ...args, "--json")).out);
    // What is counted comes to its owner a second later.
    await expect
      .poll(() => top(), { timeout: 20_000 })
      .toMatchObject([
        { key: "busy", policies: ["default", "fixed-window:1m"], requests: 13, denied: 2 },
        { key: "quiet", policies: ["default"], requests: 2, denied: 1 },
        { key: "calm", requests: 1, denied: 0 },
      ]);
    expect((await at("top", "--by", "denied", "--number", "1")).out).toMatch(
      /│ busy +│ default, fixed-window:1m │ 13 +│ 2 /,
    );
    const denied = await top("--by", "denied");
    expect(denied.map(({ key }: { key: string }) => key)).toEqual(["busy", "quiet"]);
    expect((await at("top", "--number", "0")).error).toContain("--number must be");
    expect((await at("top", "--every", "soon")).error).toContain("--every must be a duration");
  });

  it("asks again and again until Ctrl-C", async () => {
    const { code, error } = await turnpike(
      ["top", "--url", server.url, "--every", "1s", "--json"],
      "",
      {},
      ({ out }) => out.split("\n").length > 2,
    );
    expect([code, error]).toEqual([0, ""]);
  });
});

describe("turnpike policies", () => {
  it("shows what a file would change, and changes nothing unless it may", async () => {
    expect(await policies("diff", DEPLOYED)).toMatchObject({ code: 0, error: "" });
    const { code, out } = await policies("diff", NEW);
    expect([code, out.trim().split("\n").slice(1)]).toEqual([1, CHANGES]);
    const { differences: found } = JSON.parse((await policies("diff", NEW, "--json")).out);
    expect(found).toEqual(CHANGES);
    const refused = await policies("apply", NEW);
    expect([refused.code, refused.out]).toEqual([2, ""]);
    expect(refused.error).toContain(
      `${CHANGES.join("\n")}\nturnpike: nothing changed: write --yes`,
    );
    expect((await policies("get")).out).toMatch(/^version 0, deployment\n/);
  });

  it("applies files of all forms, and rolls back", async () => {
    const applied = await policies("apply", NEW, "--yes", "--by", "ann");
    expect([applied.code, applied.out]).toEqual([
      0,
      expect.stringMatching(/^now version 1, live, by ann at 20/),
    ]);
    expect((await policies("apply", NEW, "--yes")).out).toContain("no difference, nothing changed");
    expect((await policies("apply", TOML, "--yes")).error).not.toContain("turnpike: ");
    expect((await policies("apply", WRANGLER, "--yes")).error).not.toContain("turnpike: ");
    expect((await policies("get")).out).toMatch(/│ default │ 40 /);
    const running = fileWith("running.json", (await policies("get", "--json")).out);
    expect((await policies("diff", running)).code).toBe(0);
    expect((await policies("rollback", "1", "--yes")).out).toContain("now version 4, live");
    expect((await policies("diff", NEW)).code).toBe(0);
    expect((await policies("rollback", "9", "--yes")).error).toContain(
      "there is no version 9: the history has 4, 3, 2, 1, and 0",
    );
    const back = await policies("rollback", "0");
    expect([back.code, back.out]).toEqual([2, ""]);
    expect(back.error).toMatch(
      /^version 4, live, .*, and then:\n~ default: limit 20 → 10\n- login: .*\nfrom then on, each deployment puts its own policies in force\nturnpike: nothing changed: write --yes/,
    );
    expect((await policies("rollback", "0", "--yes")).out).toContain("now version 5, deployment");
    expect((await policies("rollback", "0")).out).toContain("no difference, nothing changed");
    expect((await policies("history")).out).toMatch(/│ 1 +│ live +│ ann /);
  });

  it("says who was first where two change them", async () => {
    const headers = { Authorization: "Bearer dev" };
    const put = (body: string, ifMatch: string) =>
      fetch(`${server.url}_turnpike/v1/policies`, {
        method: "PUT",
        headers: { ...headers, "If-Match": ifMatch },
        body,
      });
    // In front of the Worker: Bob is faster than each change that comes this way.
    const proxy = createServer(async (request, response) => {
      const body = await text(request);
      const bobs = { policies: [{ limit: 7, window: "60s" }], by: "bob" };
      if (request.method === "PUT") await put(JSON.stringify(bobs), "*");
      const answer =
        request.method === "PUT"
          ? await put(body, request.headers["if-match"] ?? "")
          : await fetch(new URL(request.url ?? "", server.url), { headers });
      response.writeHead(answer.status).end(await answer.text());
    }).listen(0, "127.0.0.1");
    await once(proxy, "listening");
    const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const { code, error } = await turnpikeHere("policies", "apply", NEW, "--yes", "--url", url);
    proxy.close();
    expect(code).toBe(2);
    expect(error).toMatch(
      /turnpike: the policies have changed meanwhile: version \d+, live, by bob /,
    );
    expect((await policies("get")).out).toMatch(/│ default │ 7 /);
  });

  it("refuses a policy that is wrong before it asks the Worker", async () => {
    const wrong = fileWith("wrong.json", '[{"limit":-1,"window":"60s"}]');
    for (const verb of ["diff", "apply"]) {
      const { code, out, error } = await turnpikeHere("policies", verb, wrong, "--url", "nowhere");
      expect([code, out]).toEqual([2, ""]);
      expect(error).toMatch(/^turnpike: POLICIES\[0\]\.limit must be .*\n$/);
    }
  });

  it("compares policies as they are written, whatever the order of their fields", () => {
    const one = { name: "a", limit: 1, overrides: [{ key: "x", limit: 2 }] };
    expect(
      differences([one], [{ overrides: [{ limit: 2, key: "x" }], limit: 1, name: "a" }]),
    ).toEqual([]);
    const other = { name: "b", limit: 1 };
    expect(differences([one, other], [other, one])).toEqual(["~ order: b, a"]);
    expect(differences([{ ...one, path: "/x" }], [one])).toEqual(["~ a: path /x → none"]);
  });
});
