/**
 * A headless Chromium, driven over its DevTools protocol.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { join } from "node:path";

/** Where Chromium is; `undefined` if it is not installed. */
export const chromiumPath: string | undefined = [
  Deno.env.get("SSHPOOL_CHROMIUM") ?? "",
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== "" && existsSync(path));

/** What to tell whoever sees such a test ignored. */
export const chromiumHint = "install chromium to run this test";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--hide-scrollbars",
  "--remote-debugging-port=0",
];

type Answer = Record<string, unknown>;

/** A page in a browser of its own. */
export class Browser implements AsyncDisposable {
  /** What the page said that is an error: messages, exceptions, failed loads. */
  readonly errors: string[] = [];
  /** What the page asked for. */
  readonly requests: string[] = [];
  readonly #process: Deno.ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, PromiseWithResolvers<Answer>>();
  readonly #loaded: (() => void)[] = [];
  #id = 0;

  private constructor(
    process: Deno.ChildProcess,
    profile: string,
    socket: WebSocket,
  ) {
    this.#process = process;
    this.#profile = profile;
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#onMessage(JSON.parse(data));
  }

  /** Starts a browser with one blank page. */
  static async start(): Promise<Browser> {
    const profile = await Deno.makeTempDir({ prefix: "sshpool-chromium-" });
    const process = new Deno.Command(chromiumPath!, {
      args: [...FLAGS, `--user-data-dir=${profile}`, "about:blank"],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const socket = new WebSocket(await pageUrl(profile));
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    const browser = new Browser(process, profile, socket);
    for (const domain of ["Page", "Runtime", "Log", "Network"]) {
      await browser.#send(`${domain}.enable`);
    }
    return browser;
  }

  /** Opens a page in a window of this size; resolves when it is loaded. */
  async open(url: string, width: number, height: number): Promise<void> {
    await this.#send("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: false,
    });
    const loaded = new Promise<void>((resolve) => this.#loaded.push(resolve));
    await this.#send("Page.navigate", { url });
    await loaded;
  }

  /** What an expression gives in the page, by way of JSON. */
  async evaluate<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.#send("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
    }) as { result: { value: T }; exceptionDetails?: { text: string } };
    if (exceptionDetails) throw new Error(exceptionDetails.text);
    return result.value;
  }

  /** A picture of all of the page, or of one element of it, as PNG. */
  async screenshot(selector = "html"): Promise<Uint8Array<ArrayBuffer>> {
    const clip = await this.evaluate(`(() => {
      const { x, y, width, height } = document.querySelector(
        ${JSON.stringify(selector)}).getBoundingClientRect();
      return { x: x + scrollX, y: y + scrollY, width, height, scale: 1 };
    })()`);
    const { data } = await this.#send("Page.captureScreenshot", {
      captureBeyondViewport: true,
      clip,
    });
    return Uint8Array.from(atob(data as string), (c) => c.charCodeAt(0));
  }

  /** Ends it, and removes its files. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#socket.onclose = resolve);
    // Its helper processes end with it, which they do not if it is killed.
    await this.#send("Browser.close").catch(() => {});
    await Promise.all([closed, this.#process.status]);
    await removeSoon(this.#profile);
  }

  #send(method: string, params: Answer = {}): Promise<Answer> {
    const id = ++this.#id;
    const answer = Promise.withResolvers<Answer>();
    this.#answers.set(id, answer);
    this.#socket.send(JSON.stringify({ id, method, params }));
    return answer.promise;
  }

  #onMessage(message: {
    id?: number;
    result?: Answer;
    error?: { message: string };
    method?: string;
    params?: Answer;
  }): void {
    const { id, result, error, method = "", params = {} } = message;
    if (id === undefined) return this.#onEvent(method, params);
    const answer = this.#answers.get(id);
    this.#answers.delete(id);
    if (error) answer?.reject(new Error(error.message));
    else answer?.resolve(result ?? {});
  }

  #onEvent(method: string, params: Answer): void {
    if (method === "Page.loadEventFired") this.#loaded.shift()?.();
    if (method === "Network.requestWillBeSent") {
      this.requests.push((params.request as { url: string }).url);
    }
    const isError = method === "Runtime.exceptionThrown" ||
      method === "Network.loadingFailed" ||
      method === "Log.entryAdded" &&
        (params.entry as { level: string }).level === "error" ||
      method === "Runtime.consoleAPICalled" && params.type === "error";
    if (isError) this.errors.push(`${method}: ${JSON.stringify(params)}`);
  }
}

/** Where the page listens, once the browser has said on which port. */
async function pageUrl(profile: string): Promise<string> {
  const path = join(profile, "DevToolsActivePort");
  for (const deadline = Date.now() + 30_000; Date.now() < deadline;) {
    const [port] = (await Deno.readTextFile(path).catch(() => "")).split("\n");
    const pages = port ? await pagesAt(port) : [];
    const page = pages.find(({ type }) => type === "page");
    if (page !== undefined) return page.webSocketDebuggerUrl;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("Chromium did not start within 30 s");
}

async function pagesAt(
  port: string,
): Promise<{ type: string; webSocketDebuggerUrl: string }[]> {
  try {
    return await (await fetch(`http://127.0.0.1:${port}/json/list`)).json();
  } catch {
    return [];
  }
}

/** Removes a folder that a process which has just ended may still write to. */
async function removeSoon(folder: string): Promise<void> {
  for (let attempt = 0; attempt < 20; attempt++) {
    try {
      return await Deno.remove(folder, { recursive: true });
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
