import type { PostgresAddress } from '#database';

export function checkStatements(folder: string, database: PostgresAddress): Promise<void>;
