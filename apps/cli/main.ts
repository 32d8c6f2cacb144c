#!/usr/bin/env node
import { printInternalError, runCommandLine } from './command-line.js';

// Also of a rejection that nothing handles. Node.js would print all members of an error, and those of a database error have rows.
process.on('uncaughtException', (error) => {
  void printInternalError(error).finally(() => process.exit(1));
});
await runCommandLine();
