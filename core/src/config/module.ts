/**
 * userconfig.xml to the validated configuration of a module. The core knows a dozen elements; everything else is what installed plug-ins
 * contribute, checked by their schemas without running their code. All problems of a file are reported together, each with its place.
 */
import type {
  ArbitrationConfiguration,
  ClusterConfiguration,
  ModuleConfiguration,
  ScriptsConfiguration,
  ServiceConfiguration,
} from '../model/configuration.js';
import type { SplitBrainPolicy } from '../model/report.js';
import { checkArchitecture } from './architecture.js';
import {
  CHECK_SCHEMA,
  MODULE_ID_MAX,
  SERVICE_SCHEMA,
  UNDECIDED_LIMIT_MS_DEFAULT,
  USER_SCHEMA,
  VIP_SCHEMA,
  WITNESS_SCHEMA,
} from './core-elements.js';
import { configurationDigest } from './digest.js';
import { readElement } from './element-reader.js';
import { readFailover, type RuleNames, ruleNames } from './failover.js';
import { readFarm } from './farm.js';
import { readHeart } from './heart.js';
import { checkLease } from './lease.js';
import { expandMacros } from './macros.js';
import { type ContributedSchema, ModuleElements, type RefusalOf } from './module-elements.js';
import { nearestName, suggestion } from './nearest.js';
import { type Position, ProblemList, quoted } from './problems.js';
import { readVirtualHost } from './vhost.js';
import { type XmlElement, readXml, refuseText, writeXml } from './xml.js';

export interface ParseModuleOptions {
  readonly name: string;
  /** 1-based, the same on every node; fixes the ports. */
  readonly id: number;
  readonly cluster: ClusterConfiguration;
  /** Where %NAME% is looked up when no macro has the name. */
  readonly environment: Readonly<Record<string, string>>;
  /** What the installed plug-ins contribute. */
  readonly elements: readonly ContributedSchema[];
  /** What the plug-in of an element has against it beyond its schema. */
  readonly refusalOf?: RefusalOf;
  /** Names of the resources of a checker's element, for the rules that name them. */
  readonly resourcesOf?: RuleNames['resourcesOf'];
  /** Of the module's scripts, to make them part of the configuration's digest. */
  readonly extraDigest?: string;
}

export interface ParsedModule {
  readonly configuration: ModuleConfiguration;
  /** The file after macros, for people and for support. */
  readonly expandedXml: string;
  /** Line of each core element, by name. */
  readonly lines: Readonly<Record<string, number>>;
  /** `file:line:column: …`: accepted, but probably not what was meant. */
  readonly warnings: readonly string[];
}

/** Relations with elements that are missing are reported at the start of the file. */
const START: Position = { line: 1, column: 1 };
const MODULE_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;
const NODES_OF_A_MIRROR = 2;
/** A constant, so that a short stop timeout does not cut a slow start. */
const START_TIMEOUT_MS = 300_000;

/** @throws HoldfastError with a code of CONFIG_ERRORS; `details.problems` lists every problem of the file. */
export function parseModule(xml: string, file: string, options: ParseModuleOptions): ParsedModule {
  const problems = new ProblemList(file);
  checkIdentity(options, problems);
  const root = expandMacros(readXml(xml, 'safe', problems), options.environment, problems);
  const service = onlyService(root, problems);
  const elements = new ModuleElements(options.elements, problems, options.refusalOf);
  const own = elements.sort(service, 'service');

  const serviceConfiguration = readService(service, options.cluster, problems);
  const heartElement = own.get('heart');
  const heart = heartElement === undefined ? undefined : readHeart(heartElement, options.id, options.cluster, problems);
  const farmElement = own.get('farm');
  const farm = farmElement === undefined ? undefined : readFarm(farmElement, options.id, options.cluster, problems);
  const user = own.get('user');
  const scripts = user === undefined ? undefined : readScripts(user, problems);
  const virtualHost = readVirtualHost(own.get('vhost'), user, problems);
  const arbitration = readArbitration(own.get('witness'), problems);
  const vip = readContainers(own, elements, problems);
  const moves = elements.contributed.some(({ point }) => point === 'virtualIpDriver');
  if (heart !== undefined && heartElement !== undefined && moves) checkLease(heart, heartElement, vip.overlap, problems);
  const rules = own.get('failover');
  const failover =
    rules === undefined
      ? undefined
      : readFailover(rules, ruleNames(elements.contributed, options.elements, heart, options.resourcesOf), problems);
  const mode = serviceConfiguration?.mode;
  if (mode !== undefined) checkArchitecture(mode, service, own, elements.contributed, problems);
  if (mode === 'farm' && farmElement === undefined) {
    const lans = options.cluster.lans.map(({ name }) => `<lan name="${name}"/>`).join('');
    problems.add('HF_CONFIG_FARM_MISSING', service, `the nodes of a farm module must hear each other: add <farm>${lans}</farm>`);
  }
  if (mode === 'mirror') checkMirror(service, heartElement, options.cluster, problems);
  problems.throwIfAny();
  if (serviceConfiguration === undefined) return problems.fail('HF_CONFIG_ELEMENT_MISSING', START, '<safe> needs a <service>');

  warn(own, heartElement, elements, problems);
  const configuration: ModuleConfiguration = {
    name: options.name,
    id: options.id,
    service: serviceConfiguration,
    ...(heart === undefined ? {} : { heart }),
    ...(farm === undefined ? {} : { farm }),
    ...(scripts === undefined ? {} : { scripts }),
    ...(virtualHost === undefined ? {} : { virtualHost }),
    ...(own.has('vip') ? { vip: { tcpReset: vip.tcpreset } } : {}),
    arbitration,
    ...(failover === undefined ? {} : { failover }),
    contributed: elements.contributed,
    digest: configurationDigest(root, [
      options.name,
      options.id,
      options.extraDigest ?? '',
      // Rules are text: the tree of elements does not have them.
      ...(failover === undefined ? [] : [JSON.stringify(failover)]),
    ]),
  };
  const lines = Object.fromEntries([service, ...own.values()].map(({ name, line }) => [name, line]));
  return { configuration, lines, expandedXml: `<!DOCTYPE safe>\n${writeXml(root)}`, warnings: problems.warnings };
}

