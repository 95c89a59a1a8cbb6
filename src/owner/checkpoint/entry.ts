/**
 * A log entry, which may be put again while it is the last and small. Where operators set some of
 * it, or it is too large for one value, it has several values, each with a sequence of its own.
 */
import { isOperators } from "../../counters/table-name.ts";
import { Changes } from "./changes.ts";
import { encodeSections, type Section } from "./format.ts";

/** A value gets no more sections once it has that much: on disk it may have 2 MB. */
const VALUE_BYTES = 500_000;
/** An entry with more is not put again. */
const MOST_PUT_AGAIN_BYTES = 16_000;

export class Entry {
  changes = new Changes();
  /** What these take, bytes. */
  changedBytes = 0;
  /** Of its values. */
  sequences: readonly number[] = [];
  /** Whether later changes need another entry. */
  isFull = false;
  isWritten = false;

  /**
   * Returns its values: one in place of the value before if that is the last of the log, or new
   * ones.
   *
   * @param last the sequence of the log's last value
   */
  encode(
    sections: readonly Section[],
    last: number,
  ): [sequence: number, value: Uint8Array<ArrayBuffer>][] {
    const parts = split(sections);
    const isLast = this.sequences.length === 1 && this.sequences[0] === last;
    const first = isLast && parts.length === 1 ? last : last + 1;
    this.sequences = parts.map((_, nth) => first + nth);
    this.isFull = parts.length > 1;
    return parts.map((part, nth) => {
      const sequence = first + nth;
      const value = encodeSections({ sequence, sections: part });
      this.isFull ||= value.length > MOST_PUT_AGAIN_BYTES;
      return [sequence, value];
    });
  }
}

/** What operators set has values of its own: none of it gets lost with a damaged count. */
function split(sections: readonly Section[]): Section[][] {
  const parts: Section[][] = [];
  for (const isOf of [true, false]) {
    let bytes = VALUE_BYTES;
    for (const section of sections) {
      if (isOperators(section.table) !== isOf) continue;
      if (bytes >= VALUE_BYTES) {
        parts.push([]);
        bytes = 0;
      }
      parts.at(-1)?.push(section);
      bytes += section.rows.length;
    }
  }
  return parts;
}
