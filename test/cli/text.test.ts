/** What the commands print of texts that clients wrote. */
import { expect, it } from "vitest";
import { tableOf } from "../../src/cli/text.ts";

it("shows signs that would move the cursor or turn a line round, as numbers", () => {
  const table = tableOf(["client"], [["\u001b[2J\u202eevil\r\u009b"], ["two\nlines é 中"]]);
  expect(table).toContain(String.raw`\u001b[2J\u202eevil\u000d\u009b`);
  expect(table).toContain("lines é 中");
  expect(table).not.toMatch(/[^\n\P{C}]/u);
});
