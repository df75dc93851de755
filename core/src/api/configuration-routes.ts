/** The routes over configurations, the same on both listeners: what operators ask for, and what the nodes ask each other. */
import type { FastifyInstance } from 'fastify';
import * as schemas from './configuration-schemas.js';
import type { AgentService } from './contract.js';
import type { ConfigureOptions, PrepareBody } from './configuration-contract.js';
import type { JsonSchema } from './json-schema.js';
import { errorBody, type ModuleParams, moduleParams } from './schemas.js';

/** A module's folder in Base64, with room for its names. */
const FOLDER_BODY_BYTES_MAX = 24 * 1024 * 1024;

const answers = (status: number, schema: JsonSchema): Record<string, JsonSchema> => ({ [status]: schema, default: errorBody });
const nothing: JsonSchema = { type: 'null', description: 'No body' };
const about = (summary: string, description?: string): Record<string, unknown> => ({
  tags: ['configurations'],
  summary,
  params: moduleParams,
  ...(description === undefined ? {} : { description }),
});

export function registerConfigurationRoutes(scope: FastifyInstance, service: AgentService): void {
  const { configurations } = service;
  const at = '/modules/:module/configuration';
  scope.post<{ Params: ModuleParams; Body: ConfigureOptions }>('/modules/:module/configure', {
    schema: {
      ...about(
        'Validate and apply the configuration of a module',
        'On both nodes where the other one is reached; on a running module live.',
      ),
      body: schemas.configureBody,
      response: answers(200, schemas.configureResult),
    },
    handler: (request) => service.configure(request.params.module, request.body),
  });
  scope.get<{ Params: ModuleParams }>(at, {
    schema: { ...about('What is applied, what was edited, and what is kept'), response: answers(200, schemas.configurationView) },
    handler: (request) => configurations.view(request.params.module),
  });
  scope.delete<{ Params: ModuleParams }>(at, {
    schema: { ...about('Take the configuration of a stopped module away'), response: answers(204, nothing) },
    handler: async (request, reply) => {
      await configurations.deconfigure(request.params.module);
      return reply.code(204).send();
    },
  });
  scope.get<{ Params: ModuleParams; Querystring: schemas.DifferenceQuery }>(`${at}/difference`, {
    schema: {
      ...about(
        'What differs between two configurations',
        'Of the applied to the edited one; of a kept one, or the other node, to the applied.',
      ),
      querystring: schemas.differenceQuery,
      response: answers(200, schemas.configurationDifference),
    },
    handler: (request) => configurations.difference(request.params.module, request.query),
  });
  scope.post<{ Params: ModuleParams; Body: schemas.RollbackBody }>(`${at}/rollback`, {
    schema: { ...about('Apply a kept configuration again'), body: schemas.rollbackBody, response: answers(200, schemas.configureResult) },
    handler: (request) => configurations.rollback(request.params.module, request.body),
  });
  scope.get<{ Params: ModuleParams }>(`${at}/files`, {
    schema: { ...about('Files of the applied configuration'), response: answers(200, schemas.configurationFiles) },
    handler: (request) => configurations.files(request.params.module),
  });
  scope.post<{ Params: ModuleParams; Body: PrepareBody }>(`${at}/prepare`, {
    bodyLimit: FOLDER_BODY_BYTES_MAX,
    schema: {
      ...about('Between nodes: check and store a configuration, to be applied when the coordinator says so'),
      body: schemas.prepareBody,
      response: answers(200, schemas.prepareAnswer),
    },
    handler: (request) => configurations.prepare(request.params.module, request.body),
  });
  for (const verb of ['commit', 'abort'] as const) {
    scope.post<{ Params: ModuleParams; Body: schemas.TransactionBody }>(`${at}/${verb}`, {
      schema: {
        ...about(`Between nodes: ${verb === 'commit' ? 'apply' : 'forget'} what was prepared`),
        body: schemas.transactionBody,
        response: answers(204, nothing),
      },
      handler: async (request, reply) => {
        await configurations[verb](request.params.module, request.body.transaction);
        return reply.code(204).send();
      },
    });
  }
  scope.post<{ Params: ModuleParams; Body: schemas.TransactionBody }>(`${at}/outcome`, {
    schema: {
      ...about('Between nodes: what this node decided as coordinator'),
      body: schemas.transactionBody,
      response: answers(200, schemas.transactionOutcome),
    },
    handler: (request) => configurations.outcome(request.params.module, request.body.transaction),
  });
}
