/**
 * The calls that show the rings and change them. A change goes on after its answer, 202, and
 * `GET ring` shows how far it is.
 */
import type { HonoBase } from "hono/hono-base";
import * as v from "valibot";
import type { MembershipClient } from "../../caller/membership-client.ts";
import { MisuseError, parse } from "../../limit/misuse.ts";
import { ownerNameSchema, regionOfOwner, requireIn } from "../../protocol/ring-record.ts";
import type { Refusal, RingStatus } from "../../protocol/rpc.ts";
import { type Region, regionSchema } from "../../ring/region.ts";
import { problem, wrongMethod } from "../answer/problem.ts";
import { newApp } from "../app.ts";
import { jsonBody } from "./json-body.ts";

export const addSchema = v.strictObject(
  { region: v.optional(regionSchema), name: v.optional(ownerNameSchema) },
  "must be an object",
);

/** Makes the app of the calls below `/ring`. */
export function ringApi(memberships: MembershipClient, home: Region): HonoBase {
  const app = newApp();
  app.get("/", async (c) => c.json({ regions: await memberships.status(home) }));
  app.post("/owners", async (c) => {
    const { name, region = name && (regionOfOwner(name) as Region) } = parse(
      addSchema,
      await jsonBody(c),
    );
    if (!region) throw new MisuseError("region", "is required", region);
    if (name) requireIn(region, name, "name");
    return changeAnswer(region, await memberships.add(region, name));
  });
  app.delete("/owners/:name", async (c) => {
    const name = parse(ownerNameSchema, c.req.param("name"), "name");
    return changeAnswer(regionOfOwner(name) as Region, await memberships.remove(name));
  });
  app.all("/", () => wrongMethod("GET, HEAD"));
  app.all("/owners", () => wrongMethod("POST"));
  app.all("/owners/:name", () => wrongMethod("DELETE"));
  return app;

  async function changeAnswer(region: Region, refusal: Refusal | undefined): Promise<Response> {
    if (refusal) {
      return problem({ status: 409, title: "Conflict", detail: `${refusal.refused}.` });
    }
    const status: RingStatus | null = await memberships.statusOf(region, true);
    return Response.json({ regions: [status] }, { status: 202 });
  }
}
