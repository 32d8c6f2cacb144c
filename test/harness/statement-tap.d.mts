export const STATEMENTS_FOLDER: string;
export const STATEMENTS_MAX: number;
