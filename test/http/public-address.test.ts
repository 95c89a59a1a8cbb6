import { describe, expect, it } from "vitest";
import { publicHeaders } from "../../src/http/gateway/public-address.ts";

const SHOP = new URL("https://shop.example/asked");

/** Returns what becomes of one header of an answer. */
function published(name: string, value: string, origin = "http://origin.internal:8080/app") {
  const [change] = publicHeaders(new Headers({ [name]: value }), new URL(origin), SHOP);
  return change?.[1][0] ?? value;
}

describe("Location", () => {
  it.each([
    ["http://origin.internal:8080/app/a/b?c=d#e", "https://shop.example/a/b?c=d#e"],
    ["http://ORIGIN.internal:8080/app", "https://shop.example"],
    ["http://origin.internal:8080/app/", "https://shop.example/"],
    ["http://origin.internal:8080/app?q", "https://shop.example?q"],
    ["http://origin.internal:8080/app/%2F/..;/e", "https://shop.example/%2F/..;/e"],
    ["//origin.internal:8080/app/a", "https://shop.example/a"],
    ["https://origin.internal:8080/app/a", "https://shop.example/a"],
    ["\\\\origin.internal:8080\\app\\a?\\", "https://shop.example/a?\\"],
    ["http:\\\\origin.internal:8080/app/a", "https://shop.example/a"],
    ["http:///origin.internal:8080/app/a", "https://shop.example/a"],
    ["http:/origin.internal:8080/app/a", "https://shop.example/a"],
    ["https:origin.internal:8080/app/a", "https://shop.example/a"],
    ["///origin.internal:8080/app/a", "https://shop.example/a"],
    ["/\t/origin.internal:8080/app/a", "https://shop.example/a"],
    ["ht\ttp://origin.internal:8080/app/a", "https://shop.example/a"],
    ["http://origin.internal.:8080/app/a", "https://shop.example/a"],
    ["http://user@origin.internal:8080/app", "https://shop.example"],
    ["http://user:word@origin.internal:8080/app/a", "https://shop.example/a"],
  ])("of the origin is the gate's: %s", (value, expected) => {
    expect(published("Location", value)).toBe(expected);
  });

  it.each([
    "/elsewhere",
    "elsewhere",
    "?q",
    "#top",
    "",
    "http://other.example/app/a",
    "http://origin.internal/app/a",
    "http://origin.internal:8081/app/a",
    "http://origin.internal:8080/apple",
    "http://origin.internal:8080/",
    "http://origin.internal:8080@evil.example/app",
    "http:/elsewhere",
    "//",
    "ftp://origin.internal:8080/app/a",
    "http://origin.internal:8080.evil.example/app/",
    "https://shop.example/a",
    "mailto:a@origin.internal",
    "http://[",
  ])("of anything else stays: %s", (value) => {
    expect(published("Location", value)).toBe(value);
  });

  it("is the origin's with the scheme's own port written out or not", () => {
    for (const value of ["https://origin.example/a", "https://origin.example:443/a"]) {
      expect(published("Location", value, "https://origin.example")).toBe("https://shop.example/a");
    }
  });

  it("stays the origin's own if the gate's would send the client in circles", () => {
    const origin = "http://origin.example";
    const asked = "https://origin.example/asked";
    expect(published("Location", asked, origin)).toBe(asked);
    const other = "https://origin.example/other";
    expect(published("Location", other, origin)).toBe("https://shop.example/other");
    // One that only sets a cookie first may send the client to the same address again.
    expect(published("Location", "http://origin.example/asked", origin)).toBe(SHOP.href);
  });
});

describe("other headers that name the origin", () => {
  it.each([
    ["Content-Location", "http://origin.internal:8080/app/a", "https://shop.example/a"],
    ["Refresh", "5; url=http://origin.internal:8080/app/a", "5; url=https://shop.example/a"],
    ["Refresh", "5;URL='http://origin.internal:8080/app/a'", "5;URL='https://shop.example/a'"],
    ["Refresh", "0,http://origin.internal:8080/app/", "0,https://shop.example/"],
    ["Refresh", "0 http://origin.internal:8080/app/a", "0 https://shop.example/a"],
    ["Refresh", ".5 URL=http://origin.internal:8080/app/a", ".5 URL=https://shop.example/a"],
    ["Refresh", "5", "5"],
    ["Refresh", "5; url=/app/a", "5; url=/app/a"],
    [
      "Link",
      '<http://origin.internal:8080/app/items?page=2>; rel="next", </a.css>; rel=preload',
      '<https://shop.example/items?page=2>; rel="next", </a.css>; rel=preload',
    ],
    [
      "Link",
      "< http://origin.internal:8080/app/a >; rel=next",
      "<https://shop.example/a>; rel=next",
    ],
    ["Link", "<https://cdn.example/a.js>; rel=preload", "<https://cdn.example/a.js>; rel=preload"],
    ["Set-Cookie", "a=1; Domain=origin.internal; Path=/app", "a=1; Domain=shop.example; Path=/"],
    ["Set-Cookie", "a=1;domain=.Origin.Internal;path=/app/x", "a=1; domain=shop.example; path=/x"],
    ["Set-Cookie", "a=/app; Domain=internal; Path=/apple", "a=/app; Domain=internal; Path=/apple"],
    ["Set-Cookie", "domain=origin.internal; Secure", "domain=origin.internal; Secure"],
    ["X-Other", "http://origin.internal:8080/app/a", "http://origin.internal:8080/app/a"],
  ])("%s: %s", (name, value, expected) => {
    expect(published(name, value)).toBe(expected);
  });

  it("keeps each cookie a line of its own", () => {
    const headers = new Headers({ "Set-Cookie": "a=1; Domain=origin.internal" });
    headers.append("Set-Cookie", "b=2; Expires=Wed, 25 Nov 2026 12:00:00 GMT");
    const changes = publicHeaders(headers, new URL("http://origin.internal"), SHOP);
    expect(changes).toEqual([
      ["Set-Cookie", ["a=1; Domain=shop.example", "b=2; Expires=Wed, 25 Nov 2026 12:00:00 GMT"]],
    ]);
  });
});
