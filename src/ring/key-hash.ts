/**
 * The key hash: SipHash-1-3 (Aumasson and Bernstein, 2012), 64 bits under a secret.
 *
 * Keyed, because a client who owns an IPv6 /48 can choose among 65,536 prefixes and would otherwise
 * aim them all at one owner. Written in 32-bit halves, since a BigInt costs more than the hash.
 */

/** A 64-bit hash as two unsigned 32-bit halves. */
export interface KeyHash {
  readonly hi: number;
  readonly lo: number;
}

/** Returns the hash as text, for keys of a `Map`. */
export function hashText({ hi, lo }: KeyHash): string {
  return `${hi}:${lo}`;
}

/**
 * Returns the hash's first 53 bits as one number, for lookups: making a text takes ten times as
 * long. One time in 2^53 another key has the same number, so also compare with `isSameKey`.
 */
export function first53Bits({ hi, lo }: KeyHash): number {
  return hi * 2 ** 21 + (lo >>> 11);
}

export function isSameKey(one: KeyHash, other: KeyHash): boolean {
  return one.lo === other.lo && one.hi === other.hi;
}

/** A 128-bit SipHash key, as four 32-bit words, the least significant first. */
export type SipKey = readonly [number, number, number, number];

/** For hashes that need no secret, and for making a key from a secret. */
export const PUBLIC_SIP_KEY: SipKey = [0, 0, 0, 0];

const MAX_ASCII = 0x7f;

/** v0 to v3 as low and high halves. All calls share it, since no call is interrupted. */
const state = new Int32Array(8);
const encoder = new TextEncoder();
let bytes = new Uint8Array(256);
/** The same buffer as words. */
let words = new Int32Array(bytes.buffer);

/**
 * Returns the function that hashes a key's parts under `secret`.
 *
 * Each part is preceded by its length, so that no two lists of parts give one text.
 *
 * @param secret any text; the same everywhere, or callers disagree on which owner holds a key
 * @example keyHasher(secret)(["203.0.113.7", "/login"]) // { hi: …, lo: … }
 */
export function keyHasher(secret: string): (parts: readonly string[]) => KeyHash {
  const low = sipHash(PUBLIC_SIP_KEY, `0${secret}`);
  const high = sipHash(PUBLIC_SIP_KEY, `1${secret}`);
  const key: SipKey = [low.lo, low.hi, high.lo, high.hi];
  return (parts) => {
    let text = "";
    for (const part of parts) text += `${part.length}:${part}`;
    return sipHash(key, text);
  };
}

/** Returns the SipHash-1-3 of a text's UTF-8 bytes. */
export function sipHash([k0, k1, k2, k3]: SipKey, text: string): KeyHash {
  // A UTF-16 unit is at most three bytes of UTF-8; seven more pad the last word.
  if (bytes.length < text.length * 3 + 7) {
    bytes = new Uint8Array((text.length + 3) * 8);
    words = new Int32Array(bytes.buffer);
  }
  const length = write(text);
  const lastWord = length & ~7;
  for (let at = length; at < lastWord + 8; at++) bytes[at] = 0;

  state[0] = k0 ^ 0x70736575;
  state[1] = k1 ^ 0x736f6d65;
  state[2] = k2 ^ 0x6e646f6d;
  state[3] = k3 ^ 0x646f7261;
  state[4] = k0 ^ 0x6e657261;
  state[5] = k1 ^ 0x6c796765;
  state[6] = k2 ^ 0x79746573;
  state[7] = k3 ^ 0x74656462;

  for (let at = 0; at < lastWord; at += 8) compress(int32At(at), int32At(at + 4));
  compress(int32At(lastWord), (int32At(lastWord + 4) & 0xffffff) | (length << 24));
  state[4] = at(4) ^ 0xff;
  round();
  round();
  round();
  return {
    hi: (at(1) ^ at(3) ^ at(5) ^ at(7)) >>> 0,
    lo: (at(0) ^ at(2) ^ at(4) ^ at(6)) >>> 0,
  };
}

/** Writes a text's UTF-8 into the buffer and returns its length. Most keys are ASCII, and short. */
function write(text: string): number {
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit > MAX_ASCII) return encoder.encodeInto(text, bytes).written;
    bytes[index] = unit;
  }
  return text.length;
}

function compress(low: number, high: number): void {
  state[6] = at(6) ^ low;
  state[7] = at(7) ^ high;
  round();
  state[0] = at(0) ^ low;
  state[1] = at(1) ^ high;
}

function at(half: number): number {
  return state[half] as number;
}

/** Reads at a four-byte boundary. Every machine that runs this is little-endian. */
function int32At(offset: number): number {
  return words[offset >> 2] as number;
}

/** One SipRound on the shared state. */
function round(): void {
  let v0l = at(0);
  let v0h = at(1);
  let v1l = at(2);
  let v1h = at(3);
  let v2l = at(4);
  let v2h = at(5);
  let v3l = at(6);
  let v3h = at(7);
  let rotated: number;

  // v0 += v1; v1 = rotl(v1, 13) ^ v0; v0 = rotl(v0, 32)
  v0l = (v0l + v1l) | 0;
  v0h = (v0h + v1h + carry(v0l, v1l)) | 0;
  rotated = (v1l << 13) | (v1h >>> 19);
  v1h = ((v1h << 13) | (v1l >>> 19)) ^ v0h;
  v1l = rotated ^ v0l;
  rotated = v0l;
  v0l = v0h;
  v0h = rotated;

  // v2 += v3; v3 = rotl(v3, 16) ^ v2
  v2l = (v2l + v3l) | 0;
  v2h = (v2h + v3h + carry(v2l, v3l)) | 0;
  rotated = (v3l << 16) | (v3h >>> 16);
  v3h = ((v3h << 16) | (v3l >>> 16)) ^ v2h;
  v3l = rotated ^ v2l;

  // v0 += v3; v3 = rotl(v3, 21) ^ v0
  v0l = (v0l + v3l) | 0;
  v0h = (v0h + v3h + carry(v0l, v3l)) | 0;
  rotated = (v3l << 21) | (v3h >>> 11);
  v3h = ((v3h << 21) | (v3l >>> 11)) ^ v0h;
  v3l = rotated ^ v0l;

  // v2 += v1; v1 = rotl(v1, 17) ^ v2; v2 = rotl(v2, 32)
  v2l = (v2l + v1l) | 0;
  v2h = (v2h + v1h + carry(v2l, v1l)) | 0;
  rotated = (v1l << 17) | (v1h >>> 15);
  v1h = ((v1h << 17) | (v1l >>> 15)) ^ v2h;
  v1l = rotated ^ v2l;

  state[0] = v0l;
  state[1] = v0h;
  state[2] = v1l;
  state[3] = v1h;
  state[4] = v2h;
  state[5] = v2l;
  state[6] = v3l;
  state[7] = v3h;
}

/** Returns the carry of an unsigned 32-bit addition: 1 if `sum` is below `addend`, else 0. */
function carry(sum: number, addend: number): number {
  return sum >>> 0 < addend >>> 0 ? 1 : 0;
}
