/**
 * `URL.parse`, which every runtime has that can run this, and which not every version of its types
 * knows in full.
 */
interface UrlParser {
  parse(text: string, base?: string): URL | null;
}

export function parseUrl(text: string, base?: string): URL | null {
  return (URL as unknown as UrlParser).parse(text, base);
}
