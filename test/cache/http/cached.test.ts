/** What the middleware stores and serves, upon a store within the test. */
import { Hono } from "hono";
import { describe, expect, it, vi } from "vitest";
import { cachedIn } from "../../../src/cache/http/cached.ts";
import { movingDate, settled } from "../moving-date.ts";
import { CachedApp, statusOf } from "./cached-app.ts";

const pass = movingDate();

describe("a response that says how long it is fresh", () => {
  it("is served from the store until then, with its age", async () => {
    const site = new CachedApp();
    site.says({ "Cache-Control": "max-age=60", "X-Of": "handler" }, "once");
    const first = await site.send();
    expect(statusOf(first)).toEqual({ fwd: "miss", stored: true });
    expect(first.headers.has("Age")).toBe(false);
    pass(59_000);
    const second = await site.send();
    expect(await second.text()).toBe("once");
    expect(second.headers.get("Age")).toBe("59");
    expect(second.headers.get("X-Of")).toBe("handler");
    expect(second.headers.get("Date")).toBe("Sat, 22 Nov 2036 12:00:00 GMT");
    expect(second.headers.get("Content-Length")).toBe("4");
    expect(statusOf(second)).toEqual({ hit: true, ttl: 1 });
    pass(1_000);
    expect(statusOf(await site.send())).toEqual({ fwd: "miss", stored: true });
    expect(site.handled.length).toBe(2);
  });

  it("is as old as the caches before say", async () => {
    const site = new CachedApp();
    site.says({ "Cache-Control": "max-age=60", Age: "50" });
    await site.send();
    pass(9_000);
    const hit = await site.send();
    expect(hit.headers.get("Age")).toBe("59");
    expect(statusOf(hit)).toEqual({ hit: true, ttl: 1 });
    pass(1_000);
    expect(statusOf(await site.send()).fwd).toBe("miss");
  });

  it("is stored byte for byte, also without a body", async () => {
    const site = new CachedApp();
    const bytes = Uint8Array.from({ length: 70_000 }, (_, at) => (at * 31) % 256);
    site.answer = () => new Response(bytes, { headers: { "Cache-Control": "max-age=60" } });
    await (await site.send()).bytes();
    expect(await (await site.send()).bytes()).toEqual(bytes);
    site.answer = () =>
      new Response(null, { status: 204, headers: { "Cache-Control": "max-age=60" } });
    await site.send({}, "/empty");
    const hit = await site.send({}, "/empty");
    expect(hit.status).toBe(204);
    expect(statusOf(hit).hit).toBe(true);
  });

  it("does not give one request's fields of a middleware in front to others", async () => {
    const site = new CachedApp();
    const outer = new Hono();
    let id = 0;
    outer.use(async (c, next) => {
      c.header("X-Request-Id", String(++id));
      await next();
    });
    outer.route("/", site.app);
    site.answer = (c) => c.text("Hi there!", 200, { "Cache-Control": "max-age=60" });
    const first = await outer.request("https://site.example/");
    const second = await outer.request("https://site.example/");
    expect(first.headers.get("X-Request-Id")).toBe("1");
    expect(second.headers.get("X-Request-Id")).toBe("2");
    expect(statusOf(second).hit).toBe(true);
  });
});

describe("a response that says nothing of its freshness", () => {
  it("is not stored", async () => {
    const site = new CachedApp();
    await site.send();
    expect(statusOf(await site.send())).toEqual({ fwd: "miss", detail: "no-freshness" });
    expect(site.handled.length).toBe(2);
  });

  it("is fresh for the ttl of the options", async () => {
    const site = new CachedApp({ ttl: "5s" });
    await site.send();
    pass(4_999);
    expect(statusOf(await site.send())).toEqual({ hit: true, ttl: 0 });
    pass(1);
    expect(statusOf(await site.send()).fwd).toBe("miss");
  });

  it("is not stored if its status is an error's", async () => {
    const site = new CachedApp({ ttl: "5s" });
    site.says({}, "broken", 500);
    await site.send();
    expect(statusOf(await site.send())).toEqual({ fwd: "miss", detail: "status" });
    site.answer = () => {
      throw new Error("broken");
    };
    vi.spyOn(console, "error").mockImplementation(() => {});
    expect(statusOf(await site.send())).toEqual({ fwd: "miss", detail: "error" });
  });
});

