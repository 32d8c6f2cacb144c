import { encodeChangeCursor, type ChangePlace } from './change-cursor.js';

/** A change of one object, as JSON text, and the place after it. */
export interface ChangeItem {
  text: string;
  place: ChangePlace;
}

/** Changes of a project in the order of their commits. Readers at the same place share it, so that each form is written once. */
export class ChangePage {
  private json: string | undefined;
  private events: Buffer | undefined;

  /**
   * @param next the place after the last change
   * @param hasMore whether more changes are known already
   */
  constructor(
    readonly items: readonly ChangeItem[],
    readonly next: ChangePlace,
    readonly hasMore: boolean,
    private readonly fingerprint: string,
  ) {}

  get nextCursor(): string {
    return encodeChangeCursor(this.next, this.fingerprint);
  }

  /** The body of the response. */
  toJson(): string {
    const results = (): string => this.items.map(({ text }) => text).join();
    return (this.json ??= `{"results":[${results()}],"next":"${this.nextCursor}","has_more":${String(this.hasMore)}}`);
  }

  /** Server-Sent Events, as bytes that all of their readers share; the id of each is the cursor after it. */
  toEvents(): Buffer {
    return (this.events ??= Buffer.from(
      this.items
        .map(({ text, place }) => `id: ${encodeChangeCursor(place, this.fingerprint)}\ndata: ${text}\n\n`)
        .join(''),
    ));
  }

  /** An event that only sets the cursor that the client sends as Last-Event-ID. */
  toPosition(): string {
    return `id: ${this.nextCursor}\n\n`;
  }
}
