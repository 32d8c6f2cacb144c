import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** A request, and what it is being answered with. */
export interface Exchange {
  request: FastifyRequest;
  reply: FastifyReply;
}

/** What a handler gets that reads more of its request than DTOs, or sets headers. */
export const Http = createParamDecorator((_: unknown, context: ExecutionContext): Exchange => exchangeOf(context));

export function exchangeOf(context: ExecutionContext): Exchange {
  const http = context.switchToHttp();
  return { request: http.getRequest(), reply: http.getResponse() };
}
