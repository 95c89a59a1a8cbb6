/** Tokens of a model: a request reserves the most it may use, and pays for what it has used. */
import { Hono } from "hono";
import { limiter, MisuseError } from "turnpike";

const tokens = limiter({ name: "tokens", limit: 1_000, window: "1d" });

/** Stands for a call to a model. */
const ask = async (prompt: string) => ({ text: `You said ${prompt}`, used: prompt.length });

const app = new Hono();

app.post("/:user", async (c) => {
  const { prompt, max_tokens: most } = await c.req.json();
  const { allowed, settle } = await tokens.reserve(c.req.param("user"), most);
  if (!allowed) return c.text("No tokens left", 429);
  const { text, used } = await ask(prompt);
  await settle(used);
  return c.text(text);
});

app.onError((error, c) => {
  // The client wrote the amount: it may be no number, or more than the limit.
  const isClients = error instanceof MisuseError && error.field === "amount";
  return isClients ? c.text(error.message, 400) : c.text("Internal error", 500);
});

export default app;
