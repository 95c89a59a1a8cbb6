/**
 * Reads a response's body for the store, while the client may get it already.
 *
 * It reads ahead of a slow client, but no more than the bound. Past the bound it reads at the
 * client's pace, and nothing is kept.
 */

export class Body {
  /** The whole body; undefined if it is too large, or breaks off. */
  readonly whole: Promise<Uint8Array | undefined>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  /** What was read. Emptied once all of it is passed on and reading ahead has ended. */
  #chunks: Uint8Array[] = [];
  #passed = 0;
  #isReading = true;
  #error: { reason: unknown } | undefined;
  #progress = Promise.withResolvers<void>();

  constructor(body: ReadableStream<Uint8Array>, maxBytes: number) {
    this.#reader = body.getReader();
    this.whole = this.#read(maxBytes);
  }

  async #read(maxBytes: number): Promise<Uint8Array | undefined> {
    let bytes = 0;
    let isDone = false;
    try {
      while (bytes <= maxBytes && !isDone) {
        const { done, value } = await this.#reader.read();
        isDone = done;
        if (value) {
          this.#chunks.push(value);
          // A handler may also stream text or other arrays: nothing is kept then.
          bytes += value instanceof Uint8Array ? value.length : Number.POSITIVE_INFINITY;
        }
        this.#advance();
      }
    } catch (reason) {
      this.#error = { reason };
    }
    this.#isReading = false;
    this.#advance();
    return isDone ? joined(this.#chunks, bytes) : undefined;
  }

  /** Passes the body on, from its beginning. Call this once. */
  stream(): ReadableStream<Uint8Array> {
    return new ReadableStream({
      pull: async (controller) => {
        while (this.#passed === this.#chunks.length && this.#isReading)
          await this.#progress.promise;
        const chunk = this.#chunks[this.#passed];
        if (chunk) {
          this.#passed++;
          return controller.enqueue(chunk);
        }
        // All that was read ahead is passed on.
        this.#chunks = [];
        this.#passed = 0;
        if (this.#error) return controller.error(this.#error.reason);
        const { done, value } = await this.#reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      // Reading ahead goes on for the store.
      cancel: (reason) => (this.#isReading ? undefined : this.#reader.cancel(reason)),
    });
  }

  #advance(): void {
    this.#progress.resolve();
    this.#progress = Promise.withResolvers();
  }
}

function joined(chunks: readonly Uint8Array[], bytes: number): Uint8Array {
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
