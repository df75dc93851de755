/** The routes over what a node has kept of its changes that were given up after a split brain. */
import type { FastifyInstance } from 'fastify';
import type { AgentService, ConflictExtractionOptions } from './contract.js';
import { arrayOf, type JsonSchema } from './json-schema.js';
import * as schemas from './schemas.js';

const OBJECTS_DEFAULT = 1000;
const OBJECTS_MAX = 10_000;
const PATH = '/modules/:module/conflicts';

const answers = (status: number, schema: JsonSchema): Record<string, JsonSchema> => ({ [status]: schema, default: schemas.errorBody });
const nothing: JsonSchema = { type: 'null', description: 'No body' };
const tags = ['conflicts'];

export function registerConflictRoutes(scope: FastifyInstance, service: AgentService): void {
  scope.get<{ Params: schemas.ModuleParams }>(PATH, {
    schema: {
      tags,
      summary: 'What this node has kept of changes that were given up',
      params: schemas.moduleParams,
      response: answers(200, arrayOf(schemas.conflictView)),
    },
    handler: (request) => service.conflicts(request.params.module),
  });
  scope.get<{ Params: schemas.ConflictParams; Querystring: schemas.ConflictQuery }>(`${PATH}/:id/objects`, {
    schema: {
      tags,
      summary: 'Objects of one conflict, in order',
      params: schemas.conflictParams,
      querystring: schemas.conflictQuery,
      response: answers(200, arrayOf(schemas.conflictObject)),
    },
    handler: (request) => {
      const { after, limit } = request.query;
      return service.conflictObjects(request.params.module, request.params.id, {
        limit: Math.min(limit === undefined ? OBJECTS_DEFAULT : Number(limit), OBJECTS_MAX),
        ...(after === undefined ? {} : { after: Number(after) }),
      });
    },
  });
  scope.post<{ Params: schemas.ConflictParams; Body: ConflictExtractionOptions }>(`${PATH}/:id/extraction`, {
    schema: {
      tags,
      summary: 'Copy objects of a conflict to a folder of the node',
      description: 'Answers 202 once it has begun; the list of conflicts has its progress and end. Nothing that exists is overwritten.',
      params: schemas.conflictParams,
      body: schemas.conflictExtractionBody,
      response: answers(202, nothing),
    },
    handler: async (request, reply) => {
      await service.extractConflict(request.params.module, request.params.id, request.body);
      return reply.code(202).send();
    },
  });
  scope.delete<{ Params: schemas.ConflictParams }>(`${PATH}/:id`, {
    schema: { tags, summary: 'Delete a conflict', params: schemas.conflictParams, response: answers(204, nothing) },
    handler: async (request, reply) => {
      await service.deleteConflict(request.params.module, request.params.id);
      return reply.code(204).send();
    },
  });
}
