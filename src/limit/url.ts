/** `URL.parse`. Every runtime that can run this has it, but not every version of its types does. */
interface UrlParser {
  parse(text: string, base?: string): URL | null;
}

export function parseUrl(text: string, base?: string): URL | null {
  return (URL as unknown as UrlParser).parse(text, base);
}
