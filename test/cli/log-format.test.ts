/** Which lines of logs are read, and as what. */
import { describe, expect, it } from "vitest";
import { Clients } from "../../src/cli/replay/clients.ts";
import { parseFieldNames } from "../../src/cli/replay/json-lines.ts";
import { detectingReader, type FormatOptions } from "../../src/cli/replay/log-format.ts";
import { type LogRecord, NO_REQUEST } from "../../src/cli/replay/record.ts";
import { readTime } from "../../src/cli/replay/times.ts";

const AT = Date.UTC(2015, 4, 17, 10, 5, 3);
const COMMON = '192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET /a?b=1 HTTP/1.1" 200 12';

function read(lines: string[], options: Partial<FormatOptions> = {}) {
  const clients = new Clients(64);
  const found: (LogRecord | typeof NO_REQUEST | undefined)[] = [];
  const reader = detectingReader(clients, { wantsValues: true, ...options }, (each) => {
    found.push(each);
  });
  for (const line of lines) {
    const bytes = Buffer.from(`x${line}x`);
    reader.line(bytes, 1, bytes.length - 1);
  }
  reader.end();
  return found.map((each) => {
    if (each === undefined || each === NO_REQUEST) return each;
    const { address, ...record } = each;
    return { client: clients.nameOf(clients.clientOf(address)), ...record };
  });
}

describe("a line of a log", () => {
  const request = { client: "192.0.2.7", atMs: AT, method: "GET", target: "/a?b=1", status: 200 };
  it.each([
    ["common", COMMON],
    ["combined", `${COMMON} "-" "curl/8"`],
    ["with a user", COMMON.replace("- -", "- frank smith")],
    ["in another time zone", COMMON.replace("10:05:03 +0000", "12:35:03 +0230")],
    ["west of Greenwich", COMMON.replace("10:05:03 +0000", "05:05:03 -0500")],
    ["with the host in front", `shop.example:443 ${COMMON}`],
    [
      "of Cloudflare, with RFC 3339",
      `{"ClientIP":"192.0.2.7","EdgeStartTimestamp":"2015-05-17T10:05:03Z","ClientRequestMethod":"GET","ClientRequestURI":"/a?b=1","EdgeResponseStatus":200}`,
    ],
    [
      "of Cloudflare, in nanoseconds",
      `{"ClientIP":"192.0.2.7","EdgeStartTimestamp":${AT}000000,"ClientRequestMethod":"GET","ClientRequestURI":"/a?b=1","EdgeResponseStatus":200}`,
    ],
    [
      "of nginx in JSON",
      `{"remote_addr":"192.0.2.7","time_local":"17/May/2015:10:05:03 +0000","request":"GET /a?b=1 HTTP/2.0","status":"200"}`,
    ],
    [
      "of nginx with msec",
      `{"msec":"${AT / 1000}.000","remote_addr":"192.0.2.7","request_method":"GET","request_uri":"/a?b=1","status":200}`,
    ],
    [
      "of Caddy",
      `{"level":"info","ts":${AT / 1000},"request":{"remote_ip":"192.0.2.7","method":"GET","host":"h","uri":"/a?b=1"},"status":200}`,
    ],
  ])("%s is read", (_, line) => {
    expect(read([line])).toEqual([expect.objectContaining(request)]);
  });

  it("is read by the names of its fields", () => {
    const fields = parseFieldNames("ip=client.addr, time=when,path=u");
    const line = `{"client":{"addr":"192.0.2.7"},"when":${AT},"u":"https://a.example/a?b=1"}`;
    const [found] = read([line], { fields });
    expect(found).toMatchObject({ client: "192.0.2.7", atMs: AT, method: "GET", target: "/a?b=1" });
  });

  it("tells its host, and its headers where a key needs them", () => {
    const line = String.raw`shop.example 192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 12 "-" "a \"quoted\" agent"`;
    const values = {
      host: "shop.example",
      referer: undefined,
      userAgent: String.raw`a \"quoted\" agent`,
    };
    expect(read([line])).toEqual([expect.objectContaining({ values })]);
  });

  it("counts an IPv6 client by its network, and a mapped IPv4 address as IPv4", () => {
    const lines = ["2001:db8::1", "2001:db8:0:0::2", "::ffff:192.0.2.7", "host.example"];
    const names = read(lines.map((name) => COMMON.replace("192.0.2.7", name)));
    expect(names.map((each) => (each as { client: string }).client)).toEqual([
      ...["2001:db8::/64", "2001:db8::/64", "192.0.2.7", "host.example"],
    ]);
  });

  it.each([
    ["192.0.2.7:50001", "192.0.2.7"],
    ["[2001:db8::1]:443", "2001:db8::/64"],
    ["198.51.100.1, 198.51.100.2, 192.0.2.7", "192.0.2.7"],
    ["198.51.100.1, 192.0.2.7:443", "192.0.2.7"],
    ["host.example:8080", "host.example:8080"],
  ])("counts its client without a port, and the last of a list: %s", (logged, client) => {
    const json = `{"remote_addr":"${logged}","ts":${AT / 1000},"path":"/"}`;
    for (const line of [COMMON.replace("192.0.2.7", logged), json]) {
      expect(read([line])).toEqual([expect.objectContaining({ client })]);
    }
  });

  it("of a connection without a request, or of a Worker's own fetch, is skipped", () => {
    const fetch = `{"ClientIP":"192.0.2.7","EdgeStartTimestamp":1,"ClientRequestURI":"/","WorkerSubrequest":true}`;
    expect(read([COMMON.replace("GET /a?b=1 HTTP/1.1", "-")], { format: "combined" })).toEqual([
      NO_REQUEST,
    ]);
    expect(read([fetch], { format: "json" })).toEqual([NO_REQUEST]);
  });

  it.each([
    "",
    "garbage",
    COMMON.replace("17/May", "17/Mai"),
    COMMON.replace('"GET', "GET"),
    COMMON.slice(0, 50),
    COMMON.replace("GET /a?b=1 HTTP/1.1", String.raw`\x16\x03\x01 \x02`),
  ])("that is damaged is not read: %s", (line) => {
    const found = read([line], { format: "combined" });
    expect(found).toEqual(line ? [undefined] : []);
  });

  it("in no known format is an error that shows it", () => {
    expect(() => read(["hello", "world"])).toThrow('the first is "hello". Write --format');
  });

  it("follows the format of most lines before it", () => {
    const found = read(["{}", COMMON, COMMON]);
    expect(found).toEqual([
      undefined,
      expect.objectContaining(request),
      expect.objectContaining(request),
    ]);
  });
});

it("reads a time in every unit", () => {
  const times = [1431857103, 1431857103.5, 1431857103500, 1431857103500000, 1431857103500000000];
  const [seconds, ...others] = times.map(readTime);
  expect(seconds).toBe(1431857103000);
  expect(new Set(others)).toEqual(new Set([1431857103500]));
  const none = ["", "yesterday", null, {}, -1, Number.NaN, 1e300, "31/Dec/1960:23:59:59 +0000"];
  expect(none.map(readTime)).toEqual(none.map(() => undefined));
});