function checkIdentity({ name, id }: ParseModuleOptions, problems: ProblemList): void {
  if (!MODULE_NAME.test(name)) {
    const rule = 'letters, digits, _ and -, at most 63, starting with a letter or digit';
    problems.fail('HF_CONFIG_MODULE_NAME', START, `the module name ${quoted(name)} must be ${rule}`);
  }
  if (!Number.isInteger(id) || id < 1 || id > MODULE_ID_MAX) {
    problems.fail('HF_CONFIG_MODULE_ID', START, `the id ${id} of module ${name} must be a whole number from 1 to ${MODULE_ID_MAX}`);
  }
}

function onlyService(root: XmlElement, problems: ProblemList): XmlElement {
  refuseText(root, problems);
  for (const attribute of root.attributes.values()) {
    problems.add('HF_CONFIG_ATTRIBUTE_UNKNOWN', attribute, `<safe> has no attributes, but ${quoted(attribute.name)}`);
  }
  const services: XmlElement[] = [];
  for (const child of root.children) {
    if (child.name === 'service') services.push(child);
    else {
      const nearest = nearestName(child.name, ['service', 'macro']);
      const hint = nearest === undefined ? '; it contains <macro> and one <service>' : `; did you mean <${nearest}>?`;
      problems.add('HF_CONFIG_ELEMENT_UNKNOWN', child, `<${child.name}> inside <safe> is unknown${hint}`);
    }
  }
  const [service, ...others] = services;
  if (service === undefined) return problems.fail('HF_CONFIG_ELEMENT_MISSING', root, '<safe> needs a <service>');
  for (const other of others) {
    problems.add('HF_CONFIG_ELEMENT_REPEATED', other, `<safe> may contain only one <service>; the first is in line ${service.line}`);
  }
  return service;
}

interface ServiceValue {
  readonly mode: 'mirror' | 'farm' | 'light';
  readonly boot: 'on' | 'off' | 'auto' | 'ignore';
  readonly boot_delay: number;
  readonly failover: boolean;
  readonly splitbrain: SplitBrainPolicy;
  readonly automatic_reboot: boolean;
  readonly defaultprim: string;
  readonly maxloop: number;
  readonly loop_interval: number;
}

function readService(element: XmlElement, cluster: ClusterConfiguration, problems: ProblemList): ServiceConfiguration | undefined {
  const read = readElement(element, SERVICE_SCHEMA, problems, 'by-caller');
  if (!read.valid) return undefined;
  const value = read.value as unknown as ServiceValue;
  if (value.automatic_reboot && value.boot !== 'on' && value.boot !== 'auto') {
    const message = `automatic_reboot="on" with boot="${value.boot}": after the reboot nobody starts the module; set boot="auto"`;
    problems.warn(read.at('', 'automatic_reboot'), message);
  }
  const choices = ['alone', 'lastprim', ...nodeNames(cluster)];
  if (!choices.includes(value.defaultprim)) {
    const message = `defaultprim=${quoted(value.defaultprim)} is not a node of cluster.xml${suggestion(value.defaultprim, choices)}`;
    problems.add('HF_CONFIG_NODE_UNKNOWN', read.at('', 'defaultprim'), message);
  }
  return {
    mode: value.mode,
    boot: value.boot,
    bootDelayMs: value.boot_delay,
    failover: value.failover,
    splitBrain: value.splitbrain,
    automaticReboot: value.automatic_reboot,
    defaultPrimary: value.defaultprim,
    maxLoop: value.maxloop,
    loopIntervalMs: value.loop_interval,
  };
}

