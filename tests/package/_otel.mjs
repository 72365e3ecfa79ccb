// deno-lint-ignore-file no-console -- what it prints is what the test reads

// Records a command with providers of its own, and prints what it was told.

import { instrument } from "@sshpool/sshpool/otel";
import { ConnectionPool } from "@sshpool/sshpool/pool";
import { MemoryConnector } from "@sshpool/sshpool/testing";

const spans = [];
const histograms = new Set();
let ended = 0;
let read;
const span = {
  isRecording: () => true,
  setAttribute: () => {},
  setAttributes: () => {},
  setStatus: () => {},
  spanContext: () => ({ traceId: "1", spanId: "2", traceFlags: 1 }),
  end: () => ended++,
};
const tracer = {
  startSpan(name) {
    spans.push(name);
    return span;
  },
};
const meter = {
  createHistogram: (name) => ({ record: () => histograms.add(name) }),
  createCounter: () => ({ add: () => {} }),
  createObservableUpDownCounter: () => ({}),
  addBatchObservableCallback: (callback) => read = callback,
  removeBatchObservableCallback: () => {},
};
const instrumentation = instrument({
  tracerProvider: { getTracer: () => tracer },
  meterProvider: { getMeter: () => meter },
});
const pool = new ConnectionPool({ connector: new MemoryConnector() });
await pool.exec("ops@web-1", "true");
await new Promise((resolve) => setTimeout(resolve));
let observed = 0;
read({ observe: () => observed++ });
await pool.close();
instrumentation.stop();
console.log(
  JSON.stringify({
    spans,
    ended,
    histograms: [...histograms].sort(),
    observed,
  }),
);