describe("what is meant for one client", () => {
  it.each([
    ["private", { "Cache-Control": "private, max-age=60" }, "private"],
    ["no-store", { "Cache-Control": "no-store, max-age=60" }, "no-store"],
    ["a cookie", { "Cache-Control": "max-age=60", "Set-Cookie": "a=b" }, "set-cookie"],
    ["Vary: *", { "Cache-Control": "max-age=60", Vary: "Accept, *" }, "vary"],
  ])("is not stored: %s", async (_, headers, detail) => {
    const site = new CachedApp({ ttl: "1h" });
    site.says(headers as Record<string, string>);
    await site.send();
    expect(statusOf(await site.send())).toEqual({ fwd: "miss", detail });
    expect(site.handled.length).toBe(2);
  });

  it("is stored without the fields that the response names", async () => {
    const site = new CachedApp();
    site.says({ "Cache-Control": 'max-age=60, no-cache="Set-Cookie"', "Set-Cookie": "a=b" });
    expect((await site.send()).headers.get("Set-Cookie")).toBe("a=b");
    const hit = await site.send();
    expect(statusOf(hit).hit).toBe(true);
    expect(hit.headers.has("Set-Cookie")).toBe(false);
  });

  it("is not stored if the request has Authorization, unless the response allows it", async () => {
    const site = new CachedApp({ ttl: "1h" });
    const asAda = { Authorization: "Bearer ada" };
    site.says({ "Cache-Control": "max-age=60" }, "for Ada");
    expect(statusOf(await site.send(asAda))).toEqual({ fwd: "miss", detail: "authorization" });
    site.says({ "Cache-Control": "max-age=60, public" }, "for all");
    expect(await (await site.send()).text()).toBe("for all");
    expect(statusOf(await site.send(asAda)).hit).toBe(true);
    site.says({ "Cache-Control": "s-maxage=60" }, "of Ada for all");
    await site.send(asAda, "/shared");
    await settled();
    expect(await (await site.send({}, "/shared")).text()).toBe("of Ada for all");
    expect(site.handled.length).toBe(3);
  });
});

