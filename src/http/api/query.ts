/** Reads query strings. */
import type { Context } from "hono";
import { MisuseError } from "../../limit/misuse.ts";

/**
 * Returns the fields of a query string, each of which may be given once.
 *
 * @param list the field that may be given more often
 * @throws {MisuseError} if another field is given twice, since it is unclear which value counts
 */
export function queryOf(c: Context, list?: string): Partial<Record<string, string>> {
  for (const [field, values] of Object.entries(c.req.queries())) {
    if (values.length > 1 && field !== list)
      throw new MisuseError(field, "must be given once", values);
  }
  return c.req.query();
}
