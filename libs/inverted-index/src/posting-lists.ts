/** The first size, in postings. */
const SIZE_MIN = 1_024;

/**
 * Lists of ordinals that grow at the same time, as chains in two arrays: six bytes for each posting. With an array of JavaScript for each
 * list, a stream of a million objects left 130 MB of outgrown arrays to the garbage collector.
 *
 * A list is named by its last posting.
 */
export class PostingLists {
  private ordinals = new Uint16Array(SIZE_MIN);
  private previous = new Int32Array(SIZE_MIN);
  private length = 0;

  /**
   * Appends an ordinal to a list, unless it is the last one.
   * @param list undefined for a new one
   * @returns the list from now on
   */
  append(list: number | undefined, ordinal: number): number {
    if (list !== undefined && this.ordinals[list] === ordinal) return list;
    const at = this.length++;
    if (at === this.ordinals.length) this.grow();
    this.ordinals[at] = ordinal;
    this.previous[at] = list ?? -1;
    return at;
  }

  /** The ordinals of a list in the order in which they were appended. */
  read(list: number): number[] {
    const ordinals: number[] = [];
    for (let at = list; at !== -1; at = this.previous[at] ?? -1) ordinals.push(this.ordinals[at] ?? 0);
    return ordinals.reverse();
  }

  private grow(): void {
    const { ordinals, previous } = this;
    this.ordinals = new Uint16Array(2 * ordinals.length);
    this.ordinals.set(ordinals);
    this.previous = new Int32Array(2 * previous.length);
    this.previous.set(previous);
  }
}