describe("requests at the same time", () => {
  function stampede(site: CachedApp, headersOf: (at: number) => Record<string, string>) {
    return Promise.all(Array.from({ length: 20 }, (_, at) => site.send(headersOf(at))));
  }
  const slowly = async (response: () => Response) => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return response();
  };

  it("share one answer", async () => {
    const site = new CachedApp({ ttl: "5s" });
    site.answer = (c) => slowly(() => c.text("shared"));
    const responses = await stampede(site, () => ({}));
    expect(site.handled.length).toBe(1);
    const told = responses.map(statusOf);
    expect(told.filter(({ stored }) => stored)).toHaveLength(1);
    expect(told.filter(({ collapsed }) => collapsed)).toHaveLength(19);
    expect(new Set(await Promise.all(responses.map((each) => each.text())))).toEqual(
      new Set(["shared"]),
    );
  });

  it("share it though the client leaves whose request runs the handler", async () => {
    const site = new CachedApp({ ttl: "5s" });
    const client = new AbortController();
    site.answer = async (c) => {
      const { signal } = c.req.raw;
      client.abort();
      return slowly(() => (signal.aborted ? c.text("gone", 500) : c.text("shared")));
    };
    const first = new Request("https://site.example/", { signal: client.signal });
    const [, second] = await Promise.all([site.app.fetch(first), site.send()]);
    expect(await second.text()).toBe("shared");
    expect(site.handled.length).toBe(1);
  });

  it("reach the handler where the store fails", async () => {
    const site = new CachedApp({ ttl: "5s" });
    const fail = async () => {
      throw new Error("unreachable");
    };
    Object.assign(site.store, { find: fail, lookUp: fail, purge: fail });
    for (const method of ["GET", "HEAD", "POST"]) {
      expect((await site.send({}, "/", method)).status).toBe(200);
    }
  });

  it("never share what is meant for one of them", async () => {
    const site = new CachedApp({ ttl: "5s" });
    site.answer = (c) => {
      const user = c.req.header("X-User") ?? "";
      return slowly(() => c.text(user, 200, { "Cache-Control": "private" }));
    };
    const responses = await stampede(site, (at) => ({ "X-User": `user-${at}` }));
    const bodies = await Promise.all(responses.map((each) => each.text()));
    expect(bodies).toEqual(Array.from({ length: 20 }, (_, at) => `user-${at}`));
  });

  it("share one answer for each value of a field that it varies by", async () => {
    const site = new CachedApp({ ttl: "5s" });
    site.answer = (c) => {
      const language = c.req.header("Accept-Language") ?? "";
      return slowly(() => c.text(language, 200, { Vary: "Accept-Language" }));
    };
    const responses = await stampede(site, (at) => ({ "Accept-Language": at % 2 ? "de" : "en" }));
    const bodies = await Promise.all(responses.map((each) => each.text()));
    expect(bodies).toEqual(Array.from({ length: 20 }, (_, at) => (at % 2 ? "de" : "en")));
    expect(site.handled.length).toBe(2);
  });

  it("do not wait for one another where nothing was stored just before", async () => {
    const site = new CachedApp();
    await site.send();
    let most = 0;
    let now = 0;
    site.answer = async (c) => {
      most = Math.max(most, ++now);
      return slowly(() => {
        now--;
        return c.text("each its own");
      });
    };
    await stampede(site, () => ({}));
    expect(most).toBe(20);
  });
});

describe("a response that depends on fields of the request", () => {
  it("is served to requests that have the same, until its URL changes", async () => {
    const site = new CachedApp({ ttl: "1h" });
    site.answer = (c) => c.text(c.req.header("Accept") ?? "", 200, { Vary: "Accept" });
    for (const Accept of ["text/html", "text/plain"]) await site.send({ Accept });
    await settled();
    for (const Accept of ["text/html", "text/plain"]) {
      const hit = await site.send({ Accept });
      expect(await hit.text()).toBe(Accept);
      expect(statusOf(hit).hit).toBe(true);
    }
    await site.send({}, "/", "POST");
    expect(statusOf(await site.send({ Accept: "text/html" })).fwd).toBe("miss");
  });

  it("may depend on further fields for some of them", async () => {
    const site = new CachedApp({ ttl: "1h" });
    site.answer = (c) => {
      const kind = c.req.header("Accept") ?? "";
      const user = c.req.header("X-Group") ?? "";
      const Vary = kind === "text/html" ? "Accept, X-Group" : "Accept";
      return c.text(`${kind} ${kind === "text/html" ? user : ""}`, 200, { Vary });
    };
    const requests = ["text/plain", "text/html"].flatMap((Accept) =>
      ["a", "b"].map((group) => ({ Accept, "X-Group": group })),
    );
    for (const request of requests) {
      await site.send(request);
      await settled();
    }
    expect(site.handled.length).toBe(3);
    const bodies: string[] = [];
    for (const request of requests) bodies.push(await (await site.send(request)).text());
    expect(bodies).toEqual(["text/plain ", "text/plain ", "text/html a", "text/html b"]);
    expect(site.handled.length).toBe(3);
  });
});

