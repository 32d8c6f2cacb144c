export function findFaults(log: string, secrets: readonly string[]): string[];
export function secretsIn(settings: Readonly<Record<string, string>>): string[];
