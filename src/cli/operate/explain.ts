/** What a Worker says of a key: whether it is denied now, and what each policy has counted. */
import { tableOf } from "../text.ts";
import { BAD_REQUEST, type Call, call, RefusedError } from "./client.ts";
import { answered, type WorkerOptions } from "./worker-command.ts";

export interface Override {
  limit: number | "unlimited";
  leftMs: number;
}

export interface Explained {
  summary: string;
  /** Until an operator's block ends; 0 without one. */
  blockedMs: number;
  /** Why the decision comes out so. */
  reason: string;
  policies: {
    policy: string;
    key: string[];
    owner: string;
    limit: number;
    capacity: number;
    remaining: number;
    state: string;
    override?: Override;
  }[];
  /** Policies that count nothing of it, and why. */
  others: { policy: string; state: string }[];
}

/** @param body of the call: the key, and its policy if not all are meant */
export async function explain(body: object, options: WorkerOptions): Promise<void> {
  await answered(options, asking(body), textOf);
}

/** Returns the answer; undefined for a key that no policy explains by itself. */
export async function explanationOf(
  body: object,
  { url }: WorkerOptions,
): Promise<Explained | undefined> {
  try {
    return (await call(url, asking(body))) as Explained;
  } catch (error) {
    if (error instanceof RefusedError && error.status === BAD_REQUEST) return undefined;
    throw error;
  }
}

function asking(body: object): Call {
  return { method: "POST", path: "/explain", body };
}

function textOf({ summary, policies, others }: Explained): string {
  const rows = [
    ...policies.map(({ policy, remaining, capacity, owner, state }) => [
      ...[policy, `${remaining} of ${capacity}`, owner, state],
    ]),
    ...others.map(({ policy, state }) => [policy, "", "", state]),
  ];
  return `${summary}\n${tableOf(["policy", "left", "owner", "what is stored"], rows)}`;
}
