/**
 * The elements of userconfig.xml that the core serves itself, as schemas, and those that operators know from existing files but that need
 * a plug-in, or that no release serves yet. Names, attributes and units follow what such files contain; the defaults are ours.
 */
import { FARM_GROUPS_MAX } from '../model/farm.js';
import type { JsonSchema } from './element-schema.js';

const NAME = { type: 'string', minLength: 1, maxLength: 63 } as const;
const PORT = { type: 'integer', minimum: 1, maximum: 65535 } as const;

/** Highest module id whose four replication ports stay below the ports of the API. */
export const MODULE_ID_MAX = 800;

export const PULSE_MS_DEFAULT = 100;
export const TIMEOUT_MS_DEFAULT = 2_000;
export const TIMEOUT_MS_MIN = 200;
/** One lost datagram, or three, must not look like a lost node. */
export const PULSES_PER_TIMEOUT_MIN = 4;

export const SERVICE_SCHEMA: JsonSchema = {
  type: 'object',
  properties: {
    mode: { type: 'string', enum: ['mirror', 'farm', 'light'] },
    boot: { type: 'string', enum: ['on', 'off', 'auto', 'ignore'], default: 'ignore' },
    boot_delay: { type: 'integer', 'x-unit': 'ms', 'x-bare-unit': 's', default: 0, maximum: 86_400_000 },
    failover: { type: 'boolean', default: true },
    splitbrain: { type: 'string', enum: ['manual', 'keep-primary', 'keep-newest'], default: 'manual' },
    defaultprim: { ...NAME, default: 'alone' },
    maxloop: { type: 'integer', minimum: 0, maximum: 1000, default: 3 },
    loop_interval: { type: 'integer', 'x-unit': 'ms', 'x-bare-unit': 'h', default: 86_400_000 },
    automatic_reboot: { type: 'boolean', default: false },
  },
  required: ['mode'],
  additionalProperties: false,
};

const ONE_RHYTHM = 'every heartbeat uses the pulse and timeout of <heart>; set it there';

export const HEART_SCHEMA: JsonSchema = {
  type: 'object',
  properties: {
    port: PORT,
    pulse: { type: 'integer', 'x-unit': 'ms', minimum: 10, maximum: 60_000, default: PULSE_MS_DEFAULT },
    timeout: { type: 'integer', 'x-unit': 'ms', minimum: TIMEOUT_MS_MIN, maximum: 600_000, default: TIMEOUT_MS_DEFAULT },
    permanent_arp: { type: 'boolean', 'x-not-supported': 'static ARP entries are not set; leave it out or set it off' },
    heartbeat: {
      type: 'array',
      minItems: 1,
      items: {
        type: 'object',
        properties: {
          name: NAME,
          ident: NAME,
          pulse: { type: 'integer', 'x-unit': 'ms', 'x-not-supported': ONE_RHYTHM },
          timeout: { type: 'integer', 'x-unit': 'ms', 'x-not-supported': ONE_RHYTHM },
        },
        required: ['name'],
        additionalProperties: false,
      },
    },
  },
  required: ['heartbeat'],
  additionalProperties: false,
};

const LEADER_PULSES_DEFAULT = 20;
const MEMBER_PULSES_DEFAULT = 10;
/** Group of a farm that names none. */
export const FARM_GROUP_DEFAULT = 'FarmProto';
const FARM_POWER_MAX = 1_000_000_000;