describe("a stale response", () => {
  it("is served while another is made, for as long as it or the options allow", async () => {
    const site = new CachedApp({ ttl: "10s", staleFor: "5s" });
    site.says({}, "old");
    await site.send();
    pass(12_000);
    site.says({}, "new");
    const stale = await site.send();
    expect(await stale.text()).toBe("old");
    expect(statusOf(stale)).toEqual({ hit: true, ttl: -2 });
    await settled();
    expect(await (await site.send()).text()).toBe("new");
    pass(15_000);
    expect(statusOf(await site.send()).fwd).toBe("miss");
    expect(site.handled.length).toBe(3);
  });

  it("is made anew once, however many requests it serves meanwhile", async () => {
    const site = new CachedApp({ ttl: "10s", staleFor: "5s" });
    await site.send();
    pass(12_000);
    site.answer = async (c) => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return c.text("new");
    };
    const stale = await Promise.all(Array.from({ length: 20 }, () => site.send()));
    expect(stale.map((each) => statusOf(each).hit)).toEqual(stale.map(() => true));
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(await (await site.send()).text()).toBe("new");
    expect(site.handled.length).toBe(2);
  });

  it("lets later handlers see what the middlewares in front have set", async () => {
    const site = new CachedApp({ ttl: "10s", staleFor: "5s" });
    const outer = new Hono<{ Variables: { user: string } }>();
    outer.use(async (c, next) => {
      c.set("user", "ada");
      await next();
    });
    outer.route("/site", site.app);
    site.answer = (c) => c.text(`${c.get("user")} ${c.req.path} ${site.handled.length}`);
    const send = () => outer.request("https://site.example/site/x");
    await send();
    pass(12_000);
    await send();
    await settled();
    expect(await (await send()).text()).toBe("ada /site/x 2");
  });

  it("is served in place of an error", async () => {
    const site = new CachedApp();
    site.says({ "Cache-Control": "max-age=10, stale-if-error=20" }, "old");
    await site.send();
    pass(29_000);
    site.says({}, "broken", 503);
    const old = await site.send();
    expect(old.status).toBe(200);
    expect(await old.text()).toBe("old");
    expect(statusOf(old)).toEqual({ fwd: "stale", "fwd-status": 503, ttl: -19 });
    pass(1_000);
    expect((await site.send()).status).toBe(503);
  });

  it.each(["must-revalidate", "proxy-revalidate", "s-maxage=10"])(
    "is not served after %s",
    async (directive) => {
      const site = new CachedApp({ staleFor: "1h" });
      site.says({ "Cache-Control": `max-age=10, ${directive}`, ETag: '"1"' }, "old");
      await site.send();
      pass(12_000);
      site.says({}, "broken", 503);
      expect((await site.send({ "Cache-Control": "max-stale" })).status).toBe(503);
    },
  );

  it("is confirmed by the handler's 304, which updates its fields", async () => {
    const site = new CachedApp();
    site.says({ "Cache-Control": "max-age=10", ETag: '"1"', "X-Of": "first" }, "the body");
    await site.send();
    pass(12_000);
    site.answer = (c) =>
      c.req.header("If-None-Match") === '"1"'
        ? new Response(null, { status: 304, headers: { ETag: '"1"', "X-Of": "second" } })
        : c.text("not asked for");
    const confirmed = await site.send();
    expect(confirmed.status).toBe(200);
    expect(await confirmed.text()).toBe("the body");
    expect(confirmed.headers.get("X-Of")).toBe("second");
    expect(statusOf(confirmed)).toEqual({ fwd: "stale", "fwd-status": 304, ttl: 10 });
    pass(5_000);
    const hit = await site.send();
    expect(hit.headers.get("X-Of")).toBe("second");
    expect(statusOf(hit)).toEqual({ hit: true, ttl: 5 });
  });
});

