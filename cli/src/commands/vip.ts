/** `holdfast vip`: what is to be configured outside of the cluster for the virtual address of a module. */
import { HoldfastError } from '@holdfast/sdk';
import { type Command, Option } from 'commander';
import { BALANCERS, balancedModule } from '../balancer-examples/index.js';
import type { ExitCode } from '../exit-code.js';
import { type ModuleOption, moduleOf, moduleOption } from '../options.js';
import { Session } from '../session.js';

interface ExampleOptions extends ModuleOption {
  readonly for: string;
}

export function addVipCommands(program: Command, exit: ExitCode): void {
  const vip = program
    .command('vip')
    .summary('virtual addresses: examples for load balancers')
    .description('What is to be configured outside of the cluster for the virtual address of a module.');
  vip
    .command('example')
    .summary('print the configuration of a load balancer')
    .description(
      'Prints a configuration for a load balancer before this cluster: with the addresses of its nodes, and the service ports and the ' +
        'probe of the applied <loadbalancer> element. Those of haproxy and nginx are complete files; those of clouds and devices are ' +
        'commands with words in capitals to fill in.',
    )
    .addOption(moduleOption())
    .addOption(new Option('--for <balancer>', 'which load balancer').choices(Object.keys(BALANCERS)).makeOptionMandatory())
    .addHelpText(
      'after',
      '\nExamples:\n  holdfast vip example -m ledger --for haproxy >/etc/haproxy/haproxy.cfg\n  holdfast vip example -m ledger --for azure',
    )
    .action(async (options: ExampleOptions, command: Command) => {
      const session = Session.of(command, exit);
      const balanced = balancedModule(await (await session.client()).virtualAddresses(moduleOf(options)));
      const example = BALANCERS[options.for]?.(balanced);
      if (example === undefined) throw new HoldfastError('HF_CLI_USAGE', `--for ${options.for} is unknown`);
      const { text, isTried } = example;
      session.report({ ...balanced, for: options.for, tried: isTried, text }, () => text.trimEnd());
    });
}
