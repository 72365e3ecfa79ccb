/**
 * Bytes that a client opens on a connection over the bus, and those that the
 * worker opens for what it listens on.
 *
 * @module
 */

import { onAbort } from "../abort.ts";
import type { RemoteListener, Tunnel } from "../connector.ts";
import {
  checkTarget,
  type ForwardTarget,
  parseTarget,
} from "../host/target.ts";
import { StreamBytes, tunnelOf } from "./_bytes.ts";
import { failureOf } from "./_failure.ts";
import { deferred, Frame, newId, parseJson, Violation } from "./_frames.ts";
import type { StreamRequest } from "./_requests.ts";
import {
  type ConnectionPart,
  incomingId,
  type SessionOwner,
} from "./_session.ts";
import { type Loss, Stream } from "./_stream.ts";

interface BytesOptions {
  /** What is asked for; absent if the worker has opened it. */
  readonly request?: StreamRequest;
  /** Whether it is a session channel. */
  readonly isSession?: boolean;
  readonly onGrant?: (json: unknown) => void;
  readonly onIncoming?: (id: string) => void;
}

/** Opens bytes, and waits until the worker has them. */
export async function openBytes(
  owner: SessionOwner,
  request: StreamRequest,
  doing: string,
  options: BytesOptions & { readonly signal?: AbortSignal | undefined },
): Promise<StreamBytes> {
  const { signal } = options;
  signal?.throwIfAborted();
  if (owner.peer.isDown) throw owner.lost(doing, "the bus is not connected");
  const granted = deferred<void>();
  const bytes = attach(owner, newId(), doing, {
    ...options,
    request,
    onGrant: (json) => {
      options.onGrant?.(json);
      granted.resolve();
    },
  });
  bytes.onEnd((error) =>
    granted.reject(error ?? owner.lost(doing, "the worker ended it"))
  );
  const stop = onAbort(signal, () => {
    granted.reject(signal?.reason);
    bytes.close();
  });
  try {
    await granted.promise;
    return bytes;
  } finally {
    stop();
  }
}

/** Makes the client's side of bytes. */
function attach(
  owner: SessionOwner,
  id: string,
  doing: string,
  options: BytesOptions,
): StreamBytes {
  const { request, isSession = false, onGrant, onIncoming } = options;
  const bytes = new StreamBytes(
    "client",
    (message) => owner.lost(doing, message),
  );
  const stream = new Stream(owner.peer, owner.worker, id, {
    frame: (type, payload) => {
      if (bytes.frame(type, payload)) return;
      if (type === Frame.started && onGrant !== undefined) {
        onGrant(parseJson(payload));
      } else if (type === Frame.incoming && onIncoming !== undefined) {
        onIncoming(incomingId(payload));
      } else if (type === Frame.fail) {
        bytes.finish(failureOf(payload, false));
      } else if (type === Frame.exit) {
        bytes.finish(undefined);
      } else throw new Violation(`a frame of type ${type} for bytes`);
    },
    lost: (loss) => bytes.lose(loss),
  });
  bytes.attach(stream);
  const part: ConnectionPart = {
    get isJustOpened() {
      return stream.isJustOpened;
    },
    lost: (loss: Loss) => stream.lose(loss),
  };
  owner.add(part, isSession);
  bytes.onEnd(() => owner.remove(part, isSession));
  if (request === undefined) stream.send(Frame.opened);
  else owner.sendOpen(stream, request);
  return bytes;
}

/** Lets the host listen, and takes what connects there. */
export async function listenThere(
  owner: SessionOwner,
  listen: ForwardTarget,
  onConnection: (tunnel: Tunnel) => void,
  doing: string,
  signal: AbortSignal | undefined,
): Promise<RemoteListener> {
  const take = (id: string) => {
    const bytes = attach(owner, id, "go on with a forwarded connection", {});
    const tunnel = tunnelOf(bytes);
    try {
      onConnection(tunnel);
    } catch {
      tunnel.close();
    }
  };
  const granted = deferred<ForwardTarget>();
  const request = {
    kind: "listen",
    listen: checkTarget(listen, "address to listen on"),
  };
  const bytes = await openBytes(owner, request, doing, {
    signal,
    onIncoming: take,
    onGrant: (json) => granted.resolve(parseTarget(json as ForwardTarget)),
  });
  let tell!: () => void;
  const closed = new Promise<void>((resolve) => tell = resolve);
  bytes.onEnd(() => tell());
  const address = await granted.promise;
  const close = () => {
    bytes.close();
    return closed;
  };
  return { address, closed, close };
}
