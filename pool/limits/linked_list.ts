/**
 * An intrusive doubly linked list, for the queues of the pool: a member leaves
 * in O(1), wherever it stands.
 *
 * @module
 */

/** A member of at most one {@linkcode LinkedList} at a time. */
export abstract class ListNode<T extends ListNode<T>> {
  /** The list that this node is in. For the list alone to write. */
  list: LinkedList<T> | undefined = undefined;
  /** The neighbour towards the tail. For the list alone to write. */
  next: T | undefined = undefined;
  /** The neighbour towards the head. For the list alone to write. */
  prev: T | undefined = undefined;
}

/** The list; its members carry the links. */
export class LinkedList<T extends ListNode<T>> {
  #head: T | undefined;
  #tail: T | undefined;
  /** How many members there are. For the list alone to write. */
  size = 0;

  /** The first member, which leaves first. */
  get first(): T | undefined {
    return this.#head;
  }

  /** Puts a node after `anchor`, or at the head where there is none. */
  insertAfter(anchor: T | undefined, node: T): void {
    if (node.list !== undefined) throw new Error("Bug: node is in a list");
    const next = anchor === undefined ? this.#head : anchor.next;
    node.list = this;
    node.prev = anchor;
    node.next = next;
    if (anchor === undefined) this.#head = node;
    else anchor.next = node;
    if (next === undefined) this.#tail = node;
    else next.prev = node;
    this.size++;
  }

  /** Puts a node at the tail. */
  push(node: T): void {
    this.insertAfter(this.#tail, node);
  }

  /** Takes a node out. Returns false if it was not in. */
  remove(node: T): boolean {
    if (node.list !== this) return false;
    if (node.prev === undefined) this.#head = node.next;
    else node.prev.next = node.next;
    if (node.next === undefined) this.#tail = node.prev;
    else node.next.prev = node.prev;
    node.list = node.next = node.prev = undefined;
    this.size--;
    return true;
  }

  /** Takes the first member out. */
  shift(): T | undefined {
    const head = this.#head;
    if (head !== undefined) this.remove(head);
    return head;
  }

  /** Goes through the members from the head; the current one may leave. */
  *[Symbol.iterator](): Generator<T> {
    let node = this.#head;
    while (node !== undefined) {
      const next = node.next;
      yield node;
      node = next;
    }
  }
}