export const FARM_SCHEMA: JsonSchema = {
  type: 'object',
  properties: {
    port: PORT,
    pulse: { type: 'integer', 'x-unit': 'ms', minimum: 50, maximum: 60_000, default: PULSE_MS_DEFAULT },
    mlost_count: { type: 'integer', minimum: 6, maximum: 1000, default: LEADER_PULSES_DEFAULT },
    slost_count: { type: 'integer', minimum: 6, maximum: 1000, default: MEMBER_PULSES_DEFAULT },
    lan: {
      type: 'array',
      minItems: 1,
      items: { type: 'object', properties: { name: NAME }, required: ['name'], additionalProperties: false },
    },
    group: {
      type: 'array',
      maxItems: FARM_GROUPS_MAX,
      items: {
        type: 'object',
        properties: {
          name: { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$', description: 'letters, digits, _ and -, at most 32' },
          host: {
            type: 'array',
            items: {
              type: 'object',
              properties: { name: NAME, power: { type: 'integer', minimum: 0, maximum: FARM_POWER_MAX, default: 1 } },
              required: ['name'],
              additionalProperties: false,
            },
          },
        },
        required: ['name'],
        additionalProperties: false,
      },
    },
  },
  required: ['lan'],
  additionalProperties: false,
};

const STOP_TIMEOUT = {
  type: 'integer',
  'x-unit': 'ms',
  'x-bare-unit': 's',
  minimum: 1_000,
  maximum: 86_400_000,
  default: 300_000,
} as const;

export const USER_SCHEMA: JsonSchema = {
  type: 'object',
  properties: {
    nicestoptimeout: STOP_TIMEOUT,
    forcestoptimeout: STOP_TIMEOUT,
    logging: { type: 'string', enum: ['userlog', 'none'], default: 'userlog' },
    userlogsize: { type: 'integer', minimum: 1, maximum: 1_048_576, default: 2048 },
    var: {
      type: 'array',
      maxItems: 1000,
      items: {
        type: 'object',
        properties: {
          name: {
            type: 'string',
            description: 'letters, digits and _, not starting with a digit, and none of the HOLDFAST_ and SAFE names that the product sets',
            pattern: '^(?!HOLDFAST_|SAFE(?:BIN|MODULE|USERBIN|USERCONF|USERVAR|VAR)?$)[A-Za-z_][A-Za-z0-9_]*$',
            maxLength: 128,
          },
          value: { type: 'string' },
        },
        required: ['name', 'value'],
        additionalProperties: false,
      },
    },
  },
  additionalProperties: false,
};

export const VIP_SCHEMA: JsonSchema = {
  type: 'object',
  properties: {
    tcpreset: { type: 'boolean', default: true },
    // Our own: whether both nodes may hold an address for a moment, because the heartbeat timeout is shorter than its lifetime.
    overlap: { type: 'string', enum: ['refuse', 'accept'], default: 'refuse' },
    scriptcontrol: { type: 'boolean', 'x-not-supported': 'it belongs to farm modules; leave it out or set it off' },
  },
  additionalProperties: false,
};

export const CHECK_SCHEMA: JsonSchema = { type: 'object', properties: {}, additionalProperties: false };

/** How long writes wait for a decision. */
export const UNDECIDED_LIMIT_MS_DEFAULT = 20_000;

export const WITNESS_SCHEMA: JsonSchema = {
  type: 'object',
  properties: {
    limit: { type: 'integer', 'x-unit': 'ms', 'x-bare-unit': 's', minimum: 1_000, maximum: 3_600_000, default: UNDECIDED_LIMIT_MS_DEFAULT },
    undecided: { type: 'string', enum: ['stop', 'continue'], default: 'stop' },
  },
  additionalProperties: false,
};

export type ParentElement = 'service' | 'vip' | 'check' | 'witness';

/** Core elements and where each belongs. */
export const CORE_PARENT: Readonly<Record<string, string>> = {
  service: 'safe',
  macro: 'safe',
  heart: 'service',
  heartbeat: 'heart',
  farm: 'service',
  lan: 'farm',
  user: 'service',
  var: 'user',
  vhost: 'service',
  virtualhostname: 'vhost',
  vip: 'service',
  check: 'service',
  witness: 'service',
  failover: 'service',
  rule: 'failover',
  disable: 'failover',
};

interface ServedElsewhere {
  readonly parent: ParentElement;
  /** What would serve it, for the end of "… serves it". */
  readonly by: string;
}

const plugin = (kind: string, name: string): string =>
  `no installed plug-in serves it; install a ${kind} plug-in for it, for example ${name}`;

/** Elements of existing files that the core does not serve. Used only when no installed plug-in contributes the element. */
export const KNOWN_ELEMENTS: Readonly<Record<string, ServedElsewhere>> = {
  rfs: { parent: 'service', by: plugin('replication', 'replication-files') },
  errd: { parent: 'service', by: plugin('checker', 'checker-errd') },
  interface_list: { parent: 'vip', by: plugin('virtual address', 'vip-arp') },
  loadbalancer: { parent: 'vip', by: plugin('virtual address', 'vip-loadbalancer') },
  loadbalancing_list: { parent: 'vip', by: plugin('farm address', 'vip-farm') },
  tcp: { parent: 'check', by: plugin('checker', 'checker-tcp') },
  ping: { parent: 'check', by: plugin('checker', 'checker-ping') },
  intf: { parent: 'check', by: plugin('checker', 'checker-intf') },
  ip: { parent: 'check', by: plugin('checker', 'checker-ip') },
  http: { parent: 'check', by: plugin('checker', 'checker-http') },
  sql: { parent: 'check', by: plugin('checker', 'checker-sql') },
  disk: { parent: 'check', by: plugin('checker', 'checker-disk') },
  load: { parent: 'check', by: plugin('checker', 'checker-load') },
  custom: { parent: 'check', by: plugin('checker', 'checker-custom') },
  module: { parent: 'check', by: plugin('checker', 'checker-module') },
  splitbrain: { parent: 'check', by: plugin('witness', 'witness-ping') },
};

/** The same below <witness>, where a name may be a checker's too. */
export const KNOWN_WITNESSES: Readonly<Record<string, ServedElsewhere>> = Object.fromEntries(
  ['http', 'etcd', 'ping'].map((name) => [name, { parent: 'witness', by: plugin('witness', `witness-${name}`) }]),
);
