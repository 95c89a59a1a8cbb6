/** Wraps an object so that each call tells its arguments and its answer. */
import { inspect } from "node:util";

const INSPECT = { depth: 6, compact: 100, breakLength: Number.POSITIVE_INFINITY };

export function told<Methods extends object>(
  methods: Methods,
  tell: (text: string) => void,
): Methods {
  return new Proxy(methods, {
    get(target, verb) {
      const method = target[verb as keyof Methods];
      if (typeof method !== "function") return method;
      return async (...args: unknown[]) => {
        const call = `${String(verb)} ${inspect(args, INSPECT)}`;
        try {
          const reply = await method.apply(target, args);
          tell(`${call}: ${inspect(reply, INSPECT)}`);
          return reply;
        } catch (error) {
          tell(`${call}: ${error}`);
          throw error;
        }
      };
    },
  });
}
