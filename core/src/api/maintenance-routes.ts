/** Routes for whoever works on a module: switches, and the count of automatic actions. */
import type { FastifyInstance } from 'fastify';
import type { AgentService, LoopChange, MaintenanceSwitch } from './contract.js';
import { answers, nothing } from './route-answers.js';
import * as schemas from './schemas.js';

export function registerMaintenanceRoutes(scope: FastifyInstance, service: AgentService): void {
  scope.post<{ Params: schemas.ModuleParams; Body: MaintenanceSwitch }>('/modules/:module/maintenance', {
    schema: {
      tags: ['modules'],
      summary: 'Suspend or resume checkers, the watch over processes, or the failover, on this node',
      description: 'Kept over stop, start and reboot. What is off is in the state of the module.',
      params: schemas.moduleParams,
      body: schemas.maintenanceBody,
      response: answers(204, nothing),
    },
    handler: async (request, reply) => {
      await service.maintain(request.params.module, request.body);
      return reply.code(204).send();
    },
  });
  scope.get<{ Params: schemas.ModuleParams }>('/modules/:module/loop', {
    schema: {
      tags: ['modules'],
      summary: 'The count of automatic actions (maxloop)',
      params: schemas.moduleParams,
      response: answers(200, schemas.loopView),
    },
    handler: (request) => service.loop(request.params.module),
  });
  scope.post<{ Params: schemas.ModuleParams; Body: LoopChange }>('/modules/:module/loop', {
    schema: {
      tags: ['modules'],
      summary: 'Count an automatic action that a script takes, or begin to count anew',
      params: schemas.moduleParams,
      body: schemas.loopBody,
      response: answers(200, schemas.loopView),
    },
    handler: (request) => service.loop(request.params.module, request.body),
  });
  scope.post<{ Params: schemas.ModuleParams }>('/modules/:module/forget-state', {
    schema: {
      tags: ['modules'],
      summary: 'Give up a state that cannot be read',
      description:
        'Only of a module that is refused with HF_STATE_DAMAGED. The damaged files are kept under other names. The module is stopped ' +
        'then, and its copy counts as older than any: once it is started, it is compared with the copy of the other node and overwritten.',
      params: schemas.moduleParams,
      response: answers(200, schemas.stateForgotten),
    },
    handler: (request) => service.forgetState(request.params.module),
  });
}
