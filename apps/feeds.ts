import { FactoriesModule } from '#factories';
import { FirmwareModule } from '#firmware';
import { SprocketsModule } from '#sprockets';
import { TemperaturesModule } from '#temperatures';
import type { Type } from '@nestjs/common';

/** The feeds of the server and the worker; docs/adding-a-feed.md shows how to write another. */
export const FEEDS: readonly Type[] = [FirmwareModule, FactoriesModule, SprocketsModule, TemperaturesModule];
