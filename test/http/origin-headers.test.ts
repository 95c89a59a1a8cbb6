import { describe, expect, it } from "vitest";
import type { ForwardedForm } from "../../src/config.ts";
import { headersForOrigin } from "../../src/http/gateway/origin-headers.ts";

const SHOP = new URL("https://shop.example:8443/path");

/** What the origin gets of a client's headers. */
function told(
  headers: Record<string, string>,
  forwarded: ForwardedForm = "x-forwarded",
  ipHeader = "CF-Connecting-IP",
): Record<string, string> {
  const sent = new Headers({ "CF-Connecting-IP": "203.0.113.7", ...headers });
  headersForOrigin({ forwarded, ipHeader })(sent, SHOP);
  return Object.fromEntries(sent);
}

const OWN = { "cf-connecting-ip": "203.0.113.7" };
const FORWARDED = {
  "x-forwarded-for": "203.0.113.7",
  "x-forwarded-host": "shop.example:8443",
  "x-forwarded-proto": "https",
};

describe("the origin", () => {
  it("learns the public host, the scheme and the client's address", () => {
    expect(told({})).toEqual({ ...OWN, ...FORWARDED });
    const forwarded = 'for=203.0.113.7;host="shop.example:8443";proto=https';
    expect(told({}, "forwarded")).toEqual({ ...OWN, forwarded });
    expect(told({}, "both")).toEqual({ ...OWN, ...FORWARDED, forwarded });
    expect(told({}, "none")).toEqual(OWN);
  });

  it("learns an IPv6 address as each form writes it", () => {
    const headers = told({ "CF-Connecting-IP": "2001:DB8:0:0::1" }, "both");
    expect(headers["x-forwarded-for"]).toBe("2001:db8::1");
    expect(headers.forwarded).toMatch(/^for="\[2001:db8::1\]";/);
  });

  it("learns no address where the gate knows none", () => {
    const headers = told({ "CF-Connecting-IP": "x", "X-Forwarded-For": "192.0.2.1" }, "both");
    expect(headers).not.toHaveProperty("x-forwarded-for");
    expect(headers.forwarded).toMatch(/^for=unknown;/);
  });

  it.each([
    ...["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port"],
    ...["X-Forwarded-Server", "X-Forwarded-Scheme", "X-Forwarded-Ssl", "X-Forwarded-Protocol"],
    ...["X-Forwarded-By", "X-Forwarded-Client-Cert", "X-Forwarded", "Forwarded", "Forwarded-For"],
    ...["X-Real-IP", "True-Client-IP", "X-Client-IP", "Client-IP", "X-Cluster-Client-IP"],
    ...["X-Original-IP", "X-Originating-IP", "X-Remote-IP", "X-Remote-Addr", "Fastly-Client-IP"],
    ...["X-Azure-ClientIP", "X-Azure-SocketIP", "X-ProxyUser-Ip", "X-Appengine-User-IP"],
    ...["X-Host", "X-Original-Host", "X-HTTP-Host-Override", "X-Host-Override", "X-Scheme"],
    ...["Front-End-Https", "X-Url-Scheme", "X-Original-Proto", "X-Original-Port"],
    ...["X-Original-Forwarded-For", "X-Vercel-Forwarded-For", "X-Vercel-Proxied-Forwarded-For"],
    ...["DO-Connecting-IP", "EO-Connecting-IP", "X-NF-Client-Connection-IP", "X-Peer-IP"],
    ...["CloudFront-Viewer-Address", "CloudFront-Forwarded-Proto", "Fly-Forwarded-Ssl"],
    ...["X-Envoy-External-Address", "X-Envoy-Internal", "WL-Proxy-Client-IP", "X-Sucuri-ClientIP"],
    ...["X-True-IP", "X-Source-IP", "Cdn-Src-IP", "X-Client-IPv6", "X-Remote-Address"],
    ...["X-Client-Port", "X-Forward-For", "X-Arr-Ssl", "X-Arr-ClientCert", "WL-Proxy-SSL"],
    ...["Fastly-SSL", "X-Appengine-Https", "X-Request-Scheme"],
    ...["X_Forwarded_For", "X-Forwarded_Host", "X_Real_IP", "CF_Connecting_IP", "CF-Connecting_IP"],
  ])("does not get a client's own %s", (name) => {
    expect(told({ [name]: "192.0.2.66" })).toEqual({ ...OWN, ...FORWARDED });
    expect(told({ [name]: "192.0.2.66" }, "none")).toEqual(OWN);
    expect(told({ Connection: name, [name]: "192.0.2.66" })).toMatchObject(FORWARDED);
  });

  it.each([
    ...["X-Original-URL", "X-Original-URI", "X-Rewrite-URL", "X-Rewrite-Uri", "X-Override-URL"],
    ...["X-Forwarded-Uri", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Forwarded-Method"],
    ...["X-Original-Path", "X-Original-Method", "X-Request-URI", "X-Replaced-Path"],
    ...["X-Envoy-Original-Path", "X-Script-Name", "Script-Name", "X_Original_URL"],
    ...["X-Waws-Unencoded-Url", "X-Ms-Original-Url", "X-Forwarded-Request-Uri", "X-Matched-Path"],
    ...["X-Invoke-Path", "X-Invoke-Query", "X-Nextjs-Matched-Path", "X-Nextjs-Rewritten-Path"],
    ...["X-Middleware-Rewrite", "X-Middleware-Subrequest", "X-Now-Route-Matches"],
    ...["X-Accel-Mapping", "X-Sendfile-Type", "X_Matched_Path"],
    ...["X_HTTP_Method_Override", "X-HTTP_Method"],
  ])("does not get %s, which names another path or method", (name) => {
    for (const form of ["x-forwarded", "none", "keep"] as const) {
      expect(Object.values(told({ [name]: "/admin" }, form))).not.toContain("/admin");
    }
  });

  it("gets headers that only look like those", () => {
    const headers = {
      "x-forward": "1",
      "x-original-language": "2",
      "x-request-id": "3",
      "x-real-estate": "4",
      "x-hosting": "5",
      "x-http-method-override": "PUT",
      "x-zip": "6",
      "x-user-ip": "7",
      via: "1.1 proxy",
      "cf-ray": "8",
      "cf-connecting-ipv6": "2001:db8::1",
      "cf-visitor": '{"scheme":"https"}',
      "x-nextjs-data": "1",
      "x-middleware-prefetch": "1",
      "access-control-request-method": "GET",
      "x-vercel-protection-bypass": "9",
      "x-shipping-address": "10",
      "x-client-version": "11",
      "x-forwarder": "12",
    };
    expect(told(headers)).toMatchObject(headers);
  });

  it("gets all that a trusted proxy wrote, if FORWARDED is keep", () => {
    const headers = { "x-forwarded-for": "192.0.2.1, 192.0.2.2", "x-forwarded-proto": "https" };
    expect(told(headers, "keep")).toEqual({ ...OWN, ...headers });
  });

  it("gets the address that counted in the header that names it", () => {
    const listed = { "X-Forwarded-For": "192.0.2.66, 198.51.100.2" };
    const headers = told(listed, "x-forwarded", "X-Forwarded-For");
    expect(headers["x-forwarded-for"]).toBe("198.51.100.2");
    expect(told({ "X-Who": "a, 198.51.100.2" }, "none", "X-Who")["x-who"]).toBe("198.51.100.2");
    expect(told({ "X-Who": "198.51.100.2, a" }, "none", "X-Who")).not.toHaveProperty("x-who");
  });
});
