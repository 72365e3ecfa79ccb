/**
 * What runs on a worker for a client: a process, bytes, a listener.
 *
 * @module
 */

import {
  type ForwardTarget,
  parseListen,
  parseTarget,
} from "../host/target.ts";
import type { Tunnel } from "../connector.ts";
import { StreamBytes, tunnelOf } from "./_bytes.ts";
import { deferred, Frame, newId, Violation } from "./_frames.ts";
import type { Peer } from "./_peer.ts";
import { Stream } from "./_stream.ts";
import {
  type Asked,
  lacks,
  type Served,
  ServedProcess,
} from "./_served_process.ts";

/**
 * Serves what a client opens.
 *
 * @param served The connection.
 * @param id The name of the stream.
 * @param asked What is wanted, as it came.
 * @returns Resolves when it has ended. Never rejects.
 */
export function serve(served: Served, id: string, asked: Asked): Promise<void> {
  switch (asked.kind) {
    case "command":
    case "shell":
      return new ServedProcess(served, id, asked).run();
    case "subsystem":
      return serveTunnel(served, id, (signal) => {
        const { connection } = served;
        if (connection.subsystem === undefined) throw lacks("subsystems");
        return connection.subsystem(asked.name as string, { signal });
      });
    case "forward":
      return serveTunnel(served, id, (signal) => {
        const { connection } = served;
        if (connection.forwardOut === undefined) throw lacks("forwards");
        const target = parseTarget(asked.target as ForwardTarget);
        return connection.forwardOut(target, { signal });
      });
    case "listen":
      return serveListener(served, id, asked);
  }
  return serveTunnel(served, id, () => {
    throw new TypeError("Cannot serve this: the worker does not know it");
  });
}

/** Passes bytes between a tunnel of the host and a stream. */
function splice(
  served: Served,
  stream: Stream,
  bytes: StreamBytes,
  tunnel: Tunnel,
): Promise<void> {
  const { parts } = served;
  const stop = () => tunnel.close();
  parts.add(stop);
  bytes.onEnd(stop);
  const near = tunnelOf(bytes);
  const toClient = tunnel.readable.pipeTo(near.writable, {
    preventAbort: true,
  });
  // What the host does not take any more is thrown away: it may still send.
  near.readable.pipeTo(tunnel.writable, { preventCancel: true })
    .catch(() => near.readable.pipeTo(new WritableStream()))
    .catch(() => {});
  return tunnel.closed.then(async () => {
    // All that the host has sent comes first.
    const failure = await toClient.then(() => undefined, (error) => error);
    parts.delete(stop);
    if (bytes.isOver) return;
    if (failure !== undefined) {
      stream.sendJson(Frame.fail, served.errorJson(failure));
    } else stream.sendJson(Frame.exit, null);
    bytes.finish(undefined);
  });
}

async function serveTunnel(
  served: Served,
  id: string,
  open: (signal: AbortSignal) => Promise<Tunnel>,
): Promise<void> {
  const { peer, remote, parts, errorJson } = served;
  const abort = new AbortController();
  const left = new DOMException("The client has left", "AbortError");
  const bytes = new StreamBytes("worker", () => left);
  const stream = bytesStream(peer, remote, id, bytes);
  stream.noteOpened();
  const stop = () => {
    abort.abort(left);
    bytes.finish(undefined);
  };
  parts.add(stop);
  bytes.onEnd(stop);
  try {
    const tunnel = await open(abort.signal);
    parts.delete(stop);
    if (bytes.isOver) return tunnel.close();
    stream.sendJson(Frame.started, null);
    await splice(served, stream, bytes, tunnel);
  } catch (error) {
    stream.sendJson(Frame.fail, errorJson(error));
    bytes.finish(undefined);
  } finally {
    parts.delete(stop);
  }
}

/** A stream of bytes, on the side of the worker. */
function bytesStream(
  peer: Peer,
  remote: string,
  id: string,
  bytes: StreamBytes,
  onOpened?: () => void,
): Stream {
  const stream = new Stream(peer, remote, id, {
    frame: (type, payload) => {
      if (bytes.frame(type, payload)) return;
      if (type === Frame.opened && onOpened !== undefined) return onOpened();
      if (type !== Frame.stop) {
        throw new Violation(`a frame of type ${type} for bytes`);
      }
      bytes.finish(undefined);
    },
    lost: (loss) => bytes.lose(loss),
  });
  bytes.attach(stream);
  return stream;
}

/**
 * Tells a client of a connection to what it listens on. Nobody asks for its
 * bytes before the client has taken it: none come until then.
 *
 * @returns Resolves when it has ended. Never rejects.
 */
function offer(served: Served, listener: Stream, tunnel: Tunnel) {
  const { peer, remote, parts } = served;
  const id = newId();
  const left = new DOMException("The client has left", "AbortError");
  const bytes = new StreamBytes("worker", () => left);
  const stop = () => tunnel.close();
  parts.add(stop);
  bytes.onEnd(stop);
  const taken = deferred<boolean>();
  void tunnel.closed.then(() => taken.resolve(false));
  // The client makes its side when it hears of it, before any byte comes.
  listener.sendJson(Frame.incoming, id);
  const part = bytesStream(peer, remote, id, bytes, () => taken.resolve(true));
  return taken.promise.then((isTaken) => {
    parts.delete(stop);
    if (isTaken) return splice(served, part, bytes, tunnel);
    part.sendJson(Frame.exit, null);
    bytes.finish(undefined);
  });
}

async function serveListener(
  served: Served,
  id: string,
  asked: Asked,
): Promise<void> {
  const { peer, remote, parts, connection, client, errorJson } = served;
  const abort = new AbortController();
  let close = () => abort.abort(new DOMException("The client has left"));
  const stop = () => {
    close();
    stream.end();
  };
  const stream = new Stream(peer, remote, id, {
    frame: (type) => {
      if (type !== Frame.stop) throw new Violation("a frame for a listener");
      close();
    },
    lost: () => close(),
  });
  stream.noteOpened();
  parts.add(stop);
  try {
    if (connection.forwardIn === undefined) throw lacks("remote forwards");
    const listen = parseListen(asked.listen as ForwardTarget);
    const take = (tunnel: Tunnel) => {
      if (stream.isOver || !client.hasRoom) return tunnel.close();
      client.sessions++;
      void offer(served, stream, tunnel).then(() => client.sessions--);
    };
    const { signal } = abort;
    const listener = await connection.forwardIn(listen, take, { signal });
    close = () => void listener.close();
    if (signal.aborted) close();
    stream.sendJson(Frame.started, listener.address);
    await listener.closed;
    stream.sendJson(Frame.exit, null);
  } catch (error) {
    stream.sendJson(Frame.fail, errorJson(error));
  } finally {
    parts.delete(stop);
    stream.end();
  }
}
