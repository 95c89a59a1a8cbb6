/** Several keys taken together: how much denied requests hold of a shared quota. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AllOrNone, MAX_AT_ONCE } from "../../src/caller/all-or-none.ts";
import { DenialCache } from "../../src/caller/denial-cache.ts";
import { isAllowed, type Question, type Reply } from "../../src/caller/question.ts";
import type { Decision, Verdict } from "../../src/limit/decision.ts";
import { type Policy, parsePolicy } from "../../src/limit/policy.ts";
import type { PolicyInput } from "../../src/limit/policy-input.ts";

const DAY = { window: "1d" } as const;
const SITE = parsePolicy({ ...DAY, name: "site", key: ["host"], limit: 1_000_000 });
const LOGINS = ["always", "failure"].map((charge) =>
  parsePolicy({ ...DAY, name: charge, limit: 1, charge: charge as PolicyInput["charge"] }),
);
const SLOTS = parsePolicy({ ...DAY, name: "slots", limit: 1, algorithm: "concurrency" });

/** A slow owner, and what each key has spent there. */
class Desk {
  readonly spent = new Map<string, number>();
  /** Keys asked about, in order; those asked at once stand together. */
  readonly calls: string[][] = [];
  readonly denials = new DenialCache();
  nowMs = 1_700_000_000_000;
  readonly #allOrNone = new AllOrNone(this.denials);
  readonly #pause: () => Promise<unknown>;
  /** The most that was spent of the site at any moment. */
  mostOfSite = 0;

  constructor(pause: () => Promise<unknown>) {
    this.#pause = pause;
  }

  async take(...questions: Question[]): Promise<boolean> {
    return (await this.replies(...questions)).every(isAllowed);
  }

  async replies(...questions: Question[]): Promise<Reply[]> {
    const group = questions.map((question) => ({ question, ...this.#route(question) }));
    const { replies, toUndo } = await this.#allOrNone.run([group], this.nowMs, async (some) => {
      if (some.length > 0) this.calls.push(some.map(({ question }) => question.key.join()));
      await this.#pause();
      const decided = some.map(({ question }) => this.#decide(question));
      await this.#pause();
      return decided;
    });
    await this.#pause();
    for (const { question } of toUndo) this.#spend(question, -1);
    return replies.flat();
  }

  #route({ key, policies }: Question) {
    const hi = Number(key[1] ?? 0);
    return { key: { hi, lo: key[0] === "site" ? 1 : 2 }, owner: "weur/0", policies };
  }

  #spend({ key }: Question, units: number): void {
    this.spent.set(key.join(), (this.spent.get(key.join()) ?? 0) + units);
    this.mostOfSite = Math.max(this.mostOfSite, this.spent.get("site") ?? 0);
  }

  #decide(question: Question): Reply {
    const [policy] = question.policies as [Policy];
    const left = policy.limit - (this.spent.get(question.key.join()) ?? 0);
    const allowed = left > 0;
    if (allowed) this.#spend(question, 1);
    const retryAfterMs = allowed ? 0 : 60_000;
    const verdict: Verdict = {
      allowed,
      remaining: Math.max(0, left - 1),
      resetMs: 60_000,
      retryAfterMs,
      delayMs: 0,
      reason: allowed ? "ok" : "limited",
    };
    const when = { sentMs: this.nowMs, receivedAtMs: this.nowMs, epoch: 1, generation: 0 };
    this.denials.add(this.#route(question), [verdict], when);
    const { name, limit } = policy;
    const decision: Decision = { ...verdict, policy: name, limit, source: "owner", exact: true };
    return { question, decisions: [decision], atMs: this.nowMs };
  }
}

const site = (): Question => ({ key: ["site"], policies: [SITE], region: "weur" });
const own = (policy: Policy, client = 1): Question => ({
  key: ["own", String(client)],
  policies: [policy],
  region: "weur",
});

const ticks = (count: number) => async () => {
  for (let n = 0; n < count; n++) await undefined;
};

