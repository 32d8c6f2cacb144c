import { NUMBER_PATTERN, numericDigits } from '#json';

const NUMBER = new RegExp(`^${NUMBER_PATTERN}$`);
/** Every shorter number without an exponent fits into PostgreSQL's numeric. */
const CHECKED_LENGTH = 1_000;

/**
 * The JSON text of a cell. With types, an empty cell is null, `true` and `false` are booleans, and a cell that is a number in JSON
 * is that number, with every digit; anything else is text, also a number that PostgreSQL cannot hold. Quotes have no meaning, but
 * for `""`, which is empty text.
 * @param cell null for an empty cell without quotes
 * @param isTyped otherwise every cell is text
 */
export function cellJson(cell: string | null, isTyped: boolean): string {
  if (cell === null) return isTyped ? 'null' : '""';
  if (isTyped && (cell === 'true' || cell === 'false' || isNumber(cell))) return cell;
  return JSON.stringify(cell);
}

function isNumber(cell: string): boolean {
  const first = cell.charCodeAt(0);
  const mayBe = (first >= 48 && first <= 57) || first === 45;
  if (!mayBe || !NUMBER.test(cell)) return false;
  return (cell.length < CHECKED_LENGTH && !/[eE]/.test(cell)) || numericDigits(cell) !== null;
}
