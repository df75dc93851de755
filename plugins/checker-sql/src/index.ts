/**
 * Watches a database by logging in and running a query, resource `sql.<ident>`:
 *
 *     <sql ident="orders">
 *       <to engine="postgresql" user="watcher" password_file="/etc/watcher.pw" query="SELECT count(*) FROM jobs" max="1000"/>
 *     </sql>
 *     <sql ident="replica" when="second" action="noaction">
 *       <to engine="mysql" user="watcher" socket="/run/mysqld/mysqld.sock" lag="30s"/>
 *     </sql>
 */
import { PeriodicCheck, type Plugin } from '@holdfast/sdk';
import { readConfiguration } from './configuration.js';
import { testDatabase } from './database-test.js';

export const plugin: Plugin = {
  register(context) {
    context.checker('sql', {
      create: ({ configuration }) => {
        const { head, target, intervalMs } = readConfiguration(configuration);
        return [new PeriodicCheck({ ...head, intervalMs, timeoutMs: target.timeoutMs, test: (signal) => testDatabase(target, signal) })];
      },
    });
  },
};
