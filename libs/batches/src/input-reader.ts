import { Problem } from '#http';
import { nextTurn } from '#platform';
import { RejectedObjects, type BatchChunk, type BatchInput } from './batch-input.js';
import type { BatchObject } from './batch-object.js';

/**
 * Reads the valid objects of a batch and collects its validation errors. It stops at the first chunk with an error, or, where the
 * batch may be stored in part, when too many objects are invalid. Between two chunks it yields to the event loop, so that other
 * requests are served.
 */
export class InputReader {
  rejected = new RejectedObjects();
  /** The number of objects that were read, also those that are not valid. */
  objectCount = 0;
  /** Whether an object has a subject. */
  hasSubjects = false;
  /** Whether it stopped because the batch is not valid. */
  isInvalid = false;
  private chunks: Iterator<BatchChunk> | AsyncIterator<BatchChunk>;
  /** The first chunk, until `next` returns its objects. */
  private first: BatchChunk | null = null;
  private isStarted = false;
  /** Whether the last chunk has been read. */
  private isAtEnd = false;

  private constructor(
    private readonly input: BatchInput,
    private readonly rejectedMax: number,
    private readonly projectId: number,
  ) {
    this.chunks = iteratorOf(input);
  }

  /**
   * Parses and validates the first chunk, so that no connection is used before there is an object to store.
   * @param rejectedMax with more invalid objects the batch is not valid; 0 unless it may be stored in part
   * @param projectId the project that takes turns with others
   */
  static async open(input: BatchInput, rejectedMax: number, projectId: number): Promise<InputReader> {
    const reader = new InputReader(input, rejectedMax, projectId);
    reader.first = await reader.read();
    return reader;
  }

  /** The objects of a batch of one chunk; null for a batch that has more chunks. */
  get onlyChunk(): BatchObject[] | null {
    return this.first?.isLast === true ? this.first.objects : null;
  }

  /** The next objects; null at the end of the batch, and where it is not valid. */
  async next(): Promise<BatchObject[] | null> {
    if (!this.isStarted) {
      this.isStarted = true;
      const { first } = this;
      this.first = null;
      return first?.objects ?? null;
    }
    await nextTurn(this.projectId);
    return (await this.read())?.objects ?? null;
  }

  /** Starts from the beginning again; only for an input that is in memory. */
  async rewind(): Promise<void> {
    if (!this.isStarted) return;
    this.isStarted = false;
    this.isInvalid = false;
    this.isAtEnd = false;
    this.objectCount = 0;
    this.rejected = new RejectedObjects();
    this.chunks = iteratorOf(this.input);
    this.first = await this.read();
  }

  /**
   * Validates a batch that is not valid until as many errors are found as a response lists, because an error costs more than a
   * valid object.
   * @returns the problem with these errors, also where the rest of the batch cannot be read
   */
  async readErrors(): Promise<Problem> {
    try {
      while (!this.rejected.isFull && !this.isAtEnd) {
        const next = await this.chunks.next();
        if (next.done === true) this.isAtEnd = true;
        else this.add(next.value);
        await nextTurn(this.projectId);
      }
    } catch (error) {
      // Such as a stream that became too slow. Its client has to know the errors, too.
      if (!(error instanceof Problem)) throw error;
    }
    this.rejected.isCountMinimum = !this.isAtEnd;
    return this.rejected.problem('invalid-body');
  }

  private async read(): Promise<BatchChunk | null> {
    const next = await this.chunks.next();
    if (next.done === true) return null;
    const chunk = next.value;
    this.add(chunk);
    this.isInvalid = this.rejectedMax === 0 ? this.rejected.count > 0 : this.rejected.objects > this.rejectedMax;
    if (this.isInvalid) return null;
    this.hasSubjects ||= chunk.objects.some(({ subject }) => subject !== null);
    return chunk;
  }

  private add(chunk: BatchChunk): void {
    this.rejected.addChunk(chunk);
    this.objectCount += chunk.objects.length + chunk.invalidObjects;
    this.isAtEnd = chunk.isLast;
  }
}

function iteratorOf(input: BatchInput): Iterator<BatchChunk> | AsyncIterator<BatchChunk> {
  const chunks = input.chunks();
  return Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
}
