import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** A request, and what it is being answered with. */
export interface HttpContext {
  request: FastifyRequest;
  reply: FastifyReply;
}

/** What a handler gets that reads more of its request than DTOs, or sets headers. */
export const Http = createParamDecorator((_: unknown, context: ExecutionContext): HttpContext =>
  httpContextOf(context),
);

export function httpContextOf(context: ExecutionContext): HttpContext {
  const http = context.switchToHttp();
  return { request: http.getRequest(), reply: http.getResponse() };
}
