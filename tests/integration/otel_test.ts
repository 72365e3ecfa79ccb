/** Traces and metrics of a program in Deno, as an OTLP endpoint gets them. */

import { assertEquals } from "@std/assert";

/** Attributes, as OTLP has them in JSON. */
type Attributes = readonly {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}[];

/** A span, as OTLP has it in JSON. */
interface OtlpSpan {
  readonly name: string;
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly attributes: Attributes;
}

interface DataPoint {
  readonly attributes: Attributes;
  readonly timeUnixNano: string;
  readonly asInt?: string | number;
  readonly asDouble?: number;
  readonly count?: string | number;
}

interface OtlpMetric {
  readonly name: string;
  readonly unit: string;
  readonly sum?: { readonly dataPoints: readonly DataPoint[] };
  readonly histogram?: { readonly dataPoints: readonly DataPoint[] };
}

/** What is read of the body of a request. */
interface OtlpBody {
  readonly resourceSpans?: readonly {
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[];
  }[];
  readonly resourceMetrics?: readonly {
    readonly scopeMetrics: readonly {
      readonly scope: { readonly name: string };
      readonly metrics: readonly OtlpMetric[];
    }[];
  }[];
}

/** An OTLP endpoint, HTTP with JSON. */
class Endpoint implements AsyncDisposable {
  readonly spans: OtlpSpan[] = [];
  /** The metrics of the library, by name, as they came last. */
  readonly metrics = new Map<string, OtlpMetric>();
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #onMore = (): void => {};

  constructor() {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async (request) => {
        this.#take(await request.json());
        this.#onMore();
        return Response.json({});
      },
    );
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /** Waits until something has come. */
  async until(isThere: () => boolean): Promise<void> {
    while (!isThere()) {
      await new Promise<void>((resolve) => this.#onMore = resolve);
    }
  }

  /** The values of a metric, with the attributes that are not in all. */
  values(name: string): unknown[] {
    const { sum, histogram } = this.metrics.get(name) ?? {};
    return (sum ?? histogram)?.dataPoints.map((point) => {
      const value = point.count ?? point.asInt ?? point.asDouble;
      const attributes = asObject(point.attributes);
      const { "ssh.client.connection.pool.name": pool, ...rest } = attributes;
      assertEquals(pool, "fleet");
      return [...Object.values(rest), Number(value)];
    }) ?? [];
  }

  #take({ resourceSpans = [], resourceMetrics = [] }: OtlpBody): void {
    const scopes = resourceSpans.flatMap(({ scopeSpans }) => scopeSpans);
    this.spans.push(...scopes.flatMap(({ spans }) => spans));
    for (const { scopeMetrics } of resourceMetrics) {
      for (const { scope, metrics } of scopeMetrics) {
        if (scope.name !== "@sshpool/sshpool") continue;
        for (const metric of metrics) this.#takeMetric(metric);
      }
    }
  }

  /** Two requests may cross: the newer one counts. */
  #takeMetric(metric: OtlpMetric): void {
    const before = this.metrics.get(metric.name);
    if (before !== undefined && timeOf(before) > timeOf(metric)) return;
    this.metrics.set(metric.name, metric);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

function timeOf({ sum, histogram }: OtlpMetric): bigint {
  return BigInt((sum ?? histogram)?.dataPoints[0]?.timeUnixNano ?? 0);
}

function asObject(attributes: Attributes): Record<string, unknown> {
  const names = attributes.map(({ key }) => key);
  assertEquals(names.length, new Set(names).size, `twice: ${names}`);
  return Object.fromEntries(
    attributes.map(({ key, value }) => [key, Object.values(value)[0]]),
  );
}

/** The name, the unit and the values of metrics at the end. */
const EXPECTED: [string, string, unknown[] | undefined][] = [
  ["ssh.client.connection.create_time", "s", [[1]]],
  ["ssh.client.connection.wait_time", "s", [[2]]],
  ["ssh.client.connection.use_time", "s", [[2]]],
  ["ssh.client.operation.duration", "s", [["exec", 1]]],
  ["ssh.client.connection.max", "{connection}", undefined],
  ["ssh.client.connection.pending_requests", "{request}", undefined],
];

Deno.test("Deno's built-in OpenTelemetry sends the spans and metrics of ./otel to an OTLP endpoint", async () => {
  await using endpoint = new Endpoint();
  const program = new URL("_otel_program.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", "--allow-all", program],
    env: {
      OTEL_DENO: "true",
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_METRIC_EXPORT_INTERVAL: "100",
    },
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
    signal: AbortSignal.timeout(45_000),
  }).spawn();
  const stderr = new Response(child.stderr).text();
  const ended = child.status;
  const count = "ssh.client.connection.count";
  const isUsed = () => `${endpoint.values(count)}`.includes("used,1");
  await Promise.race([endpoint.until(isUsed), ended]);
  const isBusy = isUsed();
  const gauges = ["max", "pending_requests"].map((name) =>
    endpoint.values(`ssh.client.connection.${name}`)
  );
  await child.stdin.close();
  const { code } = await ended;
  assertEquals({ code, stderr: await stderr }, { code: 0, stderr: "" });
  assertEquals([isBusy, ...gauges], [true, [[7]], [[0]]]);
  checkSpans(endpoint);
  for (const [name, unit, values] of EXPECTED) {
    if (values) assertEquals(endpoint.values(name), values, name);
    assertEquals(endpoint.metrics.get(name)?.unit, unit, name);
  }
});

/** CLIENT and INTERNAL, in OTLP. */
const KIND = { internal: 1, client: 3 };

function checkSpans({ spans }: Endpoint): void {
  const one = (name: string) => {
    const found = spans.filter((span) => span.name === name);
    assertEquals(found.length, 1, `${name} in ${spans.map((it) => it.name)}`);
    return found[0]!;
  };
  const [deploy, exec, dial] = ["deploy", "ssh exec", "ssh dial"].map(one);
  const [first, second] = [true, false].map((waited) => {
    const found = spans.filter(({ name, attributes }) =>
      name === "ssh acquire" &&
      asObject(attributes)["ssh.acquire.waited"] === waited
    );
    assertEquals(found.length, 1, `acquire, waited: ${waited}`);
    return found[0]!;
  });
  assertEquals(exec!.parentSpanId, deploy!.spanId);
  assertEquals(first!.parentSpanId, exec!.spanId);
  assertEquals(dial!.parentSpanId, first!.spanId);
  assertEquals(second!.parentSpanId, "");
  for (const { traceId } of [exec!, first!, dial!]) {
    assertEquals(traceId, deploy!.traceId);
  }
  assertEquals([exec!.kind, first!.kind], [KIND.client, KIND.internal]);
  const { "server.port": port, ...attributes } = asObject(exec!.attributes);
  assertEquals(typeof port, "number");
  assertEquals(attributes, {
    "ssh.operation.name": "exec",
    "ssh.client.connection.pool.name": "fleet",
    "server.address": "127.0.0.1",
    "network.transport": "tcp",
    "network.protocol.name": "ssh",
    "process.exit.code": 3,
  });
}
