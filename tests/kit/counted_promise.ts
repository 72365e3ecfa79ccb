/** A promise that counts who waits for it. */
export class CountedPromise {
  readonly promise: Promise<void>;
  /** Resolves it. */
  resolve!: () => void;
  /** How many have called `then()` on it. */
  waiting = 0;

  constructor() {
    this.promise = new Promise((resolve) => this.resolve = resolve);
    const then = this.promise.then.bind(this.promise);
    this.promise.then = ((...args: Parameters<typeof then>) => {
      this.waiting++;
      return then(...args);
    }) as typeof this.promise.then;
  }
}