describe("a client over its own limit", () => {
  it.each([...LOGINS, SLOTS])("takes nothing that others share, under $name", async (policy) => {
    const desk = new Desk(ticks(3));
    const floods = Array.from({ length: 150 }, () => desk.take(site(), own(policy)));
    const passed = (await Promise.all(floods)).filter(Boolean).length;
    expect(passed).toBe(1);
    // The request that passes, and the one beside it that asked before a denial was known.
    expect(desk.mostOfSite).toBeLessThanOrEqual(MAX_AT_ONCE);
    expect(desk.spent.get("site")).toBe(1);

    // From then on its own key is asked first, whenever the remembered denial is over.
    for (let n = 0; n < 20; n++) {
      desk.nowMs += 10_000;
      desk.calls.length = 0;
      expect(await desk.take(site(), own(policy))).toBe(false);
      expect(desk.calls).toEqual([["own,1"]]);
    }
  });

  it("causes no question at all while its denial is trusted", async () => {
    const [policy] = LOGINS as [Policy, Policy];
    const desk = new Desk(ticks(1));
    for (let n = 0; n < 2; n++) await desk.take(site(), own(policy));
    desk.calls.length = 0;
    await desk.take(site(), own(policy));
    expect(desk.calls).toEqual([["own,1"]]);
  });

  it("passes again once its own key lets it", async () => {
    const [policy] = LOGINS as [Policy, Policy];
    const desk = new Desk(ticks(1));
    for (let n = 0; n < 2; n++) await desk.take(site(), own(policy));
    desk.spent.delete("own,1");
    desk.nowMs += 86_400_000;
    desk.calls.length = 0;
    expect(await desk.take(site(), own(policy))).toBe(true);
    desk.spent.delete("own,1");
    expect(await desk.take(site(), own(policy))).toBe(true);
    expect(desk.calls).toEqual([["own,1"], ["site"], ["site", "own,1"]]);
  });
});

describe("what denied requests hold of a shared quota", () => {
  it("is bounded at each moment, and nothing in the end", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(
          fc.record({
            client: fc.integer({ min: 1, max: 3 }),
            policy: fc.constantFrom(...LOGINS, SLOTS),
            isSiteFirst: fc.boolean(),
          }),
          { maxLength: 40 },
        ),
        async (schedule, requests) => {
          const desk = new Desk(() => schedule.schedule(Promise.resolve()));
          const taken = requests.map(({ client, policy, isSiteFirst }) => {
            const questions = [site(), own(policy, client)];
            return desk.take(...(isSiteFirst ? questions : questions.reverse()));
          });
          const clients = new Set(requests.map(({ client }) => client)).size;
          const passed = (await schedule.waitFor(Promise.all(taken))).filter(Boolean).length;
          // At most one of each client passes.
          expect(desk.mostOfSite).toBeLessThanOrEqual(clients * (MAX_AT_ONCE + 1));
          expect(desk.spent.get("site") ?? 0).toBe(passed);
          expect(passed).toBe(clients);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("the order of questions", () => {
  it("asks all at once if nothing is known, and answers in the order asked", async () => {
    const desk = new Desk(ticks(1));
    const [policy] = LOGINS as [Policy, Policy];
    const questions = [site(), own(policy)];
    const replies = await desk.replies(...questions);
    expect(desk.calls).toEqual([["site", "own,1"]]);
    expect(replies.map(({ question }) => question)).toEqual(questions);
  });

  it("goes from a client's key to a network's to a shared one when a denial is likely", async () => {
    const desk = new Desk(ticks(1));
    const of = (name: string, key: string[], limit = 9) =>
      ({
        key: [name],
        policies: [parsePolicy({ ...DAY, name, key, limit })],
        region: "weur",
      }) as const;
    const wide = of("site", ["host", "path"]);
    const network = of("network", ["ip/48"]);
    const mine = of("mine", ["header:X-Api-Key", "path"], 1);
    const take = () => desk.replies(wide, network, mine);
    await take();
    await take();
    desk.spent.delete("mine");
    desk.nowMs += 86_400_000;
    desk.calls.length = 0;
    const replies = await take();
    expect(desk.calls).toEqual([["mine"], ["network"], ["site"]]);
    expect(replies.map(({ question }) => question.key[0])).toEqual(["site", "network", "mine"]);
  });
});