interface UserValue {
  readonly nicestoptimeout: number;
  readonly forcestoptimeout: number;
  readonly logging: 'userlog' | 'none';
  readonly userlogsize: number;
  readonly var?: readonly { readonly name: string; readonly value: string }[];
}

function readScripts(element: XmlElement, problems: ProblemList): ScriptsConfiguration | undefined {
  const read = readElement(element, USER_SCHEMA, problems);
  if (!read.valid) return undefined;
  const value = read.value as unknown as UserValue;
  const variables = new Map<string, string>();
  (value.var ?? []).forEach((variable, index) => {
    if (variables.has(variable.name)) {
      problems.add('HF_CONFIG_NAME_DUPLICATE', read.at(`/var/${index}`, 'name'), `<var> ${quoted(variable.name)} is given twice`);
    }
    variables.set(variable.name, variable.value);
  });
  return {
    niceStopTimeoutMs: value.nicestoptimeout,
    forceStopTimeoutMs: value.forcestoptimeout,
    startTimeoutMs: START_TIMEOUT_MS,
    logging: value.logging === 'userlog',
    logBytesMax: value.userlogsize * 1024,
    variables: Object.fromEntries(variables),
  };
}

interface WitnessValue {
  readonly limit: number;
  readonly undecided: 'stop' | 'continue';
}

function readArbitration(element: XmlElement | undefined, problems: ProblemList): ArbitrationConfiguration {
  if (element === undefined) return { undecidedLimitMs: UNDECIDED_LIMIT_MS_DEFAULT, undecided: 'stop' };
  const read = readElement(element, WITNESS_SCHEMA, problems, 'by-caller');
  if (!read.valid) return { undecidedLimitMs: UNDECIDED_LIMIT_MS_DEFAULT, undecided: 'stop' };
  const { limit, undecided } = read.value as unknown as WitnessValue;
  if (undecided === 'continue') {
    const message = 'undecided="continue": a primary that hears neither its peer nor the witness goes on; both nodes may then run at once';
    problems.warn(element, message);
  }
  return { undecidedLimitMs: limit, undecided };
}

interface VipValue {
  readonly overlap: 'refuse' | 'accept';
  readonly tcpreset: boolean;
}

/** @returns what `<vip>` says of itself */
function readContainers(own: ReadonlyMap<string, XmlElement>, elements: ModuleElements, problems: ProblemList): VipValue {
  let vip: VipValue = { overlap: 'refuse', tcpreset: true };
  for (const [name, schema] of [['vip', VIP_SCHEMA] as const, ['check', CHECK_SCHEMA] as const]) {
    const container = own.get(name);
    if (container === undefined) continue;
    const read = readElement(container, schema, problems, 'by-caller');
    if (name === 'vip' && read.valid) vip = read.value as unknown as VipValue;
    elements.sort(container, name);
  }
  // Its attributes are read by readArbitration.
  const witness = own.get('witness');
  if (witness !== undefined) elements.sort(witness, 'witness');
  return vip;
}

function nodeNames(cluster: ClusterConfiguration): readonly string[] {
  return cluster.lans[0]?.nodes.map(({ name }) => name) ?? [];
}

function checkMirror(service: XmlElement, heart: XmlElement | undefined, cluster: ClusterConfiguration, problems: ProblemList): void {
  const nodes = nodeNames(cluster);
  if (nodes.length !== NODES_OF_A_MIRROR) {
    const message = `a mirror module runs on exactly ${NODES_OF_A_MIRROR} nodes, but cluster.xml has ${nodes.length}: ${nodes.join(', ')}`;
    problems.add('HF_CONFIG_MIRROR_NODES', service, message);
  }
  if (heart === undefined) {
    const lans = cluster.lans.map(({ name }) => `<heartbeat name="${name}"/>`).join('');
    problems.add('HF_CONFIG_HEART_MISSING', service, `a mirror module needs heartbeats: add <heart>${lans}</heart>`);
  }
}

function warn(own: ReadonlyMap<string, XmlElement>, heart: XmlElement | undefined, elements: ModuleElements, problems: ProblemList): void {
  const replicated = elements.contributed.some(({ point }) => point === 'replicationBackend');
  const flow = heart?.children.find((child) => child.attributes.get('ident')?.value === 'flow');
  if (flow !== undefined && !replicated)
    problems.warn(flow, 'ident="flow" chooses the network of the replication, but nothing is replicated');
  const service = heart ?? START;
  if (!own.has('user')) problems.warn(service, 'there is no <user>: no script of this module will run');
}
