/**
 * The objects of `questions`: 3 to 8 pairs over 40 keys. An object depends only on its number, so that a kept table can be
 * completed and measured again.
 */
const TYPES = 12;
const COLORS = 20;
const SUPPLIERS = 1_000;
/** Each object has up to 5 of these keys, besides `type`, `supplier` and `status`. The others have generic names. */
const NAMED_KEYS = ['color', 'serial', 'label', 'stock', 'price', 'shipped', 'sold', 'returned'];
const OTHER_KEYS = [...NAMED_KEYS, ...Array.from({ length: 27 }, (_, i) => `field_${i}`)];

/** Returns the NDJSON lines of the objects from number `first` on, of a table of `total` objects. */
export function linesOf(first, size, total) {
  const lines = [];
  for (let n = first; n < first + size; n++) lines.push(`{"object_id":"${idOf(n)}","data":${dataOf(n, total)}}\n`);
  return lines.join('');
}

function idOf(n) {
  return `${n.toString(16).padStart(8, '0')}-${Math.floor(random(n, 1) * 2 ** 32).toString(36)}`;
}

function dataOf(n, total) {
  const type = below(n, 2, TYPES);
  const pairs = [
    `"type":"t${type}"`,
    `"supplier":"s${below(n, 3, SUPPLIERS)}"`,
    `"status":"${statusOf(random(n, 4), type)}"`,
  ];
  const isRare = n % (total / 100) === total / 200;
  const isOld = n < total / 20;
  if (isRare) pairs.push('"rare":"yes"');
  if (isOld) pairs.push('"era":"old"');
  // Consecutive keys from a random one on are distinct.
  const start = below(n, 6, OTHER_KEYS.length);
  const count = Math.max(0, below(n, 5, 6) - Number(isRare) - Number(isOld));
  for (let i = 0; i < count; i++) {
    const key = OTHER_KEYS[(start + i) % OTHER_KEYS.length];
    pairs.push(`"${key}":${valueOf(key, n, total)}`);
  }
  return `{${pairs.join()}}`;
}

/** Half of the objects are open, 5 % are held, and none of those has the type t0. */
function statusOf(share, type) {
  if (share < 0.5) return 'open';
  return share >= 0.945 && type !== 0 ? 'held' : 'closed';
}

function valueOf(key, n, total) {
  switch (key) {
    case 'color':
      return `"c${below(n, 7, COLORS)}"`;
    case 'serial':
      return String(below(n, 8, 2 ** 31));
    case 'label':
      return `"${random(n, 9).toString(36).slice(2, 12)} ${n}"`;
    case 'stock':
      return String(below(n, 10, 100));
    case 'price':
      return (below(n, 11, 10_000) / 100).toFixed(2);
    case 'shipped':
      return `"${new Date(Date.UTC(2025, 0, 1) + (n / total) * 365 * 86_400_000).toISOString().slice(0, 19)}Z"`;
    case 'sold':
      return String(random(n, 12) < 0.5);
    case 'returned':
      return random(n, 13) < 0.7 ? 'null' : `"${below(n, 14, 5)} pieces"`;
    default:
      return Number(key.slice(-1)) % 2 === 0 ? String(below(n, 15, 50)) : `"v${below(n, 16, 300)}"`;
  }
}

function below(n, salt, limit) {
  return Math.floor(random(n, salt) * limit);
}

/** A hash of the number in [0, 1). */
function random(n, salt) {
  let hash = Math.imul(n + 1, 0x9e3779b1) ^ Math.imul(salt, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 16), 0x21f0aaad);
  hash = Math.imul(hash ^ (hash >>> 15), 0x735a2d97);
  return ((hash ^ (hash >>> 15)) >>> 0) / 2 ** 32;
}
