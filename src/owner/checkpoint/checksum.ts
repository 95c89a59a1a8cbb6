/**
 * A checksum of what is on disk: FNV-1a by 32-bit words. A checkpoint holds up checks while it is
 * summed, so it has to be fast.
 *
 * Any one word that differs changes the sum for sure; several words change it all but once in 2^32.
 * It finds accidents: an attacker with access to the storage can also write a sum.
 */
const OFFSET = 0x811c9dc5;
const PRIME = 0x01000193;

/** @returns an unsigned 32-bit number */
export function checksum(bytes: Uint8Array<ArrayBuffer>): number {
  // A view of words must begin at a whole word.
  const { buffer, byteOffset, length } = byteAligned(bytes);
  const words = new Uint32Array(buffer, byteOffset, length >>> 2);
  let sum = OFFSET ^ length;
  // By index: an iterator takes seven times as long.
  for (let at = 0; at < words.length; at++) sum = Math.imul(sum ^ (words[at] as number), PRIME);
  for (const byte of new Uint8Array(buffer, byteOffset + words.byteLength, length & 3)) {
    sum = Math.imul(sum ^ byte, PRIME);
  }
  return sum >>> 0;
}

function byteAligned(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return bytes.byteOffset % Uint32Array.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
}
