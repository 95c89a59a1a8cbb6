/** What the commands say of servers that are no Turnpike, or answer in no way at all. */
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fileWith, removeFiles, turnpikeHere } from "./turnpike.ts";

const servers: Server[] = [];
const { TURNPIKE_TOKEN } = process.env;
beforeAll(() => {
  process.env.TURNPIKE_TOKEN = "t";
});
afterAll(() => {
  for (const server of servers) server.close();
  removeFiles();
  if (TURNPIKE_TOKEN === undefined) delete process.env.TURNPIKE_TOKEN;
  else process.env.TURNPIKE_TOKEN = TURNPIKE_TOKEN;
});

async function urlOf(server: Server): Promise<string> {
  servers.push(server.listen(0, "127.0.0.1"));
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const answering = (listener: RequestListener) => urlOf(createServer(listener));

const mapping = fileWith("mapping.json", '{"allowed": "ok"}');

/** Expects one line on standard error, and exit code 2. */
async function said(url: string): Promise<string> {
  for (const args of [["ring"], ["policies", "get"], ["top"], ["block", "ann"], ["conformance"]]) {
    const { code, out, error } = await turnpikeHere(...args, "--url", url);
    expect([code, out]).toEqual([2, ""]);
    expect(error).toMatch(/^turnpike: \P{Cc}+\n$/u);
  }
  return (await turnpikeHere("peek", "ann", "--policy", "default", "--url", url)).error;
}

describe("a server that is no Turnpike", () => {
  it("answers a page", async () => {
    const url = await answering((_, response) => response.end("<html>hello</html>"));
    expect(await said(url)).toContain("answers no JSON: is it a Turnpike?");
    const { code, error } = await turnpikeHere("conformance", "--url", url, "--mapping", mapping);
    expect([code, error]).toEqual([2, expect.stringContaining("answers no JSON, in which")]);
  });

  it("answers nothing", async () => {
    const url = await answering((_, response) => response.end());
    expect(await said(url)).toContain("answers no JSON: is it a Turnpike?");
  });

  it("says something that would colour a terminal", async () => {
    const body = JSON.stringify({ detail: "\u001b[31mred\nand more" });
    const url = await answering((_, response) => response.writeHead(400).end(body));
    expect(await said(url)).toBe("turnpike: [31mred and more\n");
  });

  it.each([
    ["a text of a later version", "--for: a text of a later version"],
    ["duration has a new rule", "--for has a new rule"],
    ["durations are long", "--for: durations are long"],
  ])("says of a field in other words than today's: %s", async (detail, text) => {
    const body = JSON.stringify({ detail, field: "duration" });
    const url = await answering((_, response) => response.writeHead(400).end(body));
    const { error } = await turnpikeHere("block", "ann", "--for", "soon", "--url", url);
    expect(error).toBe(`turnpike: ${text}\n`);
  });

  it("answers an error of its own", async () => {
    const url = await answering((_, response) => response.writeHead(500).end("<h1>Oops</h1>"));
    expect(await said(url)).toContain("answers 500: is it a Turnpike?");
  });

  it("does not know the call", async () => {
    const url = await answering((_, response) => response.writeHead(404).end("<h1>Oops</h1>"));
    expect(await said(url)).toContain(
      "does not know /_turnpike/v1/peek: is it a Turnpike, and as new as this one? An app with the library has no API",
    );
  });

  it.each(["[1, null]", "null", "7", '"text"'])("answers JSON such as %s", async (body) => {
    const url = await answering((_, response) => response.end(body));
    expect(await said(url)).toContain("answers JSON of another kind: is it a Turnpike?");
  });

  it("redirects, and never sees the token again", async () => {
    let calls = 0;
    const url = await answering((_, response) => {
      calls++;
      response.writeHead(302, { Location: "https://login.example.com/?next=x" }).end();
    });
    expect(await said(url)).toContain(
      "sends us on to https://login.example.com: write --url https://login.example.com?",
    );
    expect(calls).toBe(6);
  });

  it("breaks off in the middle of its answer", async () => {
    const url = await answering((_, response) => {
      response.writeHead(200, { "Content-Length": "100" });
      response.write('{"all', () => response.destroy());
    });
    expect(await said(url)).toContain("is not reachable");
  });

  it("speaks no HTTP, or hangs up", async () => {
    const other = await urlOf(createTcpServer((socket) => socket.end("220 mail.example.com\r\n")));
    expect(await said(other)).toContain("is not reachable");
    expect(await said(other.replace("http:", "https:"))).toContain("is not reachable");
    expect(await said(await urlOf(createTcpServer((socket) => socket.destroy())))).toContain(
      "is not reachable",
    );
  });
});

describe("an address", () => {
  it.each([
    [
      "http://127.0.0.1:1023",
      "http://127.0.0.1:1023 is not reachable (ECONNREFUSED): set TURNPIKE_URL or --url",
    ],
    ["https://limits.invalid", "https://limits.invalid is not reachable (ENOTFOUND)"],
    ["localhost:1023", "http://localhost:1023 is not reachable (ECONNREFUSED)"],
    ["https://example.com/api", "--url must have no path, got https://example.com/api"],
    ["https://ann:pw@example.com", "--url must have no user and no password in it"],
    ["ftp://example.com", "--url must be an address such as"],
    ["", "--url must be an address such as"],
  ])("%j is refused", async (url, sentence) => {
    expect(await said(url)).toContain(sentence);
  });

  it("may be the one of the API", async () => {
    let path: string | undefined;
    const url = await answering(({ url }, response) => {
      path = url;
      response.end('{"regions": []}');
    });
    expect((await turnpikeHere("ring", "--url", `${url}/_turnpike/v1/`)).code).toBe(0);
    expect(path).toBe("/_turnpike/v1/ring");
  });
});

it("sends no token that a header cannot have", async () => {
  process.env.TURNPIKE_TOKEN = "two words\n";
  const { error } = await turnpikeHere("ring", "--url", "https://limits.invalid");
  process.env.TURNPIKE_TOKEN = "t";
  expect(error).toBe("turnpike: the token has a space, or a letter that no header may have\n");
});
