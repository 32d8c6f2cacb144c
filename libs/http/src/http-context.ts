import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';

/** A request and its reply. */
export interface HttpContext {
  request: FastifyRequest;
  reply: FastifyReply;
}

/** Parameter decorator for handlers that read more of the request than DTOs, or set headers. */
export const Http = createParamDecorator((_: unknown, context: ExecutionContext): HttpContext =>
  httpContextOf(context),
);

export function httpContextOf(context: ExecutionContext): HttpContext {
  const http = context.switchToHttp();
  return { request: http.getRequest(), reply: http.getResponse() };
}
