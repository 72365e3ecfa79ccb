/**
 * The spans of operations.
 *
 * @module
 */

import {
  type Attributes,
  type Context,
  context,
  type Link,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from "@opentelemetry/api";
import type { OperationEnd, PoolOperation } from "../telemetry/diagnostics.ts";
import {
  ATTRIBUTE,
  errorPhase,
  errorType,
  exitCodeOf,
  serverOf,
  spanName,
} from "./_conventions.ts";

interface OpenSpan {
  readonly span: Span;
  /** Whether it has the server: Deno's SDK would have it twice. */
  readonly isPlaced: boolean;
}

/** Makes a span of each operation that it hears of. */
export class Spans {
  readonly #tracer: Tracer;
  readonly #recordCommands: boolean;
  /** In which spans are that begin within an operation. */
  readonly #within = new WeakMap<PoolOperation, Context>();
  readonly #open = new Map<PoolOperation, OpenSpan>();

  constructor(tracer: Tracer, recordCommands: boolean) {
    this.#tracer = tracer;
    this.#recordCommands = recordCommands;
  }

  /** An operation begins, in the turn of its caller unless it is a dial. */
  begin(operation: PoolOperation): void {
    const { parent, links } = this.#parentOf(operation);
    const span = this.#tracer.startSpan(spanName(operation.name), {
      // A wait for a slot calls no other system; the dial within it does.
      kind: operation.name === "acquire" ? SpanKind.INTERNAL : SpanKind.CLIENT,
      attributes: this.#attributesOf(operation),
      links,
    }, parent);
    const isPlaced = operation.address !== undefined;
    this.#open.set(operation, { span, isPlaced });
    this.#within.set(operation, trace.setSpan(parent, span));
  }

  /** An operation, with what it had opened, has ended. */
  end(operation: PoolOperation, end: OperationEnd): void {
    const open = this.#open.get(operation);
    if (open === undefined) return; // it began before instrument()
    this.#open.delete(operation);
    const { span, isPlaced } = open;
    if (span.isRecording()) {
      if (!isPlaced) span.setAttributes(placeOf(operation));
      describeEnd(span, operation, end);
    }
    span.end();
  }

  /** Ends what is open: nobody tells how it goes on. */
  stop(): void {
    for (const { span } of this.#open.values()) span.end();
    this.#open.clear();
  }

  /**
   * Where a span belongs: into its operation, else into the active span of the
   * caller. A forward dials again long after its call has ended: such a span
   * begins a trace of its own, with a link.
   */
  #parentOf(
    { name, parent }: PoolOperation,
  ): { readonly parent: Context; readonly links: Link[] } {
    const active = context.active();
    const within = parent && this.#within.get(parent);
    if (within === undefined) {
      // A dial may begin in the turn of any caller.
      const isOfCaller = name !== "dial";
      const root = trace.deleteSpan(active);
      return { parent: isOfCaller ? active : root, links: [] };
    }
    if (parent?.durationMs === undefined) return { parent: within, links: [] };
    const before = trace.getSpanContext(within);
    return {
      parent: trace.deleteSpan(within),
      links: before === undefined ? [] : [{ context: before }],
    };
  }

  #attributesOf(operation: PoolOperation): Attributes {
    const command = this.#recordCommands ? operation.commandLine() : undefined;
    return {
      [ATTRIBUTE.operation]: operation.name,
      [ATTRIBUTE.pool]: operation.pool.name,
      [ATTRIBUTE.protocol]: "ssh",
      ...placeOf(operation),
      ...(command === undefined ? {} : { [ATTRIBUTE.command]: command }),
    };
  }
}

/** Where an operation goes to, as far as it is looked up. */
function placeOf(operation: PoolOperation): Attributes {
  const { transport } = operation;
  return {
    ...serverOf(operation),
    ...(transport === undefined ? {} : { [ATTRIBUTE.transport]: transport }),
  };
}

/** Says how it ended. No message of an error: it may hold what a user wrote. */
function describeEnd(
  span: Span,
  operation: PoolOperation,
  end: OperationEnd,
): void {
  const { waited, attempts, serverSoftware, algorithms } = operation;
  const { code, signal, error } = end;
  const isFailed = "error" in end;
  const attributes = {
    [ATTRIBUTE.waited]: waited,
    [ATTRIBUTE.attempts]: attempts,
    [ATTRIBUTE.software]: serverSoftware,
    [ATTRIBUTE.kex]: algorithms?.kex,
    [ATTRIBUTE.hostKey]: algorithms?.hostKey,
    [ATTRIBUTE.cipher]: algorithms?.cipher,
    [ATTRIBUTE.mac]: algorithms?.mac,
    [ATTRIBUTE.exitCode]: code ?? exitCodeOf(error),
    [ATTRIBUTE.exitSignal]: signal ?? undefined,
    [ATTRIBUTE.errorType]: isFailed ? errorType(error) : undefined,
    [ATTRIBUTE.errorPhase]: errorPhase(error),
  };
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined) span.setAttribute(name, value);
  }
  if (isFailed) span.setStatus({ code: SpanStatusCode.ERROR });
}
