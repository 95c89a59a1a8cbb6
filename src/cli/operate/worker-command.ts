/** What all commands against a running Worker share: their options, and how they print an answer. */
import { type Command, Option } from "commander";
import { print } from "../text.ts";
import { type Call, call, made } from "./client.ts";

/** Where `npm start` listens. */
const LOCAL_URL = "http://127.0.0.1:8787";

const TOKEN_HELP = `
The token comes from TURNPIKE_TOKEN, else from TOKEN in .dev.vars; a Worker of npm start has "dev".`;

export interface WorkerOptions {
  url: string;
  json?: true;
}

export function withWorker(command: Command): Command {
  return command
    .addOption(
      new Option("--url <url>", "the Worker's address").env("TURNPIKE_URL").default(LOCAL_URL),
    )
    .option("--json", "print the answer as JSON")
    .addHelpText("after", TOKEN_HELP);
}

/** Makes a call and prints its answer, or in JSON the answer as it came. */
export async function answered<Answer>(
  options: WorkerOptions,
  what: Call,
  text: (answer: Answer) => string,
): Promise<Answer> {
  const answer = (await call(options.url, what)) as Answer;
  print(
    options,
    answer ?? {},
    made(() => text(answer)),
  );
  return answer;
}
