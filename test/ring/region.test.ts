import { describe, expect, it } from "vitest";
import { nearestRegion } from "../../src/ring/region.ts";

describe("region", () => {
  it.each([
    ["Seattle", "NA", "-122.33", "wnam"],
    ["Dallas", "NA", "-96.80", "enam"],
    ["São Paulo", "SA", "-46.63", "sam"],
    ["Frankfurt", "EU", "8.68", "weur"],
    ["Warsaw", "EU", "21.01", "eeur"],
    ["Dubai", "AS", "55.27", "me"],
    ["Mumbai", "AS", "72.88", "apac"],
    ["Tokyo", "AS", "139.69", "apac"],
    ["Sydney", "OC", "151.21", "oc"],
    ["Nairobi", "AF", "36.82", "afr"],
  ])("puts %s into its region", (_, continent, longitude, region) => {
    expect(nearestRegion({ continent, longitude }, "sam")).toBe(region);
  });

  it("takes the nearer half of a continent's traffic for granted without a longitude", () => {
    expect(nearestRegion({ continent: "NA" }, "sam")).toBe("enam");
    expect(nearestRegion({ continent: "EU", longitude: "" }, "sam")).toBe("weur");
    expect(nearestRegion({ continent: "AS" }, "sam")).toBe("apac");
  });

  it("sends a request without a known place to the home region", () => {
    expect(nearestRegion({ continent: "AN" }, "sam")).toBe("sam");
    expect(nearestRegion({}, "sam")).toBe("sam");
    expect(nearestRegion(undefined, "sam")).toBe("sam");
  });
});
