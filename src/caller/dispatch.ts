/** Asks each owner about its own keys, and follows keys that have moved. */
import type { Answer } from "../protocol/wire-answer.ts";
import type { Routed, Router } from "./router.ts";

/** The most owners asked about a key that keeps moving, one after the other. */
const MAX_ATTEMPTS = 5;

/** An owner's answer to a batch. The verdict on a key that has moved is undefined. */
export type OwnerAnswer = Pick<Answer, "ring"> & { verdicts: readonly unknown[] };

/** What became of one message: the answer to its batch, and its index there. */
export interface Dispatched<Message, Reply> {
  message: Message;
  /** Undefined if the owner did not answer. */
  answer: Reply | undefined;
  index: number;
}

/**
 * Sends messages to their owners, those of one owner as one batch.
 *
 * @param ask asks one owner
 * @returns each message with the last answer to it, in no order. A key that moved each time is left
 *   without a verdict.
 */
export async function dispatch<Message extends Routed, Reply extends OwnerAnswer>(
  router: Router,
  messages: readonly Message[],
  ask: (owner: string, batch: readonly Message[]) => Promise<Reply | undefined>,
): Promise<Dispatched<Message, Reply>[]> {
  const ended: Dispatched<Message, Reply>[] = [];
  let open = messages;
  for (let attempt = 1; open.length > 0; attempt++) {
    const moved: Message[] = [];
    for (const { batch, answer } of await askAll(open, ask)) {
      const [first] = batch;
      if (first && answer?.ring) router.learn(first.region, first.version, answer.ring);
      for (const [index, message] of batch.entries()) {
        const hasMoved = answer?.ring !== undefined && !answer.verdicts[index];
        if (hasMoved && attempt < MAX_ATTEMPTS) moved.push(message);
        else ended.push({ message, answer, index });
      }
    }
    open = moved.map((each) => ({ ...each, ...router.ownerOf(each.key, each.region) }));
  }
  return ended;
}

async function askAll<Message extends Routed, Reply>(
  messages: readonly Message[],
  ask: (owner: string, batch: readonly Message[]) => Promise<Reply | undefined>,
): Promise<{ batch: readonly Message[]; answer: Reply | undefined }[]> {
  const [first] = messages;
  if (first && messages.length === 1) {
    return [{ batch: messages, answer: await ask(first.owner, messages) }];
  }
  const batches = Map.groupBy(messages, ({ owner }) => owner);
  return Promise.all(
    Array.from(batches, async ([owner, batch]) => ({ batch, answer: await ask(owner, batch) })),
  );
}