describe("a conditional request", () => {
  it.each([
    ["first", '"abc"'],
    ["first", 'W/"abc"'],
    ["first", '"x", W/"abc"'],
    ["first", "*"],
  ])("is answered 304 from the store and from the handler: %s %s", async (_, tags) => {
    const site = new CachedApp({ ttl: "1m" });
    site.says({ ETag: 'W/"abc"', "Content-Type": "text/plain" });
    for (const told of [
      { fwd: "miss", stored: true },
      { hit: true, ttl: 60 },
    ]) {
      const response = await site.send({ "If-None-Match": tags });
      expect(response.status).toBe(304);
      expect(await response.text()).toBe("");
      expect(response.headers.get("ETag")).toBe('W/"abc"');
      expect(response.headers.has("Content-Type")).toBe(false);
      expect(statusOf(response)).toEqual(told);
    }
    expect((await site.send({ "If-None-Match": '"other"' })).status).toBe(200);
    expect(site.handled.length).toBe(1);
  });

  it("goes by its date only without tags", async () => {
    const site = new CachedApp({ ttl: "1m" });
    site.says({ "Last-Modified": "Sat, 22 Nov 2036 10:00:00 GMT", ETag: '"1"' });
    await site.send();
    const since = (text: string) => ({ "If-Modified-Since": text });
    expect((await site.send(since("Sat, 22 Nov 2036 10:00:00 GMT"))).status).toBe(304);
    expect((await site.send(since("Sat, 22 Nov 2036 09:59:59 GMT"))).status).toBe(200);
    const both = { ...since("Sat, 22 Nov 2036 10:00:00 GMT"), "If-None-Match": '"2"' };
    expect((await site.send(both)).status).toBe(200);
  });
});

describe("what a client asks for", () => {
  it("does not run the handler again, unless the options allow it", async () => {
    const asking = [
      { "Cache-Control": "no-cache" },
      { "Cache-Control": "max-age=1" },
      { "Cache-Control": "min-fresh=60" },
      { "Cache-Control": "no-store" },
      { Pragma: "no-cache" },
    ] as unknown as Record<string, string>[];
    for (const clientMayRefresh of [false, true]) {
      const site = new CachedApp({ ttl: "1m", clientMayRefresh });
      await site.send();
      for (const headers of asking) {
        pass(2_000);
        const { hit } = statusOf(await site.send(headers));
        await settled();
        expect(hit === true).toBe(!clientMayRefresh);
      }
      expect(site.handled.length).toBe(clientMayRefresh ? 6 : 1);
    }
  });

  it("is 504 where it wants nothing but what is stored", async () => {
    const site = new CachedApp({ ttl: "1m" });
    const onlyIfCached = { "Cache-Control": "only-if-cached" };
    expect((await site.send(onlyIfCached)).status).toBe(504);
    await site.send();
    expect((await site.send(onlyIfCached)).status).toBe(200);
    expect(site.handled.length).toBe(1);
  });

  it("is served stale where it accepts that", async () => {
    const site = new CachedApp();
    site.says({ "Cache-Control": "max-age=10", ETag: '"1"' });
    await site.send();
    pass(15_000);
    expect(statusOf(await site.send({ "Cache-Control": "max-stale=6" })).hit).toBe(true);
  });
});

describe("methods and ranges", () => {
  it("answers HEAD from what GET stored, and stores nothing of HEAD", async () => {
    const site = new CachedApp({ ttl: "1m" });
    site.says({}, "sixteen bytes :)");
    expect(statusOf(await site.send({}, "/", "HEAD"))).toEqual({ fwd: "miss" });
    await site.send();
    const head = await site.send({}, "/", "HEAD");
    expect(statusOf(head)).toEqual({ hit: true, ttl: 60 });
    expect(head.headers.get("Content-Length")).toBe("16");
    expect(await head.text()).toBe("");
    expect(site.handled.length).toBe(2);
  });

  it.each(["POST", "PUT", "DELETE", "PATCH"])(
    "forgets a URL after %s succeeded",
    async (method) => {
      const site = new CachedApp({ ttl: "1m" });
      for (const path of ["/", "/new", "/copy", "/other"]) await site.send({}, path);
      const ok = site.answer;
      site.says({}, "no", 409);
      expect(statusOf(await site.send({}, "/", method))).toEqual({ fwd: "method" });
      expect(statusOf(await site.send()).hit).toBe(true);
      site.says({ Location: "/new", "Content-Location": "https://site.example/copy" }, "", 201);
      await site.send({}, "/", method);
      site.answer = ok;
      for (const path of ["/", "/new", "/copy"]) {
        expect(statusOf(await site.send({}, path)).fwd).toBe("miss");
      }
      expect(statusOf(await site.send({}, "/other")).hit).toBe(true);
    },
  );

  it("does not forget another site's URL", async () => {
    const site = new CachedApp({ ttl: "1m" });
    await site.send({}, "/new");
    site.says({ Location: "https://other.example/new" });
    await site.send({}, "/", "POST");
    expect(statusOf(await site.send({}, "/new")).hit).toBe(true);
  });

  it("lets requests for ranges pass", async () => {
    const site = new CachedApp({ ttl: "1m" });
    await site.send();
    expect(statusOf(await site.send({ Range: "bytes=0-1" }))).toEqual({ fwd: "bypass" });
    expect(site.handled[1]?.headers.get("Range")).toBe("bytes=0-1");
  });
});

