#!/usr/bin/env node
// The command in a clone of the project, once it is built: `bin/stowage.mjs load batches/`.
import '../dist/apps/cli/main.js';
