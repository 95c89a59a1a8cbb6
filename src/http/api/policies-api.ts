/**
 * The calls that show the policies in force and change them. A change names the version that it
 * replaces, so that the second of two operators learns of the first one's change.
 */
import type { HonoBase } from "hono/hono-base";
import * as v from "valibot";
import type { MembershipClient } from "../../caller/membership-client.ts";
import type { Config } from "../../config.ts";
import { parse } from "../../limit/misuse.ts";
import { parsePolicies } from "../../limit/policies.ts";
import {
  DEPLOYED_VERSION,
  MAX_DOCUMENT_BYTES,
  type PoliciesChange,
  type PoliciesDocument,
} from "../../protocol/policies-document.ts";
import { problem, wrongMethod } from "../answer/problem.ts";
import { newApp } from "../app.ts";
import { jsonBody } from "./json-body.ts";
import { queryOf } from "./query.ts";

const MAX_BY_CHARS = 64;
const byRule = `must be text of at most ${MAX_BY_CHARS} characters`;
const by = v.optional(v.pipe(v.string(byRule), v.maxLength(MAX_BY_CHARS, byRule)));

export const policiesSchema = v.strictObject({ policies: v.unknown(), by }, "must be an object");
const deleteSchema = v.strictObject({ by });

/** A strong tag, as `GET` gives it (RFC 9110, section 8.8.3). */
const ETAG = /^"(\d{1,10})"$/;
/** In `If-Match`, stands for any version. */
const ANY = "*";

/** What `GET policies` answers. */
export interface PoliciesInForce {
  /** The policies as they are written. */
  policies: unknown;
  source: PoliciesDocument["source"];
  /** Counts the changes; 0 if there was none. */
  version: number;
  by: string | null;
  /** When they were changed, in ISO 8601. */
  at: string | null;
}

/**
 * Makes the app of the calls below `/policies`.
 *
 * @param follow is told of each change made here, so that this isolate follows it at once
 */
export function policiesApi(
  memberships: MembershipClient,
  { homeRegion, writtenPolicies }: Pick<Config, "homeRegion" | "writtenPolicies">,
  follow: (document: PoliciesDocument) => void,
): HonoBase {
  const app = newApp();
  const inForce = () => memberships.policies(homeRegion, DEPLOYED_VERSION);

  app.get("/", async () => answer(await inForce()));
  app.put("/", async (c) => {
    const { policies, by = null } = parse(policiesSchema, await jsonBody(c, MAX_DOCUMENT_BYTES));
    parsePolicies(policies, "policies");
    const given = c.req.header("If-Match");
    if (given === undefined) return requireVersion();
    return change(given, { source: "live", policies: JSON.stringify(policies), by });
  });
  app.delete("/", async (c) => {
    const { by = null } = parse(deleteSchema, queryOf(c));
    const policies = JSON.stringify(writtenPolicies);
    // Without `If-Match`, nobody's work is lost: the history keeps what is replaced.
    return change(c.req.header("If-Match") ?? ANY, { source: "deployment", policies, by });
  });
  app.get("/history", async (c) => {
    const documents = await memberships.policiesHistory(homeRegion);
    return c.json({ versions: documents.map(asWritten), deployed: writtenPolicies });
  });
  app.all("/", () => wrongMethod("GET, HEAD, PUT, DELETE"));
  app.all("/history", () => wrongMethod("GET, HEAD"));
  return app;

  async function requireVersion(): Promise<Response> {
    const { version = DEPLOYED_VERSION } = (await inForce()) ?? {};
    const detail = `The header If-Match must name the version to be replaced; "${version}" is in force.`;
    return problem({ status: 428, title: "Precondition required", detail });
  }

  /** @param given the header `If-Match` */
  async function change(
    given: string,
    changed: Omit<PoliciesChange, "ifVersion">,
  ): Promise<Response> {
    // No version is −1, so text that is no tag matches none.
    const named = ETAG.exec(given)?.[1] ?? -1;
    const ifVersion = given === ANY ? undefined : Number(named);
    const made = await memberships.changePolicies(homeRegion, { ...changed, ifVersion });
    if (typeof made !== "number") {
      follow(made);
      return answer(made);
    }
    const detail = `If-Match must be "${made}", the version in force, got ${given.slice(0, 20)}.`;
    return problem({ status: 412, title: "Policies have changed", detail }, { ETag: `"${made}"` });
  }

  function answer(document: PoliciesDocument | null): Response {
    const version = document?.version ?? DEPLOYED_VERSION;
    const { source, by, at, policies }: PoliciesInForce = document
      ? asWritten(document)
      : { ...NEVER_CHANGED, policies: writtenPolicies };
    // The deployment's policies of today, not those of when they came back into force.
    const inForce = source === "deployment" ? writtenPolicies : policies;
    return Response.json(
      { policies: inForce, source, version, by, at },
      { headers: { ETag: `"${version}"`, "Cache-Control": "no-store" } },
    );
  }
}

const NEVER_CHANGED = {
  source: "deployment",
  version: DEPLOYED_VERSION,
  by: null,
  at: null,
} as const;

function asWritten({ version, source, by, atMs, policies }: PoliciesDocument): PoliciesInForce {
  const at = new Date(atMs).toISOString();
  return { version, source, by, at, policies: JSON.parse(policies) };
}
