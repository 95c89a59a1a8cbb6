/** `npm run openapi` writes the document; `npm run check:openapi` has others read it. */
import { expect, it } from "vitest";
import { document } from "./document.ts";

it("is in the repository as the schemas give it", async () => {
  const text = `${JSON.stringify(document, null, 2)}\n`;
  await expect(text).toMatchFileSnapshot("../../src/http/api/openapi.json");
});
