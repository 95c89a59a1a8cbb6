/** Reads query strings. */
import type { Context } from "hono";
import { MisuseError } from "../../limit/misuse.ts";

/**
 * Returns the fields of a query string. A field must not be given twice.
 *
 * @param list a field that may be given any number of times
 * @throws {MisuseError} naming a field that is given twice
 */
export function queryOf(c: Context, list?: string): Partial<Record<string, string>> {
  for (const [field, values] of Object.entries(c.req.queries())) {
    if (values.length > 1 && field !== list)
      throw new MisuseError(field, "must be given once", values);
  }
  return c.req.query();
}
