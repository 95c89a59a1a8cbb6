/** What a Worker says of a key: under one policy, or under each that can count it. */
import { rounded } from "../../limit/duration.ts";
import { print, tableOf } from "../text.ts";
import { call, made, RefusedError } from "./client.ts";
import { answered, type WorkerOptions } from "./worker-command.ts";
import { nameOf, policiesInForce } from "./written-policies.ts";

interface Explained {
  blockedMs: number;
  policies: { policy: string; owner: string; capacity: number; remaining: number; state: string }[];
}

/** @param body of the call: the key and its policy */
export async function explain(body: object, options: WorkerOptions): Promise<void> {
  await answered(options, { method: "POST", path: "/explain", body }, textOf);
}

/** @param who the key, or the address */
export async function explainByAll(who: object, options: WorkerOptions): Promise<void> {
  const answer = await explainedByAll(who, options);
  print(
    options,
    answer,
    made(() => textOf(answer)),
  );
}

async function explainedByAll(who: object, { url }: WorkerOptions): Promise<Explained> {
  const inForce = await policiesInForce(url);
  const all: Explained = { blockedMs: 0, policies: [] };
  let refusal: RefusedError | undefined;
  for (const policy of inForce.policies.map(nameOf)) {
    const body = { ...who, policy };
    try {
      const one = (await call(url, { method: "POST", path: "/explain", body })) as Explained;
      all.blockedMs = Math.max(all.blockedMs, one.blockedMs);
      all.policies.push(...made(() => [...one.policies]));
    } catch (error) {
      // The policy's keys have other parts.
      if (!(error instanceof RefusedError) || error.status !== 400) throw error;
      refusal ??= error;
    }
  }
  if (refusal && all.policies.length === 0) throw refusal;
  return all;
}

function textOf({ blockedMs, policies }: Explained): string {
  const rows = policies.map(({ policy, remaining, capacity, owner, state }) => [
    ...[policy, `${remaining} of ${capacity}`, owner, state],
  ]);
  const block = blockedMs > 0 ? `\nBlocked by an operator for ${rounded(blockedMs)} more.` : "";
  return tableOf(["policy", "left", "owner", "what is stored"], rows) + block;
}