describe("a body", () => {
  it("of more than 1 MB passes unchanged, and is not stored", async () => {
    const site = new CachedApp({ ttl: "1m" });
    const bytes = new Uint8Array(1_200_000).fill(7);
    let cancelled = false;
    site.answer = () => {
      let sent = 0;
      const body = new ReadableStream({
        pull(controller) {
          if (sent === bytes.length) return controller.close();
          controller.enqueue(bytes.slice(sent, sent + 100_000));
          sent += 100_000;
        },
        cancel() {
          cancelled = true;
        },
      });
      return new Response(body);
    };
    const response = await site.send();
    expect(await response.bytes()).toEqual(bytes);
    expect(statusOf(response)).toEqual({ fwd: "miss" });
    expect(statusOf(await site.send())).toEqual({ fwd: "miss" });
    expect(site.handled.length).toBe(2);
    expect(cancelled).toBe(false);
  });

  it("that comes slowly is sent as it comes, and stored at its end", async () => {
    const site = new CachedApp({ ttl: "1m" });
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    site.answer = () => new Response(readable);
    const writer = writable.getWriter();
    void writer.write(new TextEncoder().encode("first "));
    const response = await site.send();
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe("first ");
    // The client leaves; others will have the whole.
    await reader.cancel();
    await writer.write(new TextEncoder().encode("second"));
    await writer.close();
    await settled();
    const hit = await site.send();
    expect(statusOf(hit).hit).toBe(true);
    expect(await hit.text()).toBe("first second");
  });

  it("that breaks off is not stored", async () => {
    const site = new CachedApp({ ttl: "1m" });
    site.answer = () => {
      const body = new ReadableStream({
        pull(controller) {
          controller.enqueue(new TextEncoder().encode("half"));
          controller.error(new Error("gone"));
        },
      });
      return new Response(body);
    };
    await expect((await site.send()).text()).rejects.toThrow("gone");
    site.says({}, "whole");
    expect(await (await site.send()).text()).toBe("whole");
  });

  it.each([
    ["numbers of two bytes", Uint16Array.of(1, 513), [1, 0, 1, 2]],
    ["a buffer", Uint8Array.of(1, 2).buffer, [1, 2]],
  ])("of %s passes as it is, and is not stored", async (_, chunk, bytes) => {
    const site = new CachedApp({ ttl: "1m" });
    site.answer = () => {
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(chunk);
          controller.close();
        },
      });
      return new Response(body);
    };
    for (let at = 0; at < 2; at++) {
      expect([...new Uint8Array(await (await site.send()).arrayBuffer())]).toEqual(bytes);
    }
  });

  it.each([
    ["ages the response while it comes", 4_000, "4", 6_000],
    ["makes no response younger if the clock is set back while it comes", -3_600_000, "0", 11_000],
  ])("%s", async (_, comesMs, age, restMs) => {
    const site = new CachedApp();
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    site.answer = () => new Response(readable, { headers: { "Cache-Control": "max-age=10" } });
    const writer = writable.getWriter();
    void writer.write(new TextEncoder().encode("slow"));
    const response = await site.send();
    pass(comesMs);
    await writer.close();
    await response.text();
    await settled();
    expect((await site.send()).headers.get("Age")).toBe(age);
    pass(restMs);
    site.says({}, "new");
    expect(await (await site.send()).text()).toBe("new");
  });

  it("of events passes at once", async () => {
    const site = new CachedApp({ ttl: "1m" });
    site.answer = () => {
      const { readable } = new TransformStream();
      return new Response(readable, { headers: { "Content-Type": "text/event-stream" } });
    };
    const response = await site.send();
    expect(statusOf(response)).toEqual({ fwd: "miss", detail: "stream" });
    await response.body?.cancel();
  });
});

