/** The most candidates of a page that are compared with its filter. */
const CANDIDATES_MAX = 4_000;
/** How fast the number grows where too few candidates match. */
const GROWTH = 4;
const GROWN_MIN = 100;
/** So many candidates are compared in 1 ms, which is less than it takes to read the large blocks of a search. */
const CHEAP_CANDIDATES = 500;

/**
 * How many objects the searches of a page ask the inverted index for.
 *
 * The first search asks for the objects of the page. Where the index does not decide whether an object matches, the object is a candidate:
 * it is compared with the filter. Where too few candidates match, the next search asks for more, until the page has read 4,000.
 */
export class SearchSize {
  /** Objects that the searches have found so far. */
  found = 0;

  /** @param wanted how many objects the next search asks for: at first those of the page, and one more */
  constructor(public wanted: number) {}

  get isUsedUp(): boolean {
    return this.found >= CANDIDATES_MAX;
  }

  /** Whether the next search should leave out large blocks, which leaves more candidates. */
  get skipsLargeBlocks(): boolean {
    return this.found < CHEAP_CANDIDATES;
  }

  /**
   * How many objects the next search asks for where it has left out blocks: more, because some of the candidates will not match.
   * @param comparedBefore how many candidates the last search of this list has compared
   */
  wantedOfCandidates(comparedBefore = 0): number {
    return Math.min(Math.max(GROWTH * this.wanted, Math.min(comparedBefore, CHEAP_CANDIDATES)), CANDIDATES_MAX);
  }

  /** The same where the matches are counted, for which all candidates are compared if they are few. */
  get wantedToCount(): number {
    return Math.max(this.wanted, CHEAP_CANDIDATES);
  }

  /** Has the next search ask for more. @param found the objects of the last one */
  grow(found: number): void {
    this.found += found;
    this.wanted = Math.min(Math.max(GROWTH * this.wanted, GROWN_MIN), CANDIDATES_MAX);
  }
}
