/**
 * The addresses of a log, each with a number, and the clients that they belong to: an IPv6 client is
 * its network, and a mapped IPv4 address is that address. A client has the number of its own name.
 * The keys of policies that do not count by address alone have numbers among them.
 *
 * A `Map` of 500,000 addresses takes 100 MB and half of the time that a replay has. This table
 * looks an address up by its bytes, and keeps an IPv4 address as a number.
 */
import { readForwarded } from "../../http/key/forwarded.ts";
import { clientKey } from "../../http/key/identity.ts";
import { readAddress } from "../../limit/address-list.ts";
import { NumberedRows } from "./numbered-rows.ts";

/** Longer text is no address. */
const MAX_BYTES = 255;
/** Numbers in a slot, and in a row. */
const SLOT = 2;
const ROW = 2;
const NO_IPV4 = -1;
const DOT = 0x2e;
const DIGIT_0 = 0x30;

export class Clients {
  /** The next number. */
  #next = 0;
  #addresses = 0;
  readonly #ipv6Prefix: number;
  /** Each slot has an address's hash, and the address as `ofBytes` returns it; 0 if it is free. */
  #slots = new Int32Array(SLOT * 1_024);
  /**
   * Each row has an IPv4 address, or where the text of another stands among all texts; then the
   * number + 1 of the client that it belongs to, or 0 for IPv4, which is its own client.
   */
  readonly #rows = new NumberedRows(ROW);
  /** All texts, each behind a byte with its length. */
  #texts = Buffer.alloc(8_192);
  #textsEnd = 0;
  readonly #keys = new Map<string, number>();
  /** A text whose number is looked for. */
  readonly #written = Buffer.alloc(MAX_BYTES);

  /** @param ipv6Prefix bits of an IPv6 address that tell clients apart */
  constructor(ipv6Prefix: number) {
    this.#ipv6Prefix = ipv6Prefix;
  }

