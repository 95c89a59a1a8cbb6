/** What a Worker says of a key: whether it is denied now, and what each policy has counted. */
import { tableOf } from "../text.ts";
import { answered, type WorkerOptions } from "./worker-command.ts";

interface Explained {
  summary: string;
  policies: { policy: string; owner: string; capacity: number; remaining: number; state: string }[];
  /** Policies that count nothing of it, and why. */
  others: { policy: string; state: string }[];
}

/** @param body of the call: the key, and its policy if not all are meant */
export async function explain(body: object, options: WorkerOptions): Promise<void> {
  await answered(options, { method: "POST", path: "/explain", body }, textOf);
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
