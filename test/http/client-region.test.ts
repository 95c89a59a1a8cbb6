import { expect, test } from "vitest";
import { regionOf } from "../../src/http/key/client-region.ts";
import { addressOf } from "../bench/workloads.ts";

/** A request that entered on this continent; counts how often that is read. */
function requestFrom(continent: string) {
  const reads = { count: 0 };
  const request = {
    get cf() {
      reads.count++;
      return { continent };
    },
  } as unknown as Request;
  return { request, reads };
}

test("the region of an address is read once", () => {
  const { request, reads } = requestFrom("EU");
  for (let n = 0; n < 3; n++) expect(regionOf(request, "192.0.2.7", "enam")).toBe("weur");
  expect(regionOf(request, "2001:db8::7", "enam")).toBe("weur");
  expect(reads.count).toBe(2);
});

test("the regions of thousands of clients are remembered at once", () => {
  const { request, reads } = requestFrom("EU");
  for (let n = 0; n < 40_000; n++) regionOf(request, addressOf(200_000 + (n % 20_000)), "enam");
  // Two clients may have one place in memory, and are then read again.
  expect(reads.count).toBeLessThan(25_000);
});

test("requests without an address are read each time", () => {
  expect(regionOf(requestFrom("EU").request, undefined, "enam")).toBe("weur");
  expect(regionOf(requestFrom("SA").request, undefined, "enam")).toBe("sam");
});

test("no address gets the region of another, however many there are", () => {
  const far = requestFrom("OC");
  const near = requestFrom("EU");
  for (let client = 0; client < 100_000; client++) {
    const { request } = client % 2 ? far : near;
    expect(regionOf(request, addressOf(client), "enam")).toBe(client % 2 ? "oc" : "weur");
  }
  expect(regionOf(far.request, addressOf(99_999), "enam")).toBe("oc");
});
