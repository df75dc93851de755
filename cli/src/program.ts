/** The tree of commands, and the help that stands in for a manual page. */
import { Command, Help, Option } from 'commander';
import { addAgentCommand } from './commands/agent.js';
import { addCheckCommands } from './commands/checks.js';
import { addClusterCommands } from './commands/cluster.js';
import { addConfigurationCommands } from './commands/configuration.js';
import { addConflictCommands } from './commands/conflicts.js';
import { addControlCommands } from './commands/control.js';
import { addLogCommand } from './commands/log.js';
import { addLoopCommands, addMaintenanceCommands } from './commands/maintenance.js';
import { addModuleCommands } from './commands/module.js';
import { addProcessCommands } from './commands/processes.js';
import { addResourceCommands } from './commands/resources.js';
import { addScriptCommands } from './commands/scripts.js';
import { addStateCommand } from './commands/state.js';
import { addVerifyCommand } from './commands/verify.js';
import { addVipCommands } from './commands/vip.js';
import { addWhyCommand } from './commands/why.js';
import { addWaitCommand } from './commands/waitstate.js';
import { addWitnessCommands } from './commands/witness.js';
import type { ExitCode } from './exit-code.js';
import { versionOf } from './version.js';

const HELP_WIDTH = 110;
const API_DEFAULT = 'http://127.0.0.1:9010';
const CONFIG_DIRECTORY_DEFAULT = '/etc/holdfast';
const STATE_DIRECTORY_DEFAULT = '/var/lib/holdfast';

/** Below the help of every command. */
const REFERENCE = `
Exit codes:
  0    done
  1    failed; one sentence with a code on stderr (with --json: {"error":{code,message,details}} on stdout)
  state -l exits with the state instead: 0 STOP, 1 WAIT, 2 ALONE or UP, 3 PRIM, 4 SECOND, 10 unknown
  module diff   0 no difference, 1 they differ, 2 they could not be compared
  incloop, checkloop  0 one more automatic action is allowed, 1 maxloop is reached
  verify   0 both copies are identical, 1 they differ, 2 they could not be compared

Files:
  /etc/holdfast/cluster.xml    nodes and networks of the cluster, the same on every node
  /etc/holdfast/cluster.key    secret of the cluster, the same on every node, mode 0600
  /etc/holdfast/node.json      name of this node
  /etc/holdfast/fencing.json   watchdog and reboot of this node, where wanted: see ARCHITECTURE.md
  /etc/holdfast/api.token      secret of this node's API, written by the agent, mode 0600
  /etc/holdfast/witness.key    secret for the witness, where one is used, mode 0600
  /etc/holdfast/modules/       the installed modules

Environment:
  HOLDFAST_CONFIG, HOLDFAST_STATE, HOLDFAST_API   like --config-dir, --state-dir and --api
  SAFEMODULE                                      the module when -m is not given
  NO_COLOR, FORCE_COLOR                           no colours, or colours without a terminal`;

const OVERVIEW = `
States of a module on a node, each NotReady, Transient or Ready:
  STOP    stopped                          WAIT    starting, or blocked by a resource that is down
  ALONE   serves, without a secondary      PRIM    serves, with a secondary
  SECOND  standby, or copying              UP      active (farm and light modules)

Examples:
  holdfast cluster config cluster.xml          make this machine a node of a cluster
  holdfast module install /opt/ledger          install the module in a folder
  holdfast module config -m ledger             apply its userconfig.xml, on both nodes
  holdfast prim -m ledger                      first start: this node has the good data
  holdfast -H node2 second -m ledger --wait    start the other node and wait until it is synchronised
  holdfast state --watch                       all modules on all nodes, live
  holdfast swap -m ledger --wait               exchange the roles`;

export function createProgram(exit: ExitCode): Command {
  const program = new Command('holdfast')
    .description(
      'High availability on two plain servers: synchronous replication of directories, a virtual address that moves, automatic failover ' +
        'and failback. Commands go to the agent of this machine, and with -H through it to the other nodes.',
    )
    .version(versionOf(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .addOption(new Option('-H, --hosts <nodes>', "run on other nodes instead: names separated by commas, or '*' for all"))
    .addOption(new Option('--json', 'print one JSON document'))
    .addOption(new Option('--config-dir <folder>', 'folder of the configuration').env('HOLDFAST_CONFIG').default(CONFIG_DIRECTORY_DEFAULT))
    .addOption(new Option('--state-dir <folder>', "folder of the agent's state").env('HOLDFAST_STATE').default(STATE_DIRECTORY_DEFAULT))
    .addOption(new Option('--api <address>', "address of this machine's agent").env('HOLDFAST_API').default(API_DEFAULT))
    .configureHelp({ helpWidth: HELP_WIDTH, showGlobalOptions: true, sortSubcommands: false, subcommandTerm: termOf })
    // Errors are printed once, in run.ts.
    .configureOutput({ outputError: () => undefined })
    .exitOverride()
    .showSuggestionAfterError(true)
    .addHelpText('after', OVERVIEW)
    .addHelpText('afterAll', REFERENCE);
  program.commandsGroup('Observe:');
  addStateCommand(program, exit);
  addWaitCommand(program, exit);
  addLogCommand(program, exit);
  addWhyCommand(program, exit);
  addResourceCommands(program, exit);
  program.commandsGroup('Control:');
  addControlCommands(program, exit);
  addVerifyCommand(program, exit);
  addConflictCommands(program, exit);
  addCheckCommands(program, exit);
  addMaintenanceCommands(program, exit);
  addLoopCommands(program, exit);
  program.commandsGroup('Configuration:');
  addModuleCommands(program, exit);
  addConfigurationCommands(program, exit, 'top');
  addClusterCommands(program, exit);
  addVipCommands(program, exit);
  program.commandsGroup('For scripts of modules:');
  addScriptCommands(program, exit);
  addProcessCommands(program, exit);
  program.commandsGroup('Services:');
  addAgentCommand(program, exit);
  addWitnessCommands(program, exit);
  return program;
}

/** Without `[options]`, which every command has. */
function termOf(this: Help, command: Command): string {
  return new Help().subcommandTerm(command).replace(' [options]', '');
}
