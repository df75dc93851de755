/**
 * The elements of userconfig.xml that the core serves itself, as schemas, and those that operators know from existing files but that need
 * a plug-in, or that no release serves yet. Names, attributes and units follow what such files contain; the defaults are ours.
 */
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
    defaultprim: { ...NAME, default: 'alone' },
    maxloop: { type: 'integer', minimum: 0, maximum: 1000, default: 3 },
    loop_interval: { type: 'integer', 'x-unit': 'ms', 'x-bare-unit': 'h', default: 86_400_000 },
    automatic_reboot: { type: 'boolean', 'x-not-supported': 'stopstart never reboots the machine; leave it out or set it off' },
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
            description: 'letters, digits and _, not starting with a digit, and not the HOLDFAST_ that the product sets',
            pattern: '^(?!HOLDFAST_)[A-Za-z_][A-Za-z0-9_]*$',
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
    tcpreset: { type: 'boolean', 'x-not-supported': 'connections are not reset when the address leaves; leave it out or set it off' },
    scriptcontrol: { type: 'boolean', 'x-not-supported': 'it belongs to farm modules; leave it out or set it off' },
  },
  additionalProperties: false,
};

export const CHECK_SCHEMA: JsonSchema = { type: 'object', properties: {}, additionalProperties: false };

export type ParentElement = 'service' | 'vip' | 'check';

/** Core elements and where each belongs. */
export const CORE_PARENT: Readonly<Record<string, string>> = {
  service: 'safe',
  macro: 'safe',
  heart: 'service',
  heartbeat: 'heart',
  user: 'service',
  var: 'user',
  vip: 'service',
  check: 'service',
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
  vhost: { parent: 'service', by: 'virtual host names are not supported yet; remove it' },
  farm: { parent: 'service', by: 'farm modules are not supported yet' },
  failover: { parent: 'service', by: 'failover rules are not supported yet; each checker has its action' },
  interface_list: { parent: 'vip', by: plugin('virtual address', 'vip-arp') },
  loadbalancing_list: { parent: 'vip', by: plugin('farm address', 'vip-farm') },
  tcp: { parent: 'check', by: plugin('checker', 'checker-tcp') },
  ping: { parent: 'check', by: plugin('checker', 'checker-ping') },
  intf: { parent: 'check', by: plugin('checker', 'checker-intf') },
  ip: { parent: 'check', by: plugin('checker', 'checker-ip') },
  custom: { parent: 'check', by: plugin('checker', 'checker-custom') },
  module: { parent: 'check', by: plugin('checker', 'checker-module') },
  splitbrain: { parent: 'check', by: plugin('witness', 'checker-splitbrain') },
};
