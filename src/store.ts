/**
 * The entry point `turnpike/store`: a store for express-rate-limit and hono-rate-limiter, in Node or
 * anywhere else. They decide, and a deployed Turnpike counts.
 *
 * Nobody reaches the limit that it asks for, so that hits count which the middleware refuses. It
 * cannot reset all keys at once, since Turnpike keeps hashes of them: give it another prefix instead.
 */
const LIMIT = 1_000_000_000;
/** A call that takes longer fails, so that no request of the app waits without an end. */
const DEADLINE_MS = 2_000;

export class TurnpikeStore {
  readonly localKeys = false;
  /** Tells what this limiter counts from what others do. */
  readonly prefix: string;
  readonly #api: string;
  readonly #token: string;
  #windowMs = 60_000;

  /**
   * @param api the API of a deployed Turnpike, such as `https://limit.example.com/_turnpike/v1`
   * @param token one that its `TOKEN` has
   * @throws {TypeError} naming the argument that is missing, or is no URL
   */
  constructor(api: string, token: string, prefix: string) {
    if (!isUrl(api)) throw new TypeError(`api must be a URL, got ${api}`);
    if (!token) throw new TypeError("token must not be empty: is its variable set?");
    if (!prefix) throw new TypeError("prefix must not be empty");
    this.#api = api.replace(/\/+$/, "");
    this.#token = token;
    this.prefix = prefix;
  }

  init({ windowMs }: { windowMs: number }): void {
    this.#windowMs = windowMs;
  }

  async increment(key: string, cost = 1) {
    return hitsOf(await this.#call("check", key, cost));
  }

  async get(key: string) {
    const hits = await hitsOf(await this.#call("peek", key));
    return hits.totalHits > 0 ? hits : undefined;
  }

  async decrement(key: string, cost = 1): Promise<void> {
    await this.#call("refund", key, cost);
  }

  async resetKey(key: string): Promise<void> {
    await this.#call("reset", key);
  }

  async #call(name: string, key: string, cost = 1): Promise<Response> {
    const url = `${this.#api}/${name}`;
    const response = await fetch(url, {
      method: "POST",
      headers: { Authorization: `Bearer ${this.#token}` },
      body: JSON.stringify({
        key: [this.prefix, key],
        cost,
        limit: LIMIT,
        window: `${this.#windowMs}ms`,
        start: "first",
      }),
      signal: AbortSignal.timeout(DEADLINE_MS),
    }).catch((cause) => {
      throw new Error(`Turnpike does not answer at ${url}: ${cause}`, { cause });
    });
    if (response.ok) return response;
    throw new Error(`Turnpike answers ${response.status} at ${url}: ${await response.text()}`);
  }
}

async function hitsOf(response: Response) {
  const { remaining, resetMs } = (await response.json()) as { remaining: number; resetMs: number };
  // Another server answers if the URL is not that of the API, and nothing would be counted.
  if (typeof remaining !== "number")
    throw new Error(`${response.url} is no call of Turnpike's API`);
  return { totalHits: LIMIT - remaining, resetTime: new Date(Date.now() + resetMs) };
}

/** Not `URL.canParse`, which older types do not have. */
function isUrl(text: string): boolean {
  try {
    new URL(text);
    return true;
  } catch {
    return false;
  }
}