it("does nothing behind another for the same responses, nor where that one makes them anew", async () => {
  const site = new CachedApp({ ttl: "10s", staleFor: "5s" });
  const outer = new Hono();
  outer.use(cachedIn(() => site.store, { ttl: "10s", staleFor: "5s" }));
  outer.route("/", site.app);
  site.answer = (c) => c.text(`run ${site.handled.length}`);
  const texts: string[] = [];
  for (const ms of [0, 0, 12_000, 0]) {
    pass(ms);
    texts.push(await (await outer.request("https://site.example/")).text());
    await settled();
  }
  expect(texts).toEqual(["run 1", "run 1", "run 1", "run 2"]);
});

describe("options", () => {
  it.each([
    [{ ttl: "5" }, /^ttl must be a duration from 0s to 7d/],
    [{ staleFor: "8d" }, /^staleFor must be a duration from 0s to 7d/],
    [{ tags: "search" }, /^tags must be a list of names or a function/],
    [{ key: "url" }, /^key must be a function/],
    [{ clientMayRefresh: 1 }, /^clientMayRefresh must be true or false/],
    [{ maxAge: "5s" }, /^maxAge is not one of the fields ttl, staleFor/],
  ])("names what is wrong: %j", (options, message) => {
    expect(() => new CachedApp(options as never)).toThrow(message);
  });

  it("stores under the key of a function, for all URLs", async () => {
    const site = new CachedApp({ ttl: "1m", key: (c) => c.req.query("q")?.toLowerCase() ?? "" });
    await site.send({}, "/?q=Zug&from=a");
    expect(statusOf(await site.send({}, "/?q=zug&from=b")).hit).toBe(true);
    expect(statusOf(await site.send({}, "/?q=bus")).fwd).toBe("miss");
  });

  it("stores with the tags of a list, or of a function that sees the response", async () => {
    const listed = new CachedApp({ ttl: "1m", tags: ["search"] });
    await listed.send();
    expect([...listed.store.kept.values()].map(({ tags }) => tags)).toEqual([["search"]]);
    const named = new CachedApp({
      ttl: "1m",
      tags: (c, { headers }) => [`${c.req.path} ${headers.get("X-Tag")}`],
    });
    named.says({ "X-Tag": "n-1" });
    await named.send();
    expect([...named.store.kept.values()].map(({ tags }) => tags)).toEqual([["/ n-1"]]);
  });

  it.each([
    ["key must be text, got nothing", { key: () => undefined }],
    ["key must be text, got {}", { key: async () => "k" }],
    ['tags must be a list of names, got "search"', { tags: () => "search" }],
    ["tags[0] must be text, got 7", { tags: () => [7] }],
  ])("stores nothing under what a function should not return: %s", async (message, options) => {
    const site = new CachedApp({ ttl: "1m", ...(options as object) });
    const errors: string[] = [];
    site.app.onError((error, c) => {
      errors.push(error.message);
      return c.text("broken", 500);
    });
    expect((await site.send()).status).toBe(500);
    expect(errors).toEqual([message]);
    expect(site.store.kept.size).toBe(0);
  });
});
