/** What a login shell does that has no script of its own. */

import type {
  CommandContext,
  CommandHandler,
  CommandResult,
  CommandScript,
} from "./command_script.ts";
import { runScript } from "./commands.ts";
import { words } from "./_words.ts";

/**
 * A shell that runs one line after the other. It prints no prompt, and its
 * commands read nothing.
 *
 * @param find Finds the script of a line.
 */
export function loginShell(
  find: (line: string) => CommandScript,
): CommandHandler {
  return async (context) => {
    let code: number | null = 0;
    for await (const line of linesOf(context.stdin)) {
      const [name, argument] = words(line);
      if (name === undefined) continue;
      if (name === "exit") return { code: Number(argument ?? code) & 255 };
      const result = await runLine(line, find, context);
      if (context.signal.aborted) return result;
      code = result.code === undefined ? 0 : result.code;
    }
    return { code };
  };
}

async function runLine(
  command: string,
  find: (line: string) => CommandScript,
  context: CommandContext,
): Promise<CommandResult> {
  const { write, writeError } = context;
  const stdin = new ReadableStream<Uint8Array>({
    start: (controller) => controller.close(),
  });
  const result = await runScript(find(command), { ...context, command, stdin });
  if (result.stdout?.length) await write(result.stdout);
  if (result.stderr?.length) await writeError(result.stderr);
  return result;
}

/** Lines as they are typed: a terminal sends `\r` for the Enter key. */
async function* linesOf(
  stdin: ReadableStream<Uint8Array>,
): AsyncGenerator<string, void, undefined> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stdin) {
    const lines = (rest + decoder.decode(chunk, { stream: true }))
      .split(/\r\n|\r|\n/);
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}