  ofText(text: string): number {
    return this.ofBytes(this.#written, 0, this.#written.write(text));
  }

  /**
   * Returns the address that stands in these bytes: its number + 1, negative for IPv4. So an IPv4
   * address tells its client without a look into memory.
   */
  ofBytes(bytes: Buffer, from: number, end: number): number {
    const to = Math.min(end, from + MAX_BYTES);
    const ipv4 = ipv4In(bytes, from, to);
    const isIpv4 = ipv4 !== NO_IPV4;
    const hash = isIpv4 ? hashOfIpv4(ipv4) : hashOfText(bytes, from, to);
    const mask = this.#slots.length - 1;
    let slot = (hash * SLOT) & mask;
    for (;;) {
      const found = this.#slots[slot + 1] as number;
      if (found === 0) {
        const address = isIpv4 ? undefined : addressWithin(bytes.toString("utf8", from, to));
        if (address !== undefined) return this.ofText(address);
        this.#slots[slot] = hash;
        return isIpv4 ? this.#addIpv4(ipv4, slot) : this.#addText(bytes, from, to, slot);
      }
      if (this.#slots[slot] === hash) {
        if (isIpv4 && found < 0) return found;
        if (!isIpv4 && found > 0 && this.#isSame(found - 1, bytes, from, to)) return found;
      }
      slot = (slot + SLOT) & mask;
    }
  }

  /** Returns the number of the client that an address belongs to. */
  clientOf(address: number): number {
    if (address < 0) return -address - 1;
    return (this.#rows.numbers[(address - 1) * ROW + 1] as number) - 1;
  }

  /** Returns the number of a key, which no client has. */
  ofKey(parts: readonly string[]): number {
    const text = parts.join("\0");
    let number = this.#keys.get(text);
    if (number === undefined) {
      number = this.#next++;
      this.#keys.set(text, number);
    }
    return number;
  }

  /** A client's address, or for IPv6 its network. */
  nameOf(client: number): string {
    const row = client * ROW;
    const place = this.#rows.numbers[row] as number;
    if (this.#rows.numbers[row + 1] === 0) return ipv4Text(place);
    return this.#texts.toString("utf8", place + 1, place + 1 + (this.#texts[place] as number));
  }

  /** An address as the log spells it. */
  textOf(address: number): string {
    return this.nameOf(Math.abs(address) - 1);
  }

  #isSame(found: number, bytes: Buffer, from: number, to: number): boolean {
    const place = this.#rows.numbers[found * ROW] as number;
    if (this.#texts[place] !== to - from) return false;
    const start = place + 1 - from;
    for (let at = from; at < to; at++) {
      if (bytes[at] !== this.#texts[start + at]) return false;
    }
    return true;
  }

  #addIpv4(ipv4: number, slot: number): number {
    return this.#added(slot, -this.#newRow(ipv4) - 1);
  }

  #addText(bytes: Buffer, from: number, to: number, slot: number): number {
    const place = this.#textsEnd;
    this.#textsEnd += 1 + to - from;
    if (this.#textsEnd > this.#texts.length)
      this.#texts = Buffer.concat([this.#texts, this.#texts]);
    this.#texts[place] = to - from;
    bytes.copy(this.#texts, place + 1, from, to);
    const number = this.#newRow(place);
    const address = this.#added(slot, number + 1);
    const client = this.#clientOfText(bytes.toString("utf8", from, to), number);
    this.#rows.numbers[number * ROW + 1] = client + 1;
    return address;
  }

  /** @returns its number */
  #newRow(place: number): number {
    const number = this.#next++;
    const row = this.#rows.rowOf(number);
    this.#rows.numbers[row] = place;
    return number;
  }

  #added(slot: number, address: number): number {
    this.#slots[slot + 1] = address;
    this.#addresses++;
    if (this.#addresses * 2 * SLOT === this.#slots.length) this.#grow();
    return address;
  }

  /** @param number of the address itself */
  #clientOfText(text: string, number: number): number {
    const address = readAddress(text);
    // A log may have host names in place of addresses.
    const [name = text] = address
      ? clientKey(address, { headers: new Headers() }, { ipv6Prefix: this.#ipv6Prefix })
      : [];
    return name === text ? number : this.clientOf(this.ofText(name));
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = new Int32Array(before.length * 2);
    const mask = this.#slots.length - 1;
    for (let from = 0; from < before.length; from += SLOT) {
      if (before[from + 1] === 0) continue;
      let slot = ((before[from] as number) * SLOT) & mask;
      while (this.#slots[slot + 1] !== 0) slot = (slot + SLOT) & mask;
      this.#slots[slot] = before[from] as number;
      this.#slots[slot + 1] = before[from + 1] as number;
    }
  }
}

/**
 * Returns the address in text that has more than it: a port, or other addresses in front. Otherwise
 * each connection of a client would be a client of its own.
 */
function addressWithin(text: string): string | undefined {
  return readAddress(text) ? undefined : readForwarded(text);
}

/** Reads an IPv4 address in canonical text as a whole number; `NO_IPV4` for anything else. */
function ipv4In(bytes: Buffer, from: number, to: number): number {
  let address = 0;
  let octet = 0;
  let digits = 0;
  let dots = 0;
  for (let at = from; at < to; at++) {
    const byte = bytes[at] as number;
    if (byte === DOT) {
      if (digits === 0) return NO_IPV4;
      address = address * 256 + octet;
      octet = 0;
      digits = 0;
      dots++;
      continue;
    }
    const digit = byte - DIGIT_0;
    const isLeadingZero = digits > 0 && octet === 0;
    if (digit < 0 || digit > 9 || isLeadingZero) return NO_IPV4;
    octet = octet * 10 + digit;
    digits++;
    if (octet > 255) return NO_IPV4;
  }
  return dots === 3 && digits > 0 ? address * 256 + octet : NO_IPV4;
}

function ipv4Text(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
}

/** No two IPv4 addresses have the same hash. The steps are those of MurmurHash3's end. */
function hashOfIpv4(address: number): number {
  let hash = address | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** FNV-1a. */
function hashOfText(bytes: Buffer, from: number, to: number): number {
  let hash = 0x811c9dc5;
  for (let at = from; at < to; at++) hash = Math.imul(hash ^ (bytes[at] as number), 0x01000193);
  return hash ^ (hash >>> 15);
}
