/** The routes over the modules and the cluster, the same on both listeners. Each hands over to the service and knows nothing else. */
import type { FastifyInstance } from 'fastify';
import type { AgentService, ChecksSwitch, ModuleView, OutsideVerdict, ScriptNote } from './contract.js';
import type { EventFilter, EventStreams } from './event-stream.js';
import { arrayOf } from './json-schema.js';
import { registerMaintenanceRoutes } from './maintenance-routes.js';
import { answers, nothing } from './route-answers.js';
import * as schemas from './schemas.js';

const LOG_LIMIT_DEFAULT = 300;
const LOG_LIMIT_MAX = 10_000;

export function registerModuleRoutes(scope: FastifyInstance, service: AgentService): void {
  scope.get('/cluster', {
    schema: { tags: ['cluster'], summary: 'The cluster as this node sees it', response: answers(200, schemas.clusterView) },
    handler: () => service.cluster(),
  });
  scope.get('/modules', {
    schema: { tags: ['modules'], summary: 'Modules installed on this node', response: answers(200, arrayOf(schemas.moduleListEntry)) },
    handler: () => service.modules(),
  });
  scope.post<{ Body: schemas.InstallBody }>('/modules', {
    schema: {
      tags: ['modules'],
      summary: 'Install a module from a folder of the node',
      description: 'Copies the folder. The module is configured by a separate call.',
      body: schemas.installBody,
      response: answers(201, schemas.moduleListEntry),
    },
    handler: async (request, reply) => {
      const { folder, ...options } = request.body;
      const installed = await service.install(folder, options);
      return reply.code(201).send(installed);
    },
  });
  scope.get<{ Params: schemas.ModuleParams }>('/modules/:module', {
    schema: {
      tags: ['modules'],
      summary: 'State of a module on this node',
      params: schemas.moduleParams,
      response: answers(200, schemas.moduleView),
    },
    handler: (request) => service.module(request.params.module),
  });
  scope.delete<{ Params: schemas.ModuleParams }>('/modules/:module', {
    schema: {
      tags: ['modules'],
      summary: 'Uninstall a stopped module from this node',
      params: schemas.moduleParams,
      response: answers(204, nothing),
    },
    handler: async (request, reply) => {
      await service.uninstall(request.params.module);
      return reply.code(204).send();
    },
  });
  scope.get<{ Params: schemas.ModuleParams; Querystring: schemas.ResourcesQuery }>('/modules/:module/resources', {
    schema: {
      tags: ['modules'],
      summary: 'Resources of a module with their history',
      params: schemas.moduleParams,
      querystring: schemas.resourcesQuery,
      response: answers(200, arrayOf(schemas.resourceView)),
    },
    handler: (request) => service.resources(request.params.module, request.query),
  });
  scope.get<{ Params: schemas.ModuleParams; Querystring: schemas.LogQuery }>('/modules/:module/log', {
    schema: {
      tags: ['modules'],
      summary: 'Log of a module, newest last',
      params: schemas.moduleParams,
      querystring: schemas.logQuery,
      response: answers(200, arrayOf(schemas.logEntry)),
    },
    handler: (request) => {
      const { after, limit, levels } = request.query;
      return service.log(request.params.module, {
        limit: Math.min(limit === undefined ? LOG_LIMIT_DEFAULT : Number(limit), LOG_LIMIT_MAX),
        ...(after === undefined ? {} : { after: Number(after) }),
        ...(levels === undefined ? {} : { levels }),
      });
    },
  });
  scope.get<{ Params: schemas.ModuleParams }>('/modules/:module/virtual-addresses', {
    schema: {
      tags: ['modules'],
      summary: 'Virtual addresses of a module as they are configured, and the addresses of the nodes',
      params: schemas.moduleParams,
      response: answers(200, schemas.virtualAddressView),
    },
    handler: (request) => service.virtualAddresses(request.params.module),
  });
  scope.post<{ Params: schemas.ModuleParams; Body: schemas.CommandBody }>('/modules/:module/commands', {
    schema: {
      tags: ['modules'],
      summary: 'Command a module on this node',
      description: 'Answers 202 once the command is durably taken, not when it is finished: read the state of the module to see that.',
      params: schemas.moduleParams,
      body: schemas.commandBody,
      response: answers(202, nothing),
    },
    handler: async (request, reply) => {
      const { verb, ...options } = request.body;
      await service.command(request.params.module, verb, options);
      return reply.code(202).send();
    },
  });
  scope.post<{ Params: schemas.ModuleParams; Body: ChecksSwitch }>('/modules/:module/checks', {
    schema: {
      tags: ['modules'],
      summary: 'Enable or disable a class of checks',
      params: schemas.moduleParams,
      body: schemas.checksBody,
      response: answers(204, nothing),
    },
    handler: async (request, reply) => {
      await service.switchChecks(request.params.module, request.body);
      return reply.code(204).send();
    },
  });
  scope.post<{ Params: schemas.ModuleParams; Body: OutsideVerdict }>('/modules/:module/verdicts', {
    schema: {
      tags: ['modules'],
      summary: 'Say whether a resource is up or down',
      description: 'Only of resources whose checker takes verdicts from outside, while it is active.',
      params: schemas.moduleParams,
      body: schemas.verdictBody,
      response: answers(204, nothing),
    },
    handler: async (request, reply) => {
      await service.setResource(request.params.module, request.body);
      return reply.code(204).send();
    },
  });
  scope.post<{ Params: schemas.ModuleParams; Body: ScriptNote }>('/modules/:module/notes', {
    schema: {
      tags: ['modules'],
      summary: "Write a line of a script into the module's log",
      params: schemas.moduleParams,
      body: schemas.noteBody,
      response: answers(204, nothing),
    },
    handler: async (request, reply) => {
      await service.note(request.params.module, request.body);
      return reply.code(204).send();
    },
  });
  registerMaintenanceRoutes(scope, service);
  scope.post<{ Params: schemas.ModuleParams; Body: schemas.VerificationBody }>('/modules/:module/verification', {
    schema: {
      tags: ['modules'],
      summary: 'Compare both copies of the replicated data',
      description:
        'On the node that is primary and connected. Answers 202 once it has begun; the state of the module has its progress and result.',
      params: schemas.moduleParams,
      body: schemas.verificationBody,
      response: answers(202, schemas.verificationBegun),
    },
    handler: async (request, reply) => reply.code(202).send(await service.verify(request.params.module, request.body)),
  });
  scope.delete<{ Params: schemas.ModuleParams }>('/modules/:module/verification', {
    schema: {
      tags: ['modules'],
      summary: 'End a running comparison without a result',
      params: schemas.moduleParams,
      response: answers(204, nothing),
    },
    handler: async (request, reply) => {
      await service.cancelVerification(request.params.module);
      return reply.code(204).send();
    },
  });
}

