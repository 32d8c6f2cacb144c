import { canonicalNumber } from '#json';
import { visitPairs } from '#store';

/** What a column of a key holds: JSON text unless all values are of one other type, and exact in it. */
export type DataType = 'text' | 'boolean' | 'integer' | 'double' | 'json';

/** A double holds every number of up to 15 significant digits exactly enough to return its text. */
const EXACT_LENGTH = 15;
/** Every whole number of up to 18 digits fits into 64 bits. */
const INTEGER_LENGTH = 18;
const INTEGER_MAX = 2n ** 63n - 1n;

/** What the values of a key are; each member is set by the first value of its kind. */
class KeyValues {
  hasText = false;
  hasBoolean = false;
  hasNested = false;
  hasNumber = false;
  isRepeated = false;
  areIntegers = true;
  areDoubles = true;
  /** The number of the last object with the key. */
  lastObject = 0;

  add(value: string): void {
    switch (value.charCodeAt(0)) {
      case 34:
        this.hasText = true;
        break;
      case 110:
        break;
      case 116:
      case 102:
        this.hasBoolean = true;
        break;
      case 123:
      case 91:
        this.hasNested = true;
        break;
      default:
        this.hasNumber = true;
        this.areIntegers &&= isInteger(value);
        this.areDoubles &&= isDouble(value);
    }
  }

  get type(): DataType {
    if (this.isRepeated || this.hasNested) return 'json';
    const kinds = Number(this.hasText) + Number(this.hasBoolean) + Number(this.hasNumber);
    if (kinds !== 1) return 'json';
    if (this.hasText) return 'text';
    if (this.hasBoolean) return 'boolean';
    return this.areIntegers ? 'integer' : this.areDoubles ? 'double' : 'json';
  }
}

/** Finds the keys of objects, in the order in which they appear, and the type of each. */
export class DataColumns {
  private readonly keys = new Map<string, KeyValues>();
  private objectCount = 0;

  /**
   * @param named keys that have columns before all others
   * @param hasOthers whether other keys have columns
   */
  constructor(
    named: Iterable<string> = [],
    private readonly hasOthers = true,
  ) {
    for (const key of named) this.keys.set(JSON.stringify(key), new KeyValues());
  }

  /** The number of keys so far. */
  get size(): number {
    return this.keys.size;
  }

  /** @param data as PostgreSQL writes it */
  add(data: string): void {
    const object = ++this.objectCount;
    visitPairs(data, (keyText, value) => {
      let values = this.keys.get(keyText);
      if (values === undefined) {
        if (!this.hasOthers) return;
        this.keys.set(keyText, (values = new KeyValues()));
      }
      values.isRepeated ||= values.lastObject === object;
      values.lastObject = object;
      values.add(value);
    });
  }

  /** The type of each key, by the JSON text of the key. */
  types(): Map<string, DataType> {
    return new Map(Array.from(this.keys, ([keyText, { type }]) => [keyText, type]));
  }
}

function isInteger(number: string): boolean {
  if (number.includes('.')) return false;
  if (number.length <= INTEGER_LENGTH) return true;
  // The text of a number may have 131,072 digits, which take long to convert.
  if (number.length > INTEGER_LENGTH + 2) return false;
  const value = BigInt(number);
  return value <= INTEGER_MAX && value >= -INTEGER_MAX - 1n;
}

function isDouble(number: string): boolean {
  if (number.length <= EXACT_LENGTH) return true;
  const value = Number(number);
  return Number.isFinite(value) && canonicalNumber(String(value)) === canonicalNumber(number);
}
