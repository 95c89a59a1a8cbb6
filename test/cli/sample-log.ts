/** A log of 2,000 requests, always the same: 60 clients, a guesser of passwords, one fast crawler. */

import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

export interface SampleRequest {
  client: string;
  atMs: number;
  method: string;
  target: string;
  status: number;
}

const START = Date.UTC(2026, 4, 17, 10, 0, 0);
const PAGES = ["/", "/search?q=shoes", "/Products/7", "/style.css", "//search", "/logo.png"];

export function sampleRequests(): SampleRequest[] {
  const random = xoroshiro128plus(17);
  const pick = (most: number) => uniformInt(random, 0, most - 1);
  return Array.from({ length: 2_000 }, (_, at) => {
    const atMs = START + Math.floor(at * 0.9) * 1_000;
    if (at % 10 === 3) {
      return { client: "203.0.113.9", atMs, method: "POST", target: "/login", status: 401 };
    }
    const client = at % 4 === 0 ? "2001:db8::17" : `192.0.2.${1 + pick(60)}`;
    const target = PAGES[pick(PAGES.length)] as string;
    return { client, atMs, method: pick(20) === 0 ? "HEAD" : "GET", target, status: 200 };
  });
}

/** The same in the combined format, some lines up to 20 places late. */
export function sampleLog(): string {
  const lines = sampleRequests().map(({ client, atMs, method, target, status }) => {
    const [, , day, , , time] =
      /^(\w+), (\d+) (\w+) (\d+) (\S+)/.exec(new Date(atMs).toUTCString()) ?? [];
    const date = `${day}/May/2026:${time} +0000`;
    return `${client} - - [${date}] "${method} ${target} HTTP/1.1" ${status} 512 "-" "sample"`;
  });
  for (let at = 0; at + 20 < lines.length; at += 100) {
    lines.splice(at + 20, 0, ...lines.splice(at, 1));
  }
  return `${lines.join("\n")}\n`;
}
