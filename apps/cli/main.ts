#!/usr/bin/env node
import { runServer } from '../api/run-server.js';

await runServer();
