/**
 * Bytes as storage values. A value may not be longer than 2 MB. These are far shorter, since to
 * write one, the storage reads values that it meets on the way to its key.
 */
import { MisuseError } from "../../limit/misuse.ts";
import { checksum } from "./checksum.ts";

const PIECE_BYTES = 64_000;

/** A value and the storage key it goes under. */
export type Piece = [key: string, bytes: Uint8Array<ArrayBuffer>];

/** Cuts bytes into values. Each is a copy: the storage writes a view's whole buffer. */
export function toPieces(key: string, bytes: Uint8Array<ArrayBuffer>): Piece[] {
  return cuts(key, bytes.length).map((cut) => [cut.key, bytes.slice(...cut.range)]);
}

/** Returns the storage keys that bytes of this length take. */
export function pieceKeys(key: string, length: number): string[] {
  return cuts(key, length).map((cut) => cut.key);
}

/**
 * Puts bytes together again.
 *
 * @param length bytes in all
 * @param sum the checksum of all
 * @throws {MisuseError} if a value is missing or is not what it was
 */
export function fromPieces(
  entries: Map<string, unknown>,
  key: string,
  length: number,
  sum: number,
): Uint8Array<ArrayBuffer> {
  const bytes = joined(entries, key, length);
  const found = checksum(bytes);
  if (found !== sum) throw new MisuseError(key, `must have the checksum ${sum}`, found);
  return bytes;
}

function joined(
  entries: Map<string, unknown>,
  key: string,
  length: number,
): Uint8Array<ArrayBuffer> {
  const pieces = cuts(key, length).map((cut) => {
    const piece = entries.get(cut.key);
    const pieceLength = cut.range[1] - cut.range[0];
    if (!(piece instanceof Uint8Array) || piece.length !== pieceLength) {
      throw new MisuseError(cut.key, `must be ${pieceLength} bytes`, typeof piece);
    }
    return piece as Uint8Array<ArrayBuffer>;
  });
  if (pieces[0] && pieces.length === 1) return pieces[0];
  const bytes = new Uint8Array(length);
  for (const [at, piece] of pieces.entries()) bytes.set(piece, at * PIECE_BYTES);
  return bytes;
}

function cuts(key: string, length: number): { key: string; range: [number, number] }[] {
  return Array.from({ length: Math.max(1, Math.ceil(length / PIECE_BYTES)) }, (_, at) => ({
    key: `${key}/${at}`,
    range: [at * PIECE_BYTES, Math.min(length, (at + 1) * PIECE_BYTES)],
  }));
}
