/** What the tests of `./otel` share: the SDK of OpenTelemetry, in memory. */

import {
  type Attributes,
  type AttributeValue,
  context,
  ROOT_CONTEXT,
  type Span,
} from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
import {
  type InMemorySpanExporter,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import { assertEquals } from "@std/assert";
import {
  instrument,
  type Instrumentation,
  type InstrumentOptions,
} from "../../../pool/otel/mod.ts";
import { flush } from "../_kit.ts";

// As the SDK of Node does it: the active span follows `await`.
context.setGlobalContextManager(
  new AsyncLocalStorageContextManager().enable(),
);

/** A test that begins in no span, whatever the test before it has left. */
export function otelTest(name: string, fn: () => unknown): void {
  Deno.test(name, async () => {
    await context.with(ROOT_CONTEXT, fn);
  });
}

class TestReader extends MetricReader {
  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }
  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }
}

/** A span that has ended. */
export type EndedSpan = ReturnType<
  InMemorySpanExporter["getFinishedSpans"]
>[number];

/** One value of a metric: a number, or the count and the sum of a histogram. */
export interface Point {
  readonly attributes: Attributes;
  readonly value: number | { readonly count: number; readonly sum: number };
}

/** An SDK in memory, and pools that are instrumented with it until disposed of. */
export class Recording implements AsyncDisposable {
  /** Kept here: the exporter in memory of the SDK sets a timer for each span. */
  readonly #ended: EndedSpan[] = [];
  readonly #reader = new TestReader();
  readonly #open = new Set<Span>();
  /** The ids of the spans, in the order in which they began. */
  readonly #order: string[] = [];
  readonly #tracerProvider: TracerProvider;
  readonly #meterProvider: MeterProvider;
  readonly instrumentation: Instrumentation;

  constructor(options: InstrumentOptions = {}) {
    this.#tracerProvider = new TracerProvider({
      spanProcessors: [
        {
          onStart: (span) => {
            this.#open.add(span);
            this.#order.push(span.spanContext().spanId);
          },
          onEnd: (span) => {
            this.#open.delete(span as unknown as Span);
            this.#ended.push(span);
          },
          forceFlush: () => Promise.resolve(),
          shutdown: () => Promise.resolve(),
        },
      ],
    });
    this.#meterProvider = new MeterProvider({ readers: [this.#reader] });
    this.instrumentation = instrument({
      tracerProvider: this.#tracerProvider,
      meterProvider: this.#meterProvider,
      ...options,
    });
  }

  /** Spans that have begun and not ended. */
  get open(): number {
    return this.#open.size;
  }

  /** Runs something in a span of the caller. */
  within<T>(name: string, run: () => Promise<T>): Promise<T> {
    const tracer = this.#tracerProvider.getTracer("caller");
    return tracer.startActiveSpan(name, async (span) => {
      try {
        return await run();
      } finally {
        span.end();
      }
    });
  }

  /** The spans that have ended, in the order in which they began. */
  async spans(): Promise<EndedSpan[]> {
    await flush();
    await this.#tracerProvider.forceFlush();
    const place = (it: EndedSpan) =>
      this.#order.indexOf(it.spanContext().spanId);
    return this.#ended.toSorted((a, b) => place(a) - place(b));
  }

  /** The only span of a name. */
  async one(name: string): Promise<EndedSpan> {
    const found = (await this.spans()).filter((it) => it.name === name);
    assertEquals(found.length, 1, name);
    return found[0]!;
  }

  /** The spans as a tree, such as `caller(ssh exec(ssh acquire))`. */
  async tree(): Promise<string> {
    const spans = await this.spans();
    const below = (id: string | undefined): string =>
      spans.filter((it) => it.parentSpanContext?.spanId === id)
        .map((it) => {
          const inner = below(it.spanContext().spanId);
          return inner === "" ? it.name : `${it.name}(${inner})`;
        }).join(" ");
    return below(undefined);
  }

  /** The values of a metric, and its unit. */
  async metric(
    name: string,
  ): Promise<{ unit: string | undefined; points: Point[] }> {
    const { resourceMetrics, errors } = await this.#reader.collect();
    assertEquals(errors, []);
    const found = resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics)
      .find(({ descriptor }) => descriptor.name === name);
    const points = found?.dataPoints.map(({ attributes, value }): Point => {
      if (typeof value === "number") return { attributes, value };
      const { count, sum = 0 } = value as { count: number; sum?: number };
      return { attributes, value: { count, sum } };
    });
    return { unit: found?.descriptor.unit, points: points ?? [] };
  }

  /** Everything that was recorded, as text. */
  async everything(): Promise<string> {
    const { resourceMetrics } = await this.#reader.collect();
    const spans = (await this.spans()).map((span) => ({
      ...span,
      name: span.name,
      attributes: span.attributes,
      status: span.status,
      events: span.events,
      links: span.links,
    }));
    const seen = new Set<unknown>();
    return JSON.stringify([spans, resourceMetrics], (_key, value) => {
      if (typeof value !== "object" || value === null) return value;
      if (seen.has(value)) return "again";
      seen.add(value);
      return value;
    });
  }

  /** Stops; fails if a span was left open. */
  async [Symbol.asyncDispose](): Promise<void> {
    await flush();
    const { open } = this;
    this.instrumentation.stop();
    await this.#tracerProvider.shutdown();
    await this.#meterProvider.shutdown();
    assertEquals(open, 0, "spans that never ended");
  }
}

/** What of a span's attributes has one of these names. */
export function pick(
  { attributes }: EndedSpan,
  ...names: string[]
): (AttributeValue | undefined)[] {
  return names.map((name) => attributes[name]);
}