export function registerEventRoute(scope: FastifyInstance, streams: EventStreams): void {
  scope.get<{ Querystring: schemas.EventsQuery; Headers: { 'last-event-id'?: string } }>('/events', {
    schema: {
      tags: ['events'],
      summary: 'Log entries as they are written, as server-sent events',
      description:
        'Event "log", id = sequence, data = a log entry in JSON. With a module and Last-Event-ID, what was missed comes first. ' +
        'A comment comes every 15 s. A client that reads too slowly is disconnected.',
      querystring: schemas.eventsQuery,
      headers: {
        type: 'object',
        properties: { 'last-event-id': { type: 'string', pattern: '^[0-9]{1,15}$', description: 'Last sequence seen' } },
      },
      produces: ['text/event-stream'],
      response: { 200: { type: 'string', description: 'Event stream' }, default: schemas.errorBody },
    },
    handler: (request, reply) => {
      const after = request.headers['last-event-id'];
      const filter: EventFilter = {
        ...(request.query.module === undefined ? {} : { module: request.query.module }),
        ...(after === undefined ? {} : { after: Number(after) }),
      };
      return reply.type('text/event-stream; charset=utf-8').send(streams.connect(filter));
    },
  });
}

/** Routes without authentication: that the agent lives, and whether a load balancer may send clients to this node. */
export function registerPublicRoutes(scope: FastifyInstance, service: AgentService): void {
  scope.get('/api/v1/health', {
    schema: { tags: ['probes'], summary: 'The agent is alive', security: [], response: answers(200, schemas.health) },
    handler: (): schemas.Health => ({ status: 'ok', node: service.node }),
  });
  scope.get<{ Params: schemas.ModuleParams }>('/var/modules/:module/ready.txt', {
    exposeHeadRoute: true,
    schema: {
      tags: ['probes'],
      summary: 'Load-balancer probe: 200 when the module is PRIM, ALONE or UP and Ready here, else 404',
      security: [],
      params: schemas.moduleParams,
      response: { 200: { type: 'string', description: 'Ready' }, 404: { type: 'string', description: 'Not ready here' } },
    },
    // Deliberately tells little more: not even whether the module exists.
    handler: async (request, reply) => {
      const view = await service.module(request.params.module).catch(() => undefined);
      const ready = view !== undefined && serves(view);
      // For modules that depend on this one: whether it was started anew.
      if (ready && view.applicationSince !== undefined) reply.header('x-holdfast-since', view.applicationSince);
      return reply
        .code(ready ? 200 : 404)
        .type('text/plain; charset=utf-8')
        .send(ready ? 'READY\n' : 'NOT READY\n');
    },
  });
}

function serves({ phase, quality }: ModuleView): boolean {
  return quality === 'Ready' && (phase === 'PRIM' || phase === 'ALONE' || phase === 'UP');
}
