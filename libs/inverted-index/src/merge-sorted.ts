/**
 * Merges sorted lists into one, with one element of each in memory.
 * @param compare a total order; equal elements come in the order of their lists
 */
export function* mergeSorted<T>(lists: readonly Iterable<T>[], compare: (a: T, b: T) => number): Generator<T> {
  const heap: Head<T>[] = [];
  for (const [index, list] of lists.entries()) {
    const rest = list[Symbol.iterator]();
    const first = rest.next();
    if (first.done !== true) heap.push({ value: first.value, rest, index });
  }
  const isBefore = (a: Head<T>, b: Head<T>): boolean => (compare(a.value, b.value) || a.index - b.index) < 0;
  for (let at = (heap.length >> 1) - 1; at >= 0; at--) sink(heap, at, isBefore);
  for (let top = heap[0]; top !== undefined; top = heap[0]) {
    yield top.value;
    const next = top.rest.next();
    if (next.done !== true) top.value = next.value;
    else {
      const last = heap.pop();
      if (last !== undefined && last !== top) heap[0] = last;
    }
    sink(heap, 0, isBefore);
  }
}

/** The next element of a list. */
interface Head<T> {
  value: T;
  rest: Iterator<T>;
  index: number;
}

/** Moves an element of a binary heap below those that are before it. */
function sink<T>(heap: Head<T>[], from: number, isBefore: (a: Head<T>, b: Head<T>) => boolean): void {
  const moved = heap[from];
  if (moved === undefined) return;
  let at = from;
  for (;;) {
    const [left, right] = [heap[2 * at + 1], heap[2 * at + 2]];
    if (left === undefined) break;
    const isRight = right !== undefined && isBefore(right, left);
    const child = isRight ? right : left;
    if (!isBefore(child, moved)) break;
    heap[at] = child;
    at = 2 * at + (isRight ? 2 : 1);
  }
  heap[at] = moved;
}
