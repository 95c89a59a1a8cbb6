/**
 * Sessions of the live page: a signed cookie that stands for an admin's token for 12 hours.
 *
 * Browsers send the cookie with any request, so it counts only in those of the page's own origin.
 */
import type { Context } from "hono";
import type { Config } from "../../config.ts";

const COOKIE = "turnpike";
const SESSION_S = 12 * 3_600;
const VALUE = new RegExp(`(?:^|;\\s*)${COOKIE}=(\\d{1,12})\\.([\\da-f]{64})(?:;|$)`);

export interface Sessions {
  /** Returns the `Set-Cookie` that begins a session, or ends it. */
  begin(url: string): Promise<string>;
  end(url: string): string;
  /**
   * Returns true if the request comes from the page itself, with a session that has not expired.
   */
  holds(c: Context): Promise<boolean>;
}

/** Sessions end with their tokens: a changed token or secret makes every signature wrong. */
export function sessionsOf({
  hashSecret,
  tokens,
}: Pick<Config, "hashSecret" | "tokens">): Sessions {
  const secret = [hashSecret, ...tokens.map((token) => `${token.scope}:${token.secret}`)].join(
    "\n",
  );
  let imported: Promise<CryptoKey> | undefined;
  const key = () => {
    const bytes = new TextEncoder().encode(secret);
    const algorithm = { name: "HMAC", hash: "SHA-256" };
    imported ??= crypto.subtle.importKey("raw", bytes, algorithm, false, ["sign", "verify"]);
    return imported;
  };
  const signed = (until: string) => new TextEncoder().encode(`${COOKIE} ${until}`);

  return {
    async begin(url) {
      const until = String(nowSeconds() + SESSION_S);
      const signature = await crypto.subtle.sign("HMAC", await key(), signed(until));
      return cookie(url, `${until}.${hexOf(new Uint8Array(signature))}`, SESSION_S);
    },
    end: (url) => cookie(url, "", 0),
    async holds(c) {
      if (c.req.header("Sec-Fetch-Site") !== "same-origin") return false;
      const [, until = "", signature = ""] = VALUE.exec(c.req.header("Cookie") ?? "") ?? [];
      if (!(Number(until) > nowSeconds())) return false;
      const bytes = Uint8Array.from(signature.match(/../g) ?? [], (pair) =>
        Number.parseInt(pair, 16),
      );
      return crypto.subtle.verify("HMAC", await key(), bytes, signed(until));
    },
  };
}

function cookie(url: string, value: string, seconds: number): string {
  const secure = url.startsWith("https:") ? "; Secure" : "";
  return `${COOKIE}=${value}; Path=/_turnpike; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure}`;
}

function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1_000);
}
