/**
 * Watches the link of the interface that has an address, resource `intf.<ident>`:
 *
 *     <intf ident="lan" when="pre" action="wait"><to local_addr="192.0.2.11"/></intf>
 */
import { Attributes, type Plugin, readCheckHead } from '@holdfast/sdk';
import { InterfaceCheck } from './interface-check.js';
import { LinkEvents } from './link-events.js';

/** Shared by all modules of the agent: one thread. */
const linkEvents = new LinkEvents();

export const plugin: Plugin = {
  register(context) {
    context.checker('intf', {
      create: ({ configuration, log }) => {
        const attributes = new Attributes('intf', configuration);
        return [new InterfaceCheck(readCheckHead(attributes), attributes.child('to').text('local_addr'), linkEvents, log)];
      },
    });
  },
};
