/** The example that the README of the caller names: tokens of a model. */
import { expect, it } from "vitest";
import app from "./tokens.ts";

const user = crypto.randomUUID();

async function ask(prompt: string, most: unknown) {
  const body = JSON.stringify({ prompt, max_tokens: most });
  const response = await app.request(`/${user}`, { method: "POST", body });
  return [response.status, await response.text()];
}

it("charges what was used, and answers 400 to an amount out of bounds", async () => {
  expect((await ask("x".repeat(300), 1_000))[0]).toBe(200);
  expect(await ask("Hello", 701)).toEqual([429, "No tokens left"]);
  expect(await ask("Hello", 700)).toEqual([200, "You said Hello"]);
  for (const most of [0, "all", 1_001]) {
    expect(await ask("Hello", most)).toEqual([400, expect.stringMatching(/^amount must be /)]);
  }
});
